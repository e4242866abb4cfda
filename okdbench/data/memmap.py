"""Images selected from arrays that may be larger than the memory: they are read only when they are indexed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class LazyRows:
    """Selected rows of several arrays, in any order; indexing reads the rows that are asked for.

    Args:
        arrays: each N_i x H x W x C, possibly memory-mapped, with the same H and W.
        chosen: for each row its position in the concatenation of ``arrays``.
    """

    def __init__(self, arrays: Sequence[Pixels], chosen: Indices) -> None:
        self._arrays = tuple(arrays)
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self._chosen = chosen
        self.shape = (len(chosen), *arrays[0].shape[1:])
        self.nbytes = int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, which: Indices | slice) -> Pixels:
        """A copy of the rows at ``which``."""
        chosen = self._chosen[which]
        rows = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        # One indexing per array, not per row: a batch of 256 images touches a handful of arrays.
        for array, start in zip(self._arrays, self._starts[:-1], strict=True):
            inside = (chosen >= start) & (chosen < start + len(array))
            rows[inside] = array[chosen[inside] - start]
        return rows

    def take(self, which: Indices) -> LazyRows:
        """The rows at ``which``, still unread."""
        return LazyRows(self._arrays, self._chosen[which])

    @staticmethod
    def of(pixels: Pixels | LazyRows) -> LazyRows:
        """All rows of an array; lazy rows are returned as they are."""
        return pixels if isinstance(pixels, LazyRows) else LazyRows([pixels], np.arange(len(pixels)))

    @staticmethod
    def chain(parts: Sequence[LazyRows]) -> LazyRows:
        """The rows of all parts, one part after the other."""
        # The positions of each part are shifted by the lengths of all arrays before its own.
        starts = np.cumsum([0, *(part._starts[-1] for part in parts)])
        arrays = [array for part in parts for array in part._arrays]
        return LazyRows(arrays, np.concatenate([part._chosen + s for part, s in zip(parts, starts[:-1], strict=True)]))
