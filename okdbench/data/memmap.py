"""Pictures chosen from arrays that may be larger than the memory: nothing is read before it is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
Places = npt.NDArray[np.int64]


class Rows:
    """Some rows of some arrays, in an order of their own; indexing reads them, and nothing else.

    Args:
        arrays: each N_i x H x W x 3, perhaps memory-mapped, with the same H and W.
        chosen: positions in the arrays laid end to end, one for each row.
    """

    def __init__(self, arrays: Sequence[Pixels], chosen: Places) -> None:
        self._arrays = tuple(arrays)
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self._chosen = chosen
        self.shape = (len(chosen), *arrays[0].shape[1:])
        self.nbytes = int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return len(self._chosen)

    def __getitem__(self, which: Places | slice) -> Pixels:
        """A copy of the rows at ``which``."""
        chosen = self._chosen[which]
        rows = np.empty((len(chosen), *self.shape[1:]), np.uint8)
        for array, start in zip(self._arrays, self._starts[:-1], strict=True):
            inside = (chosen >= start) & (chosen < start + len(array))
            rows[inside] = array[chosen[inside] - start]
        return rows

    def take(self, which: Places) -> Rows:
        """Those of the rows, still unread."""
        return Rows(self._arrays, self._chosen[which])

    @staticmethod
    def of(pixels: Pixels | Rows) -> Rows:
        """All rows of an array, or the rows as they are."""
        return pixels if isinstance(pixels, Rows) else Rows([pixels], np.arange(len(pixels)))

    @staticmethod
    def chain(parts: Sequence[Rows]) -> Rows:
        """The rows of all parts, one part after the other."""
        starts = np.cumsum([0, *(part._starts[-1] for part in parts)])
        arrays = [array for part in parts for array in part._arrays]
        return Rows(arrays, np.concatenate([part._chosen + s for part, s in zip(parts, starts[:-1], strict=True)]))
