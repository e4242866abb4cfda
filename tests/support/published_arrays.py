"""Files of arrays as they are published, with three images of each of ten classes."""

from __future__ import annotations

import bz2
import gzip
import pickle
import struct
import tarfile
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pytest
from scipy.io import savemat
from sklearn.datasets import dump_svmlight_file

from okdbench import registry
from support import datastore

COUNT = 3
LABELS = np.repeat(np.arange(10), COUNT)

Bytes = npt.NDArray[np.uint8]


def images(side: int, channels: int = 0, seed: int = 0) -> Bytes:
    """30 x side x side [x channels] random bytes."""
    shape = (len(LABELS), side, side, *([channels] if channels else []))
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def idx(array: Bytes) -> bytes:
    """The array in MNIST's format."""
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}i", *array.shape) + array.tobytes()


def mnist(folder: Path, part: str = "train", seed: int = 0) -> Bytes:
    """Write a part of MNIST as torchvision keeps it, and return its images."""
    folder.mkdir(parents=True, exist_ok=True)
    pixels = images(28, seed=seed)
    for kind, array in (("images-idx3", pixels), ("labels-idx1", LABELS.astype(np.uint8))):
        (folder / f"{part}-{kind}-ubyte.gz").write_bytes(gzip.compress(idx(array)))
    return pixels


class _Python2Pickler(pickle._Pickler):
    """Writes bytes as Python 2 did, in whose pickles CIFAR is published."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)

    def save_bytes(self, content: bytes) -> None:
        self.write(b"T" + struct.pack("<i", len(content)) + content)
        self.memoize(content)

    dispatch[bytes] = save_bytes


def batch(file: Path, content: dict[Any, Any]) -> None:
    """Pickle one of CIFAR's batches."""
    with file.open("wb") as stream:
        _Python2Pickler(stream, 2).dump(content)
    old = file.read_bytes().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    file.write_bytes(old)


def cifar10(folder: Path, order: Literal["C", "F"] = "C") -> tuple[Path, Bytes]:
    """The archive of CIFAR-10, each training batch with six images; and the training images."""
    inner = folder / "cifar-10-batches-py"
    inner.mkdir(parents=True)
    pixels = images(32, 3)
    rows = pixels.transpose(0, 3, 1, 2).reshape(len(pixels), -1)
    for number in range(5):
        part = slice(6 * number, 6 * number + 6)
        batch(
            inner / f"data_batch_{number + 1}",
            {b"data": np.array(rows[part], order=order), b"labels": LABELS[part].tolist()},
        )
    batch(inner / "test_batch", {b"data": np.array(rows, order=order), b"labels": LABELS.tolist()})
    archive = folder / "cifar-10-python.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(inner, inner.name)
    return archive, pixels


def svhn(folder: Path) -> Bytes:
    """SVHN's training file; the digit 0 is class 10 there."""
    pixels = images(32, 3)
    classes = np.where(LABELS == 0, 10, LABELS).astype(np.uint8)[:, None]
    savemat(folder / "train_32x32.mat", {"X": pixels.transpose(1, 2, 3, 0), "y": classes})
    return pixels


def usps(folder: Path) -> Bytes:
    """The training file of USPS; its classes begin with 1."""
    pixels = images(16)
    text = folder / "usps.txt"
    dump_svmlight_file(pixels.reshape(len(pixels), -1) / 127.5 - 1, LABELS + 1, str(text), zero_based=False)
    (folder / "usps.bz2").write_bytes(bz2.compress(text.read_bytes()))
    text.unlink()
    return pixels


def register_small_mnist(folder: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Register an MNIST with three images of each class in each part, which are the official number from now on."""
    kind = type(registry.load_dataset("mnist"))
    monkeypatch.setattr(kind, "counts", {name: dict.fromkeys(by, COUNT) for name, by in kind.counts.items()})
    for part in ("train", "t10k"):
        mnist(folder, part)
    datastore.add("mnist", folder, root)
