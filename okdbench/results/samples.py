"""Images that a run keeps for people to look at: ``samples.npz`` in its folder, names -> N x H x W x 3 bytes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt

from okdbench.core.array_files import read_arrays, write_arrays

FILE = "samples.npz"
Pixels = npt.NDArray[np.uint8]


def write_samples(folder: Path, samples: Mapping[str, Pixels]) -> None:
    """Store the images in ``folder``, in their order, without empty arrays; without images there is no file."""
    kept = {name: pixels for name, pixels in samples.items() if len(pixels)}
    if kept:
        write_arrays(folder / FILE, kept)


def read_samples(folder: Path) -> dict[str, Pixels]:
    """The images in ``folder`` in their order; empty when there are none that can be read."""
    try:
        arrays = read_arrays(folder / FILE)
    except ValueError:
        return {}
    # An intact file may still hold arrays that are no images, which would fail only where they are drawn.
    return {name: a for name, a in arrays.items() if a.dtype == np.uint8 and a.ndim == 4 and a.shape[-1] == 3}
