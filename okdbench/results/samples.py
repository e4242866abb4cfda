"""Images that a run keeps for people to look at: ``samples.npz`` in its folder, names -> N x H x W x 3 bytes."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from okdbench.core.files import write_atomic

FILE = "samples.npz"
Pixels = npt.NDArray[np.uint8]


def write_samples(folder: Path, samples: Mapping[str, Pixels]) -> None:
    """Store the images in ``folder``, in their order, without empty arrays; without images there is no file."""
    kept = {name: pixels for name, pixels in samples.items() if len(pixels)}
    if kept:
        # In memory first, because numpy writes an archive piece by piece.
        buffer = io.BytesIO()
        np.savez_compressed(buffer, allow_pickle=False, **kept)
        write_atomic(folder / FILE, buffer.getvalue())


def read_samples(folder: Path) -> dict[str, Pixels]:
    """The images in ``folder`` in their order; empty when there are none that can be read."""
    try:
        # The file may come from anyone, and unpickling would execute code in it.
        with np.load(folder / FILE, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    # no file, a damaged one, or (TypeError) one of a single array
    except (OSError, EOFError, ValueError, TypeError, zlib.error, zipfile.BadZipFile):
        return {}
    # An intact file may still hold arrays that are no images, which would fail only where they are drawn.
    return {name: a for name, a in arrays.items() if a.dtype == np.uint8 and a.ndim == 4 and a.shape[-1] == 3}
