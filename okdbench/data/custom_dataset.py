"""The user's own images as a data set: a YAML file names the folder of each domain."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from okdbench.core.config import validate
from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.core.yaml_files import load_yaml
from okdbench.data.class_order import number_note, order_note, shortened
from okdbench.data.dataset import Augmentation, Dataset, Sample
from okdbench.data.image_files import to_convert
from okdbench.data.named_groups import unsaid_groups
from okdbench.data.own_domain import Scan
from okdbench.data.own_file import NAMING, OwnDatasetFile, shown_names
from okdbench.data.own_folder import describe
from okdbench.data.own_lists import ListDomain, OwnDomain
from okdbench.data.own_places import find_places, group_pattern, name_classes, with_groups
from okdbench.data.own_remarks import left_out, remarks_on, without_group


class OwnDataset(Dataset):
    """Base of the classes that are made from YAML files; the folders are listed again in every run."""

    licence = "your own images"
    citation = ""
    #: domain -> where its images are
    places: ClassVar[Mapping[str, OwnDomain]]
    #: the name of the group in an image's path
    groups: ClassVar[re.Pattern[str] | None]
    #: the classes as the folders are called, which may be shown by other names
    folder_names: ClassVar[tuple[str, ...]]
    #: whether a list has indices in place of them
    is_indexed: ClassVar[bool]
    #: whether the file lists the classes
    is_ordered: ClassVar[bool]
    file: ClassVar[Path]

    @property
    def name(self) -> str:
        """Name of the YAML file without its suffix, or of the folder."""
        return self.file.name if self.file.is_dir() else self.file.stem

    @property
    def identity(self) -> str:
        """Absolute path of the YAML file or folder: two files of one name are two data sets."""
        return str(self.file)

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:  # noqa: ARG002 - the file names the folders
        """All images of ``domain``, or of its validation or test part, such as ``phone.test``; ``root`` is not used.

        Raises:
            UserError: there is none.
        """
        name, parts = (domain, {"", "train"}) if domain in self.places else _part(domain)
        labels = {label: index for index, label in enumerate(self.folder_names)} | {"": -1}
        images, ignored = self.scan(name)
        found = [
            Sample(f"{name}/{image.path}", labels[image.label], image.file, group=image.group)
            for image in images
            if image.part in parts
        ]
        if not found:
            others = to_convert(ignored)
            why = f" but {others}; save the images in these as PNG" if others else "; add some or correct its path"
            raise UserError(f"{self.file}: domain {domain!r}: {self.places[name].place} has no images{why}")
        return found

    def of_one_range(self, domain: str) -> Sequence[str]:
        """The domain and its test and validation parts."""
        name = domain if domain in self.places else _part(domain)[0]
        parts = (self.official_tests.get(name), self.official_validation.get(name))
        return (name, *(part for part in parts if part))

    def scan(self, domain: str) -> Scan:
        """The images of ``domain`` in all its parts, and what is ignored.

        Raises:
            UserError: a folder cannot be read.
        """
        scan, place = self.places[domain].scan(), self.places[domain].place
        return with_groups(self.groups, scan, place) if self.groups and domain not in self.unlabelled else scan

    def remarks(self) -> list[str]:
        """What a user should know of these images before a run, a line each."""
        notes = [] if self.is_ordered else [order_note(self.folder_names)]
        labels = set().union(*(at.labels for at in self.places.values())) - {""}
        if "0" in self.folder_names and "0" not in labels:
            notes.append("no image has class 0; if the list counts from 1, count from 0, or write names")
        lists = {domain for domain, at in self.places.items() if isinstance(at, ListDomain)}
        notes += [number_note(self.folder_names)] if lists - self.unlabelled and not self.is_ordered else []
        for domain, at in self.places.items():
            notes += at.notes if isinstance(at, ListDomain) else []
            images = self.scan(domain).images
            notes += [left_out(at.place), *remarks_on(images, self.exif_rotation)]
            if domain not in self.unlabelled:
                notes += [without_group(self.groups, domain, images) if self.groups else unsaid_groups(images)]
        if self.file.is_dir():
            domains = ", ".join(f"{letter} = {name}" for letter, name in self.domains.items())
            notes.insert(0, f"domains {domains}; classes {shortened(self.folder_names)}")
        return [f"{self.name}: {note}" for note in notes if note]


def _part(domain: str) -> tuple[str, set[str]]:
    """The domain and the part in the name of a part."""
    name, _, part = domain.rpartition(".")
    return name, {part}


def own_dataset(file: Path) -> Dataset:
    """The data set that a YAML file describes, or that a folder is.

    Raises:
        UserError: the file is invalid, or a folder that it names does not exist.
    """
    here = file.expanduser().resolve()
    if here.is_dir():
        return _made(file, describe(here), here)
    content = load_yaml(file.expanduser(), NAMING)
    if {"train", "val"} <= content.keys() - OwnDatasetFile.model_fields.keys():
        raise UserError(
            f"{file} is a data.yaml of Ultralytics, which is not read; write another file with domains: "
            "{photos: FOLDER}, where FOLDER has a folder of images for each class"
        )
    return _made(file, validate(OwnDatasetFile, content, str(file)), here.parent)


def _made(file: Path, content: OwnDatasetFile, here: Path) -> Dataset:
    """The data set of a description whose paths are relative to ``here``."""
    paths = {
        name: {part: _located(here, text) for part, text in (at if isinstance(at, dict) else {"": at}).items()}
        for name, at in content.domains.items()
    }
    classes, places = name_classes(file, content, find_places(file, content, paths))
    _check_rows(file, content.teacher_classes, classes)
    attributes = {
        **_attributes(file, content, _letters(file, content)),
        "classes": shown_names(file, content, classes),
        "folder_names": tuple(classes),
        "is_indexed": any(isinstance(at, ListDomain) and at.is_indexed for at in places.values()),
        "places": places,
        "class_embeddings": content.class_embeddings and _located(here, content.class_embeddings),
        "groups": group_pattern(file, content, places),
        "official_tests": {name: f"{name}.{part}" for name, at in places.items() if (part := _tested(at.parts))},
        "official_validation": {name: f"{name}.val" for name, at in places.items() if {"val", "test"} <= at.parts},
    }
    # A class for each file, because classes, domains and settings are class attributes of every data set.
    made: Dataset = type("Own", (OwnDataset,), attributes)()
    made = _with_format(made, content, file)
    # The digest of the images covers classes and folders; how they are changed for training is not visible in them.
    shown = made.classes if content.names else ()
    stored = [] if made.exif_rotation else [{"exif_rotation": False}]
    made.extra_key = json.dumps([made.augmentation, made.teacher_augmentation, *made.normalisation, *shown, *stored])
    return made


def _located(here: Path, text: str) -> Path:
    """A folder or file that the description names; a path as Windows spells it is read where none is called so."""
    path = (here / Path(text).expanduser()).resolve()
    return path if path.exists() or "\\" not in text else _located(here, text.replace("\\", "/"))


def _letters(file: Path, content: OwnDatasetFile) -> dict[str, str]:
    """The letter of each domain, with which the settings can be read."""
    names = list(content.domains)
    letters = {letter.upper(): name for letter, name in content.letters.items()} or _initials(file, names)
    if set(letters.values()) != set(names) or not all(len(letter) == 1 and letter.isalnum() for letter in letters):
        raise UserError(f"{file}: letters must give each domain one letter, such as {{A: {names[0]}}}")
    # Only for its errors: a misspelled setting is reported now, and not after the images are decoded.
    for setting in content.settings:
        Setting.parse(setting, letters, content.unlabelled)
    return letters


def _attributes(file: Path, content: OwnDatasetFile, letters: dict[str, str]) -> dict[str, Any]:
    """The attributes of the data set that the description says whatever the images are."""
    teachers = content.augmentation if content.teacher_augmentation is None else content.teacher_augmentation
    return {
        "title": content.title or file.stem,
        "teacher_classes": tuple(content.teacher_classes),
        "is_ordered": bool(content.classes),
        "domains": letters,
        "settings": tuple(content.settings) or _leave_one_out(letters, content.unlabelled),
        "unlabelled": frozenset(content.unlabelled),
        "augmentation": _augmentation(content, content.augmentation),
        "teacher_augmentation": _augmentation(content, teachers),
        "max_value": content.max_value,
        "exif_rotation": content.exif_rotation,
        "file": file.expanduser().resolve(),
    }


def _with_format(dataset: Dataset, content: OwnDatasetFile, file: Path) -> Dataset:
    """The data set with what the file says of the format of its images."""
    said = content.model_dump(include={"mean", "std", "channel_order", "resize", "interpolation"}, exclude_none=True)
    try:
        made = dataset.with_format(content.channels, **said, value_range=content.value_range or 1)
    except UserError as error:
        text = str(error).removeprefix("--").replace("--value-range ", "value_range: ")
        raise UserError(f"{file}: {text}") from error
    statistics = {"mean", "std"} if content.value_range == 255 else set()
    size = {"image_size"} if content.image_size else set()
    made.image_size, made.stated = content.image_size or made.image_size, frozenset({*said, *statistics, *size})
    return made


def _augmentation(content: OwnDatasetFile, kinds: Collection[Augmentation]) -> tuple[str, ...]:
    """In one order, and without mirroring where that changes a class."""
    return tuple(kind for kind in Augmentation if kind in kinds and (content.flip or kind is not Augmentation.FLIP))


def _tested(parts: Collection[str]) -> str:
    """The part that is tested on: test, or else val."""
    return next((part for part in ("test", "val") if part in parts), "")


def _check_rows(file: Path, rows: Sequence[int], classes: Sequence[str]) -> None:
    """Each class has one row of the teacher's last layer, if rows are named."""
    if rows and (len(rows) != len(classes) or len(set(rows)) < len(rows)):
        raise UserError(
            f"{file}: teacher_classes needs a different row for each of the {len(classes)} classes, in the order "
            f"{shortened(classes)}"
        )


def _initials(file: Path, domains: Sequence[str]) -> dict[str, str]:
    letters = {name[0].upper(): name for name in domains}
    if len(letters) < len(domains):
        raise UserError(
            f"{file}: two domains start with the same letter; choose letters, such as letters: {{A: {domains[0]}}}"
        )
    return letters


def _leave_one_out(letters: Mapping[str, str], unlabelled: Collection[str]) -> tuple[str, ...]:
    """A setting per domain: it is the student's, and the teacher is trained on all others.

    An unlabelled domain is transferred from; then the teacher is trained on all labelled ones.
    """
    labelled = {letter for letter, name in letters.items() if name not in unlabelled}
    adapt = [f"{''.join(sorted(labelled - {letter}))}-{letter}" for letter in sorted(labelled)]
    transfer = [f"{''.join(sorted(labelled))}@{letter}" for letter in sorted(set(letters) - labelled)]
    # With a single labelled domain there is none to adapt to.
    return tuple(adapt * (len(labelled) > 1) + transfer) or tuple(adapt)
