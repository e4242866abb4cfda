"""Labelled images in memory or in a memory map."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from okdbench.core.errors import UserError
from okdbench.data.memmap import LazyRows, Pixels

#: bytes of a part of a data set that is copied into memory; a larger part stays in its file
_IN_MEMORY = 2**30

#: images that are decoded, written or hashed at a time; this bounds the memory
BLOCK = 1024


@dataclass(frozen=True, eq=False)
class Images:
    """N labelled images of one or more domains.

    Attributes:
        pixels: N x H x W x C; an array, a read-only memory map, or lazy rows that are read when they are indexed.
        labels: N class indices.
        paths: N relative paths, those of the samples.
        extra_key: the data set's own part of the digest, for what the images do not show.
        max_value: what is white in files of more than eight bits; None where there are none.
        groups: N names of groups, those of the samples; empty where there are none.
    """

    pixels: Pixels | LazyRows
    labels: npt.NDArray[np.int64]
    paths: tuple[str, ...]
    extra_key: str = ""
    max_value: float | None = None
    groups: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of paths, labels, pixels, groups and ``extra_key`` in hexadecimal; it is part of a run's key."""
        content = hashlib.sha256(json.dumps([self.paths, self.labels.tolist(), self.pixels.shape]).encode())
        content.update(self.extra_key.encode())
        if self.groups:  # they decide which images are tested on
            content.update(json.dumps(self.groups).encode())
        # By blocks, since a memory map may be larger than the memory.
        for start in range(0, len(self), BLOCK):
            content.update(np.ascontiguousarray(self.pixels[start : start + BLOCK]).data)
        return content.hexdigest()

    @cached_property
    def peaks(self) -> npt.NDArray[np.uint8]:
        """The largest value of each image."""
        starts = range(0, len(self), BLOCK)
        return np.concatenate([self.pixels[start : start + BLOCK].max((1, 2, 3)) for start in starts])

    def take(self, indices: npt.NDArray[np.int64]) -> Images:
        """The images at ``indices``, in that order; copied into memory unless they are too large."""
        rows = LazyRows.of(self.pixels).take(indices)
        paths = tuple(self.paths[i] for i in indices)
        groups = tuple(self.groups[i] for i in indices) if self.groups else ()
        return replace(self, pixels=_loaded(rows), labels=self.labels[indices], paths=paths, groups=groups)

    @staticmethod
    def concatenate(parts: Sequence[Images]) -> Images:
        """The images of all ``parts``, one part after the other; all have the same height and width.

        Raises:
            UserError: their files of more than eight bits have several ranges, of which a student's card can name one.
        """
        ranges = {part.max_value for part in parts if part.max_value}
        if len(ranges) > 1:
            listed = " and ".join(f"{value:g}" for value in sorted(ranges))
            raise UserError(f"white is {listed} in the domains of this setting; write max_value: into the YAML file")
        return Images(
            _loaded(LazyRows.chain([LazyRows.of(part.pixels) for part in parts])),
            np.concatenate([part.labels for part in parts]),
            tuple(path for part in parts for path in part.paths),
            parts[0].extra_key,
            next(iter(ranges), None),
            tuple(group for part in parts for group in part.groups or ("",) * len(part))
            if any(part.groups for part in parts)
            else (),
        )


def _loaded(rows: LazyRows) -> Pixels | LazyRows:
    return rows[:] if rows.nbytes <= _IN_MEMORY else rows
