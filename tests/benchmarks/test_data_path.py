"""How fast images reach the network: `Stream` against what most training scripts use, on the same files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from okdbench.data import Dataset, Sample
from okdbench.data.cache import load_domain
from okdbench.data.loader import Stream
from okdbench.datasets.digits import Digits

pytestmark = pytest.mark.benchmark(group="data path")

BATCH_SIZE = 64


class Folder(Dataset):
    """One sub-folder per class."""

    def samples(self, domain: str, root: Path) -> list[Sample]:
        return [Sample(f"{f.parent.name}/{f.name}", int(f.parent.name), f) for f in (root / domain).glob("*/*.png")]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """1,797 real 32 x 32 digits as PNG files."""
    root = tmp_path_factory.mktemp("digits")
    for sample in Digits().samples("optical", root):
        (root / sample.path).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.source).save(root / sample.path)
    return root


def measure(benchmark: Any, epoch: Callable[[], Iterable[torch.Tensor]]) -> None:
    """Time whole epochs, without the first one, which starts workers and fills caches."""
    seen = benchmark.pedantic(lambda: sum(map(len, epoch())), rounds=5, warmup_rounds=1)
    if benchmark.enabled:  # with --benchmark-disable there are no times
        benchmark.extra_info["images_per_second"] = round(seen / benchmark.stats.stats.median)


def test_stream(benchmark: Any, root: Path) -> None:
    images = load_domain(Folder(), "optical", 32, root)
    stream = Stream(images, batch_size=BATCH_SIZE, seed=0, device=torch.device("cpu"), augmentation=["shift"])
    measure(benchmark, lambda: (stream.batch(step).images for step in range(len(stream) // BATCH_SIZE)))


@pytest.mark.parametrize("workers", [0, 2])
def test_image_folder(benchmark: Any, root: Path, workers: int) -> None:
    augmentation = transforms.Compose([transforms.RandomCrop(32, 4), transforms.ToTensor()])
    dataset = ImageFolder(str(root / "optical"), augmentation)
    loader = DataLoader(
        dataset, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=workers, persistent_workers=workers > 0
    )
    measure(benchmark, partial(map, lambda batch: batch[0], loader))
