"""What a file in ``datasets/`` declares: classes, domains, settings and where each picture comes from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Sample:
    """One labelled picture.

    ``path`` is relative, unique in its data set and the same on every machine: the splits are a function of it.
    ``source`` is an encoded picture file or a decoded H x W x 3 ``uint8`` array; ``sha256`` is the hash that a file's
    content must have, empty if any will do.
    """

    path: str
    label: int
    source: Path | npt.NDArray[np.uint8]
    sha256: str = ""


class Dataset(ABC):
    """A labelled picture collection in several domains that share their classes."""

    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    #: letter of a domain -> its name; the letters spell the settings
    domains: ClassVar[Mapping[str, str]]
    #: settings run when none is named, as ``MP-O``: teacher domains, dash, student domain
    settings: ClassVar[tuple[str, ...]]
    #: student domain -> the domain whose pictures are its official test split
    official_tests: ClassVar[Mapping[str, str]] = {}
    #: may a picture be mirrored without changing its class?
    flip: ClassVar[bool] = True
    #: channel statistics that every network's normaliser uses, for pixels in [0, 1]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    #: whether all of its pictures come along, so that the contract of methods can be tested on them
    at_hand: ClassVar[bool] = False

    #: its name, and a hash of its source that is part of every key, unless it comes along; the registry sets both
    called: str = ""
    source: str = ""

    @property
    def name(self) -> str:
        """What it is called on the command line and in records."""
        return self.called or type(self).__name__.lower()

    def facts(self) -> list[str]:
        """More lines for ``okdbench show``."""
        return []

    def find(self, domain: str, root: Path) -> None:  # noqa: B027 - most data sets have nothing to look for
        """Raise UserError, with the way to get it, if the domain is not there; quick."""

    @property
    def identity(self) -> str:
        """What tells it from every other data set in a process."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def note(self, domains: Sequence[str], root: Path) -> str:  # noqa: ARG002 - there is nothing to differ from
        """What of these domains differs from the official pictures, for the record; empty if nothing."""
        return ""

    @abstractmethod
    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        """All pictures of the domain named ``domain`` (a value of ``domains``); ``root`` is the data folder.

        Raises:
            UserError: the pictures are not there; the message says how to get them.
        """
