"""Real digits as image files, and the files of their cache."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from okdbench.data import Dataset, Sample
from okdbench.datasets.digits import Digits


class Folder(Dataset):
    """The given samples, in the given order."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:  # noqa: ARG002
        return self._samples


def digits(tmp_path: Path) -> Folder:
    """Twelve of them as PNG files."""
    samples = []
    for index, digit in enumerate(Digits().samples("optical", tmp_path)[:12]):
        file = tmp_path / "images" / f"{11 - index:02d}.png"
        file.parent.mkdir(exist_ok=True)
        Image.fromarray(digit.source).save(file)
        samples.append(Sample(file.name, digit.label, file))
    return Folder(samples)


def files(root: Path) -> list[str]:
    """The suffixes of the files in the cache, except lock files."""
    return sorted(file.suffix for file in root.glob("cache/*") if file.suffix != ".lock")
