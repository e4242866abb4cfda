"""Reads images that are published as arrays; nothing in a file is executed."""

from __future__ import annotations

import bz2
import gzip
import io
import pickle
import tempfile
import zlib
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
#: what readers of damaged files raise
_DAMAGES = (
    OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, AttributeError, ImportError, zlib.error,
    pickle.UnpicklingError,
)  # fmt: skip


def read_arrays(form: ArrayFormat, files: Sequence[Path]) -> Arrays:
    """The images and labels in the files of one domain.

    Args:
        form: their format.
        files: all of them, in the order of the images.

    Raises:
        UserError: a file is cut off, damaged, or not what its name says.
    """
    images, labels = _READERS[form](files)
    if len(images) != len(labels):
        names = ", ".join(dict.fromkeys(file.name for file in files))
        raise UserError(f"{names}: {len(images)} images and {len(labels)} labels; bring both files of one part")
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
    batch = _Arrays(io.BytesIO(content), encoding="latin1").load()
    rows = np.asarray(batch["data"], dtype=np.uint8)
    labels = np.asarray(batch["fine_labels" if "fine_labels" in batch else "labels"], dtype=np.int64)
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels


class _Arrays(pickle.Unpickler):
    """Loads arrays and plain types; of code it knows only what makes an array."""

    _ALLOWED = frozenset({"_reconstruct", "ndarray", "dtype"})

    def find_class(self, module: str, name: str) -> Any:
        if module in {"numpy", "numpy.core.multiarray", "numpy._core.multiarray"} and name in self._ALLOWED:
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it calls {module}.{name}, and nothing in it is executed")


def _svhn(files: Sequence[Path]) -> Arrays:
    from scipy.io import loadmat

    content = _read(files[0], lambda data: loadmat(io.BytesIO(data)))
    # H x W x 3 x N, and the digit 0 is class 10
    return np.transpose(content["X"], (3, 0, 1, 2)), content["y"].astype(np.int64).squeeze(1) % 10


def _usps(files: Sequence[Path]) -> Arrays:
    from sklearn.datasets import load_svmlight_file

    rows, classes = _read(files[0], lambda data: load_svmlight_file(io.BytesIO(data), n_features=16 * 16))
    images = np.rint((rows.toarray() + 1) * 127.5).clip(0, 255).astype(np.uint8)
    return images.reshape(-1, 16, 16), classes.astype(np.int64) - 1


def _read(file: Path, parse: Callable[[bytes], Any]) -> Any:
    """The parsed content of a file that may be compressed.

    Raises:
        UserError: it is damaged.
    """
    try:
        content = file.read_bytes()
        return parse(_DECOMPRESS.get(file.suffix, bytes)(content))
    except _DAMAGES as error:
        raise UserError(f"{file} cannot be read ({one_line(error)}); download it again") from error


_READERS: dict[ArrayFormat, Callable[[Sequence[Path]], Arrays]] = {
    "idx": _idx,
    "cifar": _cifar,
    "svhn": _svhn,
    "usps": _usps,
}
