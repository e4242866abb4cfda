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
from okdbench.core.resize import Interpolation, Resize, parse_resize
from okdbench.core.settings import Setting, TaskKind, settings_of
from okdbench.data.class_embeddings import SHIPPED
from okdbench.data.image_form import ImageForm

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
        cosine: whether it falls to 0 in a cosine instead.
        source: repository, commit, file and lines, or section of the paper.
        missing: what the source has and this does not repeat.
    """

    optimizer: Literal["adam", "sgd"]
    learning_rate: float
    weight_decay: float
    batch_size: int
    epochs: int
    drops: tuple[float, ...] = ()
    cosine: bool = False
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
    #: file of text embeddings of the classes, for methods that read their names
    class_embeddings: ClassVar[Path | None] = SHIPPED
    #: whether all images are bundled with the installed packages, so that ``okdbench check`` can run methods on them
    bundled: ClassVar[bool] = False

    # Also set for one run, by with_format().
    #: channels of the images that networks see: 1 for grey, 3 for colour; files of the other kind are converted
    channels: int = 3
    #: statistics of each channel for the normalisation of every network, for pixels in [0, 1]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    #: how images of another size become squares: a rule of :class:`~okdbench.core.resize.Resize`
    resize: str = "stretch"
    #: filter that scales them
    interpolation: Interpolation = "bilinear"
    #: what is white in files of more than eight bits; None to measure it in all of them
    max_value: float | None = None
    #: whether images are turned upright, as their EXIF says
    exif_rotation: bool = True
    #: order in which the networks get the channels, which are red, green, blue everywhere else; bgr for the opposite,
    #: grey for networks that get the grey of an image in each of three channels
    channel_order: str = "rgb"
    #: input resolution in pixels where none is named
    image_size: int = 32
    #: names of the attributes above that the file of a teacher does not change
    stated: frozenset[str] = frozenset()

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

    def form(self, size: int) -> ImageForm:
        """How its images are decoded to this height and width in pixels."""
        return ImageForm(size, self.channels, self.resize, self.max_value, self.exif_rotation, self.interpolation)

    def with_format(
        self,
        channels: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        resize: str | None = None,
        channel_order: str | None = None,
        value_range: int = 1,
        interpolation: Interpolation | None = None,
    ) -> Dataset:
        """This data set with other channels, statistics, order of channels, rule for the size or filter for it.

        None keeps its own.

        Where only the number of channels changes, grey images have the mean of the statistics of a colour image, and
        each channel of a colour image has those of the grey one.

        Args:
            channels: 1 or 3.
            mean: of each channel, in the order and the range in which the networks get them.
            std: the same for the standard deviation.
            resize: a rule of :class:`~okdbench.core.resize.Resize`.
            channel_order: rgb, bgr or grey.
            value_range: 1 or 255, the largest value of a pixel before the normalisation. At 255 a mean that is not
                given is 0, and a standard deviation 1. Both are kept as those of pixels in [0, 1].
            interpolation: filter that scales the images.

        Raises:
            UserError: there is not one positive number for each channel, or no such rule.
        """
        made = copy(self)
        made.channels, made.resize = channels or self.channels, resize or self.resize
        made.interpolation = interpolation or self.interpolation
        try:
            parse_resize(made.resize)
        except ValueError as error:
            raise unknown("rule of resize", made.resize, [rule.value for rule in Resize]) from error
        if value_range != 1:
            mean, std = mean or (0.0,), std or (1.0,)
        made.mean, made.std = (
            _converted(own, made.channels) if given is None else _checked(name, given, made.channels, value_range)
            for name, own, given in (("mean", self.mean, mean), ("std", self.std, std))
        )
        if min(made.std) <= 0:
            raise UserError(f"--std {', '.join(map(str, made.std))}: each number must be more than 0")
        made.channel_order = channel_order or (self.channel_order if made.channels == 3 else "rgb")
        if made.channel_order != "rgb" and made.channels == 1:
            raise UserError(
                f"--channel-order {made.channel_order}: grey images have no order of channels; leave it out"
            )
        return made

    @property
    def normalisation(self) -> list[Sequence[float] | str]:
        """What the networks' input depends on beside the pixels, for keys: mean, std, and the unusual order."""
        return [self.mean, self.std, *([self.channel_order] if self.channel_order != "rgb" else [])]

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


def _checked(name: str, given: Sequence[float], channels: int, value_range: int) -> tuple[float, ...]:
    """The numbers of all channels, for pixels in [0, 1]."""
    option = f"--{name} {','.join(map(str, given))}"
    if len(given) not in (1, channels):
        allowed = "one number" if channels == 1 else "one or three numbers, separated by commas"
        raise UserError(f"{option}: these images need {allowed}")
    if max(given) > value_range:
        raise UserError(f"{option}: more than 1; for pixels from 0 to 255 add --value-range 255")
    return tuple(number / value_range for number in given) * (channels // len(given))
