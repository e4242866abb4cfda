"""Labelled images in memory or in a memory map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from okdbench.data.memmap import Pixels, Rows

#: bytes of one part of a data set that are copied into memory; a larger part stays in its file
_IN_MEMORY = 2**30


BLOCK = 1024  # pictures that are decoded, written or hashed at a time: this bounds the memory


@dataclass(frozen=True, eq=False)
class Images:
    """N labelled pictures of one or more domains.

    Attributes:
        pixels: N x H x W x 3, perhaps a read-only memory map, or rows of some that are read when they are asked for.
        labels: N class indices.
        paths: N relative paths, the samples' names.
        source: hash of the data set's file unless it comes along, for it says more than what is in the pictures.
    """

    pixels: Pixels | Rows
    labels: npt.NDArray[np.int64]
    paths: tuple[str, ...]
    source: str = ""

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of paths, labels and pixels in hexadecimal; it is part of a run's key."""
        content = hashlib.sha256(json.dumps([self.paths, self.labels.tolist(), self.pixels.shape]).encode())
        content.update(self.source.encode())
        for start in range(0, len(self), BLOCK):
            content.update(np.ascontiguousarray(self.pixels[start : start + BLOCK]).data)
        return content.hexdigest()

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """The pictures at ``indices``, in that order; copied into memory unless there are too many of them."""
        rows = Rows.of(self.pixels).take(indices)
        return Images(_copied(rows), self.labels[indices], tuple(self.paths[i] for i in indices), self.source)

    @staticmethod
    def concatenate(parts: Sequence[Images]) -> Images:
        """The pictures of all ``parts``, one part after the other; all have the same height and width."""
        return Images(
            _copied(Rows.chain([Rows.of(part.pixels) for part in parts])),
            np.concatenate([part.labels for part in parts]),
            tuple(path for part in parts for path in part.paths),
            parts[0].source,
        )


def _copied(rows: Rows) -> Pixels | Rows:
    return rows[:] if rows.nbytes <= _IN_MEMORY else rows
