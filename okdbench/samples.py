"""Pictures that a run keeps to be looked at: ``samples.npz`` in its folder, names -> N x H x W x 3 bytes. No torch."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from okdbench.records import write_atomic

if TYPE_CHECKING:
    from torch import Tensor

FILE = "samples.npz"
Pixels = npt.NDArray[np.uint8]


def to_pixels(pictures: Tensor) -> Pixels:
    """Raw pictures, N x 3 x H x W in [0, 1] on any device, as N x H x W x 3 bytes.

    Raises:
        ValueError: they have another shape.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"pictures are N x 3 x H x W, not {' x '.join(map(str, pictures.shape))}")
    values = pictures.detach().float().clamp(0, 1).nan_to_num().mul(255).round().cpu().numpy()
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).astype(np.uint8))


def write_samples(folder: Path, samples: Mapping[str, Pixels]) -> None:
    """Store the pictures in ``folder``, in their order; what is empty is left out, and nothing makes no file."""
    kept = {name: pixels for name, pixels in samples.items() if len(pixels)}
    if kept:
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **kept)
        write_atomic(folder / FILE, buffer.getvalue())


def read_samples(folder: Path) -> dict[str, Pixels]:
    """The pictures in ``folder`` in their order; empty when there are none that can be read."""
    try:
        with np.load(folder / FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, EOFError, ValueError, zlib.error, zipfile.BadZipFile):  # none, or a damaged file
        return {}
    return {name: a for name, a in arrays.items() if a.dtype == np.uint8 and a.ndim == 4 and a.shape[-1] == 3}
