"""The interface of a data set: its classes, domains, default settings and samples."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from okdbench.core.errors import UserError, unknown
from okdbench.core.settings import Setting, TaskKind, settings_of

if TYPE_CHECKING:  # numpy takes a tenth of a second to import, and a list of data sets needs no array
    import numpy as np
    import numpy.typing as npt

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Augmentation(StrEnum):
    """A random change of training images.

    shift: by up to an eighth of height and width, with black at the border. flip: mirrored horizontally with
    probability 1/2. crop: a random part of at least a quarter of the area, enlarged to the image's size.
    """

    SHIFT = "shift"
    FLIP = "flip"
    CROP = "crop"


class Resize(StrEnum):
    """How an image becomes a square.

    stretch: its sides are scaled, each by its own factor. crop: the shorter side is scaled, and the centre of the
    longer one kept. pad: it is scaled down if it is too large, and put into the centre of a black square.
    """

    STRETCH = "stretch"
    CROP = "crop"
    PAD = "pad"


@dataclass(frozen=True)
class TeacherRecipe:
    """How a source trains its teacher, for ``--teacher-recipe``.

    Attributes:
        optimizer: Adam, or SGD with momentum 0.9.
        learning_rate: at the start.
        weight_decay: L2 penalty.
        batch_size: images per update.
        epochs: passes over the teacher's training images.
        drops: shares of the training from which on the learning rate is a tenth; without any it is constant.
        source: repository, commit, file and lines, or section of the paper.
        missing: what the source has and this does not repeat.
    """

    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    drops: tuple[float, ...] = ()
    source: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Sample:
    """One labelled image.

    Attributes:
        path: relative path, unique in the data set and equal on every machine; the splits are a function of it.
        label: index of the class; -1 in an unlabelled domain.
        source: an encoded image file, or a decoded ``uint8`` array, H x W or H x W x 3.
        sha256: expected hash of the file's content in hexadecimal; empty if any content is accepted.
        group: images of one group, such as those of one object, are in one split; empty for an image of its own.
    """

    path: str
    label: int
    source: Path | npt.NDArray[np.uint8]
    sha256: str = ""
    group: str = ""


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
    #: domain -> domain whose images are its validation split where the official test images are used
    official_validation: ClassVar[Mapping[str, str]] = {}
    #: random changes of training images that keep their class, of :class:`Augmentation`
    augmentation: ClassVar[tuple[str, ...]] = ("shift", "flip")
    #: the same in the training of a teacher
    teacher_augmentation: ClassVar[tuple[str, ...]] = ("shift", "flip")
    #: trainings of teachers in papers on this data set; the first is that of budget ``paper``
    teacher_recipes: ClassVar[Mapping[str, TeacherRecipe]] = {}
    #: architectures that are used where none is named
    teacher: ClassVar[str] = "resnet18"
    student: ClassVar[str] = "resnet10t"
    #: for a teacher's file with more classes: the rows of its last layer that are ``classes``, in their order
    teacher_classes: ClassVar[tuple[int, ...]] = ()
    #: whether all images are bundled with the installed packages, so that ``okdbench check`` can run methods on them
    bundled: ClassVar[bool] = False

    # Also set for one run, by with_format().
    #: channels of the images that networks see: 1 for grey, 3 for colour; files of the other kind are converted
    channels: int = 3
    #: statistics of each channel for the normalisation of every network, for pixels in [0, 1]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    #: how images of another size become squares
    resize: str = "stretch"
    #: what is white in files of more than eight bits; None to measure it in all of them
    max_value: float | None = None

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
        """Every domain whose images a run reads; if ``official``, with those of official test and validation images."""
        own = [*setting.teacher_domains, *([setting.input_domain] if setting.input_domain else [])]
        tests = [self.official_tests[name] for name in setting.evaluated_domains if name in self.official_tests]
        tests += [vals[name] for name in setting.evaluated_domains if name in (vals := self.official_validation)]
        return own + tests if official else own

    def with_format(
        self,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        resize: str | None = None,
    ) -> Dataset:
        """This data set with other channels, statistics or rule for the size; None keeps its own.

        Where only the number of channels changes, grey images have the mean of the statistics of a colour image, and
        each channel of a colour image has those of the grey one.

        Raises:
            UserError: there is not one positive number for each channel, or no such rule.
        """
        made = copy(self)
        made.channels, made.resize = channels or self.channels, resize or self.resize
        if made.resize not in list(Resize):
            raise unknown("rule of resize", made.resize, [rule.value for rule in Resize])
        made.mean = _converted(self.mean, made.channels) if mean is None else _checked("mean", mean, made.channels)
        made.std = _converted(self.std, made.channels) if std is None else _checked("std", std, made.channels)
        if min(made.std) <= 0:
            raise UserError(f"--std {', '.join(map(str, made.std))}: each number must be more than 0")
        return made

    def facts(self) -> list[str]:
        """Additional lines for ``okdbench show``."""
        return []

    def find(self, domain: str, root: Path) -> None:  # noqa: B027 - most data sets have nothing to look for
        """Check quickly that the images of the domain are available.

        Raises:
            UserError: they are not; the message says how to get them.
        """

    def of_one_range(self, domain: str) -> Sequence[str]:
        """The domains whose files of more than eight bits are scaled by one measured range, ``domain`` among them."""
        return (domain,)

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


def _converted(own: Sequence[float], channels: int) -> tuple[float, ...]:
    return tuple(own) if len(own) == channels else (sum(own) / len(own),) * channels


def _checked(name: str, given: Sequence[float], channels: int) -> tuple[float, ...]:
    if len(given) not in (1, channels):
        allowed = "one number" if channels == 1 else "one or three numbers, separated by commas"
        raise UserError(f"--{name} {','.join(map(str, given))}: these images need {allowed}")
    return tuple(given) * (channels // len(given))
