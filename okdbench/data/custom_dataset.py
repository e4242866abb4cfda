"""The user's own images as a data set: a YAML file names the folder of each domain."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from okdbench.core.config import validate
from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.core.yaml_files import load_yaml
from okdbench.data.class_order import order_note
from okdbench.data.dataset import Augmentation, Dataset, Sample
from okdbench.data.own_domain import FolderDomain, Scan, folder_domain
from okdbench.data.own_file import OwnDatasetFile, listed_classes, shown_names, written_classes


class OwnDataset(Dataset):
    """Base of the classes that are made from YAML files; the folders are listed again in every run."""

    licence = "your own images"
    citation = ""
    #: domain -> where its images are
    places: ClassVar[Mapping[str, FolderDomain]]
    #: the classes as the folders are called, which may be shown by other names
    folder_names: ClassVar[tuple[str, ...]]
    #: whether the file lists the classes
    is_ordered: ClassVar[bool]
    file: ClassVar[Path]

    @property
    def name(self) -> str:
        """Name of the YAML file without its suffix."""
        return self.file.stem

    @property
    def identity(self) -> str:
        """Absolute path of the YAML file: two files of one name are two data sets."""
        return str(self.file)

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:  # noqa: ARG002 - the file names the folders
        """All images of ``domain``, or of its validation or test part, such as ``phone.test``; ``root`` is not used.

        Raises:
            UserError: there is none.
        """
        name, parts = (domain, {"", "train"}) if domain in self.places else _part(domain)
        labels = {label: index for index, label in enumerate(self.folder_names)} | {"": -1}
        found = [
            Sample(f"{name}/{image.path}", labels[image.label], image.file)
            for image in self.scan(name).images
            if image.part in parts
        ]
        if not found:
            place = self.places[name].place
            raise UserError(f"{self.file}: domain {domain!r}: {place} has no images; add some or correct its path")
        return found

    def scan(self, domain: str) -> Scan:
        """The images of ``domain`` in all its parts, and what is ignored.

        Raises:
            UserError: a folder cannot be read.
        """
        return self.places[domain].scan()

    def remarks(self) -> list[str]:
        """What a user should know of these images before a run, a line each."""
        note = "" if self.is_ordered else order_note(self.folder_names)
        return [f"{self.name}: {note}"] if note else []


def _part(domain: str) -> tuple[str, set[str]]:
    """The domain and the part in the name of a part."""
    name, _, part = domain.rpartition(".")
    return name, {part}


def own_dataset(file: Path) -> Dataset:
    """The data set that a YAML file describes.

    Raises:
        UserError: the file is invalid, or a folder that it names does not exist.
    """
    content = validate(OwnDatasetFile, load_yaml(file), str(file))
    here = file.resolve().parent
    folders = {name: (here / Path(text).expanduser()).resolve() for name, text in content.domains.items()}
    if unknown_names := sorted(set(content.unlabelled) - set(folders)):
        raise UserError(f"{file}: unlabelled names {unknown_names[0]!r}, which is none of the domains")
    _check_places(file, folders)
    places = {
        name: folder_domain(folder, written_classes(content), name not in content.unlabelled)
        for name, folder in folders.items()
    }
    found = _classes_by_domain(file, places, content.unlabelled)
    names = sorted(set().union(*found.values()))
    classes = listed_classes(file, content, names)
    _check_folders(file, classes, found)
    classes = classes or names
    letters = {letter.upper(): name for letter, name in content.letters.items()} or _initials(file, list(folders))
    if set(letters.values()) != set(folders) or not all(len(letter) == 1 and letter.isalnum() for letter in letters):
        raise UserError(f"{file}: letters must give each domain one letter, such as {{A: {next(iter(folders))}}}")
    # Only for its errors: a misspelled setting is reported now, and not after the images are decoded.
    for setting in content.settings:
        Setting.parse(setting, letters, content.unlabelled)
    attributes = {
        "title": content.title or file.stem,
        "classes": shown_names(file, content, classes),
        "folder_names": tuple(classes),
        "is_ordered": bool(content.classes),
        "domains": letters,
        "settings": tuple(content.settings) or _leave_one_out(letters, content.unlabelled),
        "unlabelled": frozenset(content.unlabelled),
        "augmentation": _augmentation(content, content.augmentation),
        "teacher_augmentation": _augmentation(
            content, content.augmentation if content.teacher_augmentation is None else content.teacher_augmentation
        ),
        "places": places,
        "official_tests": {name: f"{name}.{part}" for name, at in places.items() if (part := _tested(at.parts))},
        "official_validation": {name: f"{name}.val" for name, at in places.items() if {"val", "test"} <= at.parts},
        "max_value": content.max_value,
        "file": file.resolve(),
    }
    # A class for each file, because classes, domains and settings are class attributes of every data set.
    made: Dataset = type("Own", (OwnDataset,), attributes)()
    try:
        made = made.with_format(content.channels, content.mean, content.std, content.resize)
    except UserError as error:
        raise UserError(f"{file}: {str(error).removeprefix('--')}") from error
    # The digest of the images covers classes and folders; how they are changed for training is not visible in them.
    made.extra_key = json.dumps([made.augmentation, made.teacher_augmentation, made.mean, made.std])
    return made


def _augmentation(content: OwnDatasetFile, kinds: Collection[Augmentation]) -> tuple[str, ...]:
    """In one order, and without mirroring where that changes a class."""
    return tuple(kind for kind in Augmentation if kind in kinds and (content.flip or kind is not Augmentation.FLIP))


def _tested(parts: Collection[str]) -> str:
    """The part that is tested on: test, or else val."""
    return next((part for part in ("test", "val") if part in parts), "")


def _check_places(file: Path, places: Mapping[str, Path]) -> None:
    """Refuse domains without a folder, and in each other."""
    for name, folder in places.items():
        if not folder.is_dir():
            raise UserError(f"{file}: domain {name!r}: there is no folder {folder}; correct its path")
        for other, parent in places.items():
            # One image in two domains would be in the training set of the teacher and in the test set of the student.
            if other != name and folder.is_relative_to(parent):
                raise UserError(f"{file}: domain {name!r} is inside the folder of {other!r}; use separate folders")


def _classes_by_domain(
    file: Path, places: Mapping[str, FolderDomain], unlabelled: Collection[str]
) -> dict[str, set[str]]:
    """Labelled domain -> its class folders."""
    found = {name: at.labels for name, at in places.items() if name not in unlabelled}
    for name, classes in found.items():
        if not classes:
            raise UserError(
                f"{file}: domain {name!r}: {places[name].place} has no class folders; make one per class, or write "
                f"unlabelled: [{name}]"
            )
    if not found:
        raise UserError(f"{file}: every domain is unlabelled; the teacher's needs a folder per class")
    return found


def _check_folders(file: Path, listed: Sequence[str], found: Mapping[str, Collection[str]]) -> None:
    """Each folder is a listed class; without a list, each domain has the same folders."""
    classes = listed or sorted(set().union(*found.values()))
    for domain, names in found.items():
        extra, absent = sorted(set(names) - set(classes)), [name for name in classes if name not in names]
        if extra:
            raise UserError(
                f"{file}: {domain}/{extra[0]} is not one of the classes; add it to them or remove it, or write "
                f"unlabelled: [{domain}] if the domain has classes of its own"
            )
        # A listed class may have no images, but of folders alone one may be misspelled.
        if absent and not listed:
            having = next(other for other, classes_there in found.items() if absent[0] in classes_there)
            raise UserError(
                f"{file}: domain {domain!r} has no folder for class {absent[0]!r}; add it, empty if it has no images, "
                f"list all under classes:, or write unlabelled: [{having}] if that domain has classes of its own"
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
