"""Reads images that are published as arrays; nothing in a file is executed."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from okdbench.core.errors import UserError, one_line
from okdbench.data.array_source import ArrayFormat

#: N x H x W or N x H x W x 3 bytes, and N class indices
Arrays = tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]

_DECOMPRESS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.decompress, ".bz2": bz2.decompress}


def read_arrays(form: ArrayFormat, files: Sequence[Path], classes: int) -> Arrays:
    """The images and labels in the files of one domain.

    Args:
        form: their format.
        files: all of them, in the order of the images.
        classes: number of classes that the labels may have; 0 where they are not used.

    Raises:
        UserError: a file is cut off, damaged, or not what its name says.
    """
    images, labels = _READERS[form](files)
    names = ", ".join(dict.fromkeys(file.name for file in files))
    if len(images) != len(labels):
        raise UserError(f"{names}: {len(images)} images and {len(labels)} labels; bring both files of one part")
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UserError(f"{names}: {images.dtype} numbers of {images.ndim} dimensions are no images; download it again")
    if classes and len(labels) and not 0 <= labels.min() <= labels.max() < classes:
        raise UserError(
            f"{names}: labels from {labels.min()} to {labels.max()} for {classes} classes; download it again"
        )
    return images, labels


def _idx(files: Sequence[Path]) -> Arrays:
    images, labels = (_read(file, _tensor) for file in files)
    for file, found, ndim in ((files[0], images, 3), (files[1], labels, 1)):
        if found.ndim != ndim:
            what = "an array of labels" if found.ndim == 1 else f"an array of {found.ndim} dimensions"
            raise UserError(f"{file} holds {what}; images and labels may be swapped: download both files again")
    return images, labels.astype(np.int64)


def _tensor(content: bytes) -> npt.NDArray[np.uint8]:
    from torchvision.datasets.mnist import read_sn3_pascalvincent_tensor

    with tempfile.NamedTemporaryFile() as file:  # the reader takes a path
        file.write(content)
        file.flush()
        try:
            array: npt.NDArray[np.uint8] = read_sn3_pascalvincent_tensor(file.name).numpy()
        except AssertionError as error:  # which has no text
            raise ValueError("it has another length than it says, or another format") from error
    return array


def _cifar(files: Sequence[Path]) -> Arrays:
    batches = [_read(file, _batch) for file in files]
    return np.concatenate([batch[0] for batch in batches]), np.concatenate([batch[1] for batch in batches])


def _batch(content: bytes) -> Arrays:
    batch = _Unpickler(io.BytesIO(content), encoding="latin1").load()
    labels = np.array(batch["fine_labels" if "fine_labels" in batch else "labels"], dtype=np.int64)
    return batch["data"].bytes().reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _Stored:
    """An array, or the type of its numbers, as a pickle describes it. It is made here, not by numpy: with a hostile
    description, numpy would read any place of the memory.
    """

    def __init__(self, *arguments: Any) -> None:
        self.arguments = arguments

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.state = state

    def bytes(self) -> npt.NDArray[np.uint8]:
        """The array, if it is one of bytes.

        Raises:
            ValueError: it is not.
        """
        _, shape, kind, in_columns, data = self.state
        if kind.arguments[0] != "u1":
            raise ValueError("it holds no array of bytes")
        content = data.encode("latin1") if isinstance(data, str) else data
        return np.frombuffer(content, np.uint8).reshape(shape, order="F" if in_columns else "C")


class _Unpickler(pickle.Unpickler):
    """Loads plain types and descriptions of arrays; nothing else can be named."""

    _ARRAYS = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"} and name in self._ARRAYS:
            return _Stored
        raise pickle.UnpicklingError(f"it calls {module}.{name}, and nothing in it is executed")


def _svhn(files: Sequence[Path]) -> Arrays:
    from scipy.io import loadmat

    def parse(content: bytes) -> Arrays:
        found = loadmat(io.BytesIO(content))
        # H x W x 3 x N, and the digit 0 is class 10
        return np.transpose(found["X"], (3, 0, 1, 2)), found["y"].astype(np.int64).squeeze(1) % 10

    arrays: Arrays = _read(files[0], parse)
    return arrays


def _usps(files: Sequence[Path]) -> Arrays:
    from sklearn.datasets import load_svmlight_file

    def parse(content: bytes) -> Arrays:
        rows, classes = load_svmlight_file(io.BytesIO(content), n_features=16 * 16)
        images = np.rint((rows.toarray() + 1) * 127.5).clip(0, 255).astype(np.uint8)
        return images.reshape(-1, 16, 16), classes.astype(np.int64) - 1

    arrays: Arrays = _read(files[0], parse)
    return arrays


def _read(file: Path, parse: Callable[[bytes], Any]) -> Any:
    """The parsed content of a file that may be compressed.

    Raises:
        UserError: it is damaged.
    """
    try:
        return parse(_DECOMPRESS.get(file.suffix, bytes)(file.read_bytes()))
    except Exception as error:  # readers of damaged files fail in many ways, with the same meaning for the user
        raise UserError(f"{file} cannot be read ({one_line(error)}); download it again") from error


_READERS: dict[ArrayFormat, Callable[[Sequence[Path]], Arrays]] = {
    "idx": _idx,
    "cifar": _cifar,
    "svhn": _svhn,
    "usps": _usps,
}
