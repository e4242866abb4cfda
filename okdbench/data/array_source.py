"""The files in which a domain is published as arrays, as a data set declares them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: idx: MNIST's. cifar: Python's pickled batches. svhn: Matlab's. usps: LIBSVM's, of 16 x 16 numbers in [-1, 1].
ArrayFormat = Literal["idx", "cifar", "svhn", "usps"]


@dataclass(frozen=True)
class ArrayFiles:
    """The files of a domain that is published as arrays.

    Attributes:
        form: their format.
        names: all of them, in the order of their images; punctuation and an ending of compression do not matter. Format
            idx has images first, then labels.
        lookalikes: other sets that publish files of these names. A folder with the name of one has none of this domain.
    """

    form: ArrayFormat
    names: tuple[str, ...]
    lookalikes: tuple[str, ...] = ()
