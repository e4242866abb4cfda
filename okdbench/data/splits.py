"""The images of one setting, split by the protocol, and what a method sees of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from okdbench.core.errors import UserError
from okdbench.core.folds import FOLDS, first_of_each_class, images_needed, split
from okdbench.core.protocol import Track
from okdbench.core.settings import Setting, TaskKind
from okdbench.data.cache import load_domain
from okdbench.data.dataset import Dataset
from okdbench.data.decoding import UnreadableError
from okdbench.data.images import Images


@dataclass(frozen=True)
class Splits:
    """All images of a run.

    Attributes:
        train: train split of the setting's input domain, of which a method sees what its track allows; task transfer
            has no labels here, and task data-free no images.
        val: validation split of the input domain in task adapt; empty in the others.
        test: what the student is tested on.
        teacher_train: train splits of the teacher's domains.
        teacher_test: test splits of the teacher's domains.
        digests: domain -> hash of its images as this run loads them, which is the same in every fold.
    """

    train: Images
    val: Images
    test: Images
    teacher_train: Images
    teacher_test: Images
    digests: Mapping[str, str] = field(default_factory=dict)

    @property
    def images_digest(self) -> str:
        """A hash of all images of these domains, which is the same in every fold."""
        return hashlib.sha256(json.dumps(self.digests, sort_keys=True).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """A hash of every image, label and path, and of the part that it is in."""
        parts = (self.train, self.val, self.test, self.teacher_train, self.teacher_test)
        return hashlib.sha256("".join(part.digest for part in parts).encode()).hexdigest()


@dataclass(frozen=True)
class Access:
    """The train images that a method sees.

    Attributes:
        images: all of them; the label is -1 where it is withheld.
        labelled: those with a label.
    """

    images: Images
    labelled: Images


@dataclass(frozen=True)
class SplitRule:
    """How domains are split.

    Attributes:
        fold: the test fold, in 0 .. 4.
        official: whether domains that have official test images are tested on these; all others have folds.
    """

    fold: int = 0
    official: bool = True


def assemble(dataset: Dataset, setting: Setting, image_size: int, root: Path, rule: SplitRule = SplitRule()) -> Splits:
    """Load and split the domains of ``setting``.

    Args:
        dataset: where the images come from.
        setting: the teacher's domains, and the one whose images a method sees.
        image_size: height and width in pixels to which the images are resized.
        root: the data folder.
        rule: how they are split.

    Raises:
        UserError: images are missing or cannot be cached, or a split is empty.
    """
    load = _Loader(dataset, image_size, root, rule)
    load.read_all(dataset.domains_of(setting, rule.official))
    given = load.input_domain(setting)
    sources = [load.parts(domain, validation=False) for domain in setting.teacher_domains]
    # Of the right image size, for settings without a domain of one kind: -O, or those of task data-free.
    none = (given or sources[0])["train"].take(np.empty(0, np.int64))
    teacher_train, teacher_test = (
        Images.concatenate([none, *(source[part] for source in sources)]) for part in ("train", "test")
    )
    adapts = setting.task is TaskKind.ADAPT
    return Splits(
        train=given.get("train", none),
        val=given["val"] if adapts else none,
        test=given["test"] if adapts else teacher_test,
        teacher_train=teacher_train,
        teacher_test=teacher_test,
        digests=load.digests,
    )


def access(splits: Splits, track: Track, shots: int | None, classes: Sequence[str]) -> Access:
    """What a method sees of the train split in a track.

    Args:
        splits: the images of the setting.
        track: labelled shows the labelled images only; the others show all.
        shots: labelled images per class; None for all.
        classes: names of the classes.

    Raises:
        UserError: a class has fewer images.
    """
    train = splits.train
    if track is Track.LABEL_FREE:
        return Access(_without_labels(train), train.take(np.empty(0, np.int64)))
    if shots is None:
        return Access(train, train)
    counts = _per_class(train, classes)
    # A listed class without any image can neither be learned nor be tested.
    exist = counts + _per_class(splits.val, classes) + _per_class(splits.test, classes) > 0
    if (fewest := int(counts[exist].min())) < shots:
        label = int(np.flatnonzero(exist & (counts == fewest))[0])
        cure = f"give at most --shots {fewest}" if fewest else "use another --seed"
        if not train.groups:
            needed = images_needed("train", label, range(FOLDS), shots)
            cure += f", or {needed} images of it, which are enough with every seed"
        raise UserError(
            f"--shots {shots}: the train split has only {fewest} images of class {classes[label]!r}; {cure}"
        )
    chosen = first_of_each_class(train.paths, train.labels.tolist(), shots)
    labelled = train.take(chosen)
    hidden = replace(train, labels=np.full_like(train.labels, -1))
    hidden.labels[chosen] = train.labels[chosen]
    return Access(labelled if track is Track.LABELLED else hidden, labelled)


class SplitCache:
    """:func:`assemble` with a memory of the last result, so that consecutive runs of a setting share their images."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._splits: Splits | None = None

    def __call__(
        self, dataset: Dataset, setting: Setting, image_size: int, root: Path, rule: SplitRule = SplitRule()
    ) -> Splits:
        """The splits of ``setting``, loaded unless the last call had the same arguments.

        Args:
            dataset: where the images come from.
            setting: the teacher's domains, and the one whose images a method sees.
            image_size: height and width in pixels to which the images are resized.
            root: the data folder.
            rule: how they are split.

        Raises:
            UserError: as :func:`assemble`.
        """
        key = (dataset.identity, dataset.form(image_size), setting, root, rule)
        if self._splits is None or key != self._key:
            self._splits = None  # released first: two settings of a large data set need not fit into memory together
            self._key, self._splits = key, assemble(dataset, setting, image_size, root, rule)
        return self._splits


@dataclass(frozen=True)
class _Loader:
    """Loads and splits single domains; ``digests`` has the hash of the images of each."""

    dataset: Dataset
    image_size: int
    root: Path
    rule: SplitRule
    digests: dict[str, str] = field(default_factory=dict)
    read: dict[str, Images] = field(default_factory=dict)

    def read_all(self, domains: Sequence[str]) -> None:
        """Read these domains, so that the damaged images of all of them are named at once."""
        unreadable = []
        # Official test images come last there, and are first here: when they are missing, that is reported early.
        for domain in reversed(domains):
            try:
                self.read[domain] = load_domain(self.dataset, domain, self.image_size, self.root)
            except UnreadableError as error:
                unreadable += error.images
        if unreadable:
            raise UnreadableError(unreadable)

    def input_domain(self, setting: Setting) -> dict[str, Images]:
        """The parts of the domain whose images the method sees; none in task data-free."""
        if not setting.input_domain:
            return {}
        if setting.task is TaskKind.ADAPT:
            return self.parts(setting.input_domain)
        # Without labels from the start, so that they cannot even decide which image is in which part.
        images = self.images(setting.input_domain, labelled=False)
        if setting.input_domain in self.dataset.unlabelled:  # nobody is ever tested on them
            return {"train": images}
        chosen = split(
            images.paths,
            images.labels.tolist(),
            self.rule.fold,
            test=not self._official(setting.input_domain),
            groups=images.groups,
        )
        train = images.take(chosen["train"])
        _refuse_empty(train, "train", setting.input_domain, self.rule.fold)
        return {"train": train}

    def parts(self, domain: str, validation: bool = True) -> dict[str, Images]:
        """Train, validation and test images of a domain.

        Args:
            domain: its name.
            validation: whether there is a validation part; otherwise it is empty.
        """
        official = self._official(domain)
        replaced = {"test": self.images(official)} if official else {}
        images = self.images(domain)
        if held_out := self.dataset.official_validation.get(domain, "") if self.rule.official else "":
            if validation:
                replaced["val"] = self.images(held_out)
            else:
                images = Images.concatenate([images, self.images(held_out)])
        indices = split(
            images.paths,
            images.labels.tolist(),
            self.rule.fold,
            validation=validation and not held_out,
            test=not official,
            groups=images.groups,
        )
        parts = {part: images.take(chosen) for part, chosen in indices.items()} | replaced
        needed = ("train", "val", "test") if validation else ("train", "test")
        for part in needed:
            lacking = self._lacking(images, part, validation, test=not official)
            _refuse_empty(parts[part], part, domain, self.rule.fold, lacking)
        return parts

    def _lacking(self, images: Images, part: str, validation: bool, *, test: bool) -> str:
        """Which class lacks the fewest images for one in a part that has none; or how few groups there are."""
        if images.groups:
            number = len(set(images.groups) - {""}) + images.groups.count("")
            return f" (they are in {number} groups; if they are of more objects, correct groups:)"
        if part == "test" and not test:
            return ""
        counts = np.bincount(images.labels, minlength=len(self.dataset.classes)).tolist()
        needed = [
            images_needed(part, label, (self.rule.fold,), validation=validation, test=test)
            for label in range(len(counts))
        ]
        label = min(range(len(counts)), key=lambda label: needed[label] - counts[label])
        return f" (class {self.dataset.classes[label]!r} has {counts[label]} and needs {needed[label]})"

    def images(self, domain: str, labelled: bool = True) -> Images:
        """All images of a domain, with or without their labels."""
        images = self.read[domain] if labelled else _without_labels(self.read[domain])
        self.digests[domain] = images.digest
        return images

    def _official(self, domain: str) -> str:
        """The domain of its official test images; empty if it has folds."""
        return self.dataset.official_tests.get(domain, "") if self.rule.official else ""


def _refuse_empty(images: Images, part: str, domain: str, fold: int, lacking: str = "") -> None:
    # An empty validation or test split would make every accuracy undefined.
    if not len(images):
        raise UserError(
            f"{domain} has too few images for its {part} split of fold {fold} of 0-{FOLDS - 1}{lacking}; add images, "
            "or use another --seed: a run tests on fold seed mod 5"
        )


def _per_class(images: Images, classes: Sequence[str]) -> npt.NDArray[np.int64]:
    return np.bincount(images.labels, minlength=len(classes))


def _without_labels(images: Images) -> Images:
    return replace(images, labels=np.full_like(images.labels, -1))
