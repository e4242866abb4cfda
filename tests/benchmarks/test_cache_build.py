"""Time and memory to make a cache of a folder of images: okdbench against ImageFolder on the same files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

pytestmark = pytest.mark.benchmark(group="cache")

IMAGES, ORIGINALS, SIZE = 20_000, 200, 32

OURS = """
from okdbench.data.cache import load_domain
from okdbench.data import Dataset, Sample

class Tree(Dataset):
    def samples(self, domain, root):
        return [Sample(f"{f.parent.name}/{f.name}", int(f.parent.name), f) for f in (root / domain).glob("*/*.jpg")]

images = load_domain(Tree(), "tree", SIZE, root)
assert images.pixels.shape == (IMAGES, SIZE, SIZE, 3)
"""

THEIRS = """
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

way = transforms.Compose([transforms.Resize((SIZE, SIZE)), transforms.PILToTensor()])
loader = DataLoader(ImageFolder(str(root / "tree"), way), 256, num_workers=2)
pixels = np.concatenate([batch.permute(0, 2, 3, 1).numpy() for batch, _ in loader])
np.save(root / "theirs.npy", pixels)
assert pixels.shape == (IMAGES, SIZE, SIZE, 3)
"""

AROUND = """
import json, resource, sys, time
from pathlib import Path
import numpy as np, torch, torchvision, okdbench.data.cache
root, IMAGES, SIZE = Path({root!r}), {count}, {size}
began = time.perf_counter()
{body}
used = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
print(json.dumps({{"seconds": time.perf_counter() - began, "mib": used / 1024}}))
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 files that are links to 200 images of 384 x 256; every one is decoded."""
    root = tmp_path_factory.mktemp("tree")
    rng = np.random.default_rng(0)
    for index in range(ORIGINALS):
        noise = Image.fromarray(rng.integers(0, 256, (256, 384, 3), dtype=np.uint8))
        noise.filter(ImageFilter.GaussianBlur(2)).save(root / f"{index}.jpg", quality=90)
    for index in range(IMAGES):
        folder = root / "tree" / str(index % 10)
        folder.mkdir(parents=True, exist_ok=True)
        os.link(root / f"{index % ORIGINALS}.jpg", folder / f"{index:05d}.jpg")
    return root


@pytest.mark.parametrize("way", ["okdbench", "ImageFolder"])
def test_20000_photographs(benchmark: Any, root: Path, way: str) -> None:
    body = {"okdbench": OURS, "ImageFolder": THEIRS}[way]
    code = AROUND.format(root=str(root), count=IMAGES, size=SIZE, body=body)

    def build() -> None:
        shutil.rmtree(root / "cache", ignore_errors=True)
        said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
        benchmark.extra_info.update(json.loads(said))

    benchmark.pedantic(build, rounds=1)
