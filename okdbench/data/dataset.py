"""The interface of a data set: its classes, domains, default settings and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from okdbench.core.settings import Setting, TaskKind, settings_of

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and a list of data sets needs no array
    import numpy as np
    import numpy.typing as npt

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        path: relative path, unique in the data set and equal on every machine; the splits are a function of it.
        label: index of the class; -1 in an unlabelled domain.
        source: an encoded image file, or a decoded H x W x 3 ``uint8`` array.
        sha256: expected hash of the file's content in hexadecimal; empty if any content is accepted.
    """

    path: str
    label: int
    source: Path | npt.NDArray[np.uint8]
    sha256: str = ""


class Dataset(ABC):
    """Labelled images in several domains that share their classes; some domains may have other classes, or none."""

    title: ClassVar[str]
    licence: ClassVar[str]
    citation: ClassVar[str]
    classes: ClassVar[tuple[str, ...]]
    #: letter -> name of the domain; settings are spelled with the letters
    domains: ClassVar[Mapping[str, str]]
    #: default settings, for example ``MP-O``; those of a task that has none here follow from those of task adapt
    settings: ClassVar[tuple[str, ...]]
    #: domains without labels of ``classes``, which a student can only transfer from
    unlabelled: ClassVar[frozenset[str]] = frozenset()
    #: domain -> domain whose images are its official test split
    official_tests: ClassVar[Mapping[str, str]] = {}
    #: whether an image keeps its class when it is mirrored horizontally
    flip: ClassVar[bool] = True
    #: channel statistics for the normalisation of every network, for pixels in [0, 1]
    mean: ClassVar[tuple[float, float, float]] = IMAGENET_MEAN
    std: ClassVar[tuple[float, float, float]] = IMAGENET_STD
    #: whether all images are bundled with the installed packages, so that ``okdbench check`` can run methods on them
    bundled: ClassVar[bool] = False

    # Set by the registry, for a data set that is not part of okdbench.
    #: name on the command line; empty for the lower-case name of the class
    registered_name: str = ""
    #: part of every key in addition to the images: a hash of the data set's source code
    extra_key: str = ""

    @property
    def name(self) -> str:
        """The name on the command line and in records."""
        return self.registered_name or type(self).__name__.lower()

    def setting(self, text: str) -> Setting:
        """The setting that ``text`` names.

        Raises:
            UserError: the text has another form, or names a domain that it cannot.
        """
        return Setting.parse(text, self.domains, self.unlabelled)

    def default_settings(self, task: TaskKind) -> tuple[str, ...]:
        """The default settings of a task by name; none where nothing is declared that they follow from."""
        # Their names, because records are compared with them: a data set may declare pm-o for MP-O.
        return tuple(dict.fromkeys(self.setting(text).name for text in settings_of(task, self.settings)))

    @property
    def default_task(self) -> TaskKind:
        """The task whose default settings run where none is named: adapt, if there are any of it."""
        return next((task for task in TaskKind if self.default_settings(task)), TaskKind.ADAPT)

    def domains_of(self, setting: Setting, official: bool) -> list[str]:
        """Every domain whose images a run reads; if ``official``, with those of official test images."""
        tests = [self.official_tests[name] for name in setting.evaluated_domains if name in self.official_tests]
        own = [*setting.teacher_domains, *([setting.input_domain] if setting.input_domain else [])]
        return own + tests if official else own

    def facts(self) -> list[str]:
        """Additional lines for ``okdbench show``."""
        return []

    def find(self, domain: str, root: Path) -> None:  # noqa: B027 - most data sets have nothing to look for
        """Check quickly that the images of the domain are available.

        Raises:
            UserError: they are not; the message says how to get them.
        """

    @property
    def identity(self) -> str:
        """A text that differs from that of every other data set in this process."""
        return f"{type(self).__module__}.{type(self).__qualname__}"

    def note(self, domains: Sequence[str], root: Path) -> str:  # noqa: ARG002 - nothing official to compare with
        """How the local images of these domains differ from the official ones, for the record; empty if they do not."""
        return ""

    @abstractmethod
    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        """All images of one domain.

        Args:
            domain: name of the domain, a value of ``domains``.
            root: the data folder.

        Raises:
            UserError: the images are not available; the message says how to get them.
        """
