"""The user's own images as a data set: a YAML file names the folder of each domain."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from okdbench.core.config import ImageSize, Numbers, ResizeRule, ValueRange, validate
from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.core.yaml_files import load_yaml
from okdbench.data.dataset import Augmentation, Dataset, Sample
from okdbench.data.image_files import canonical, class_folders, images_in

# strict models take no text for an enum
Kind = Annotated[Augmentation, Field(strict=False)]


class OwnDatasetFile(BaseModel):
    """The content of the YAML file; folders are relative to it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    domains: Annotated[dict[str, str], Field(min_length=1)]
    title: str = ""
    classes: list[str] = []
    letters: dict[str, str] = {}
    settings: list[str] = []
    unlabelled: list[str] = []
    flip: bool = True
    #: of the student's training, and of the teacher's
    augmentation: list[Kind] = [Augmentation.SHIFT, Augmentation.FLIP]
    teacher_augmentation: list[Kind] | None = None
    channels: Literal[1, 3] = 3
    mean: Numbers | None = None
    std: Numbers | None = None
    value_range: ValueRange = None
    channel_order: Literal["rgb", "bgr"] | None = None
    resize: ResizeRule | None = None
    image_size: ImageSize | None = None


class OwnDataset(Dataset):
    """Base of the classes that are made from YAML files; the folders are listed again in every run."""

    licence = "your own images"
    citation = ""
    folders: ClassVar[Mapping[str, Path]]
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
        """All images below the class folders of ``domain``, or in it if it is unlabelled; ``root`` is not used.

        Raises:
            UserError: there is none.
        """
        folder = self.folders[domain]
        places = (
            {-1: folder} if domain in self.unlabelled else {i: folder / name for i, name in enumerate(self.classes)}
        )
        found = [
            Sample(f"{domain}/{path.relative_to(folder).as_posix()}", label, path)
            for label, place in places.items()
            for path in images_in(place)
        ]
        if not found:
            raise UserError(f"{self.file}: domain {domain!r}: {folder} has no images; add some or correct its path")
        return found


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
    found = _classes_by_domain(file, folders, content.unlabelled)
    classes = content.classes or sorted({name for names in found.values() for name in names})
    _check_classes(file, classes, found)
    letters = {letter.upper(): name for letter, name in content.letters.items()} or _initials(file, list(folders))
    if set(letters.values()) != set(folders) or not all(len(letter) == 1 and letter.isalnum() for letter in letters):
        raise UserError(f"{file}: letters must give each domain one letter, such as {{A: {next(iter(folders))}}}")
    # Only for its errors: a misspelled setting is reported now, and not after the images are decoded.
    for setting in content.settings:
        Setting.parse(setting, letters, content.unlabelled)
    attributes = {
        "title": content.title or file.stem,
        "classes": tuple(classes),
        "domains": letters,
        "settings": tuple(content.settings) or _leave_one_out(letters, content.unlabelled),
        "unlabelled": frozenset(content.unlabelled),
        "augmentation": _augmentation(content, content.augmentation),
        "teacher_augmentation": _augmentation(
            content, content.augmentation if content.teacher_augmentation is None else content.teacher_augmentation
        ),
        "folders": folders,
        "file": file.resolve(),
    }
    # A class for each file, because classes, domains and settings are class attributes of every data set.
    made: Dataset = type("Own", (OwnDataset,), attributes)()
    made = _with_format(made, content, file)
    # The digest of the images covers classes and folders; how they are changed for training is not visible in them.
    made.extra_key = json.dumps([made.augmentation, made.teacher_augmentation, made.mean, made.std])
    return made


def _with_format(dataset: Dataset, content: OwnDatasetFile, file: Path) -> Dataset:
    """The data set with what the file says of the format of its images."""
    said = content.model_dump(include={"mean", "std", "channel_order", "resize"}, exclude_none=True)
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


def _classes_by_domain(file: Path, folders: Mapping[str, Path], unlabelled: Collection[str]) -> dict[str, list[str]]:
    """Labelled domain -> names of its class folders; no domain may contain another."""
    for name, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"{file}: domain {name!r}: there is no folder {folder}; correct its path")
        for other, parent in folders.items():
            # One image in two domains would be in the training set of the teacher and in the test set of the student.
            if other != name and folder.is_relative_to(parent):
                raise UserError(f"{file}: domain {name!r} is inside the folder of {other!r}; use separate folders")
    labelled = {name: folder for name, folder in folders.items() if name not in unlabelled}
    found = {name: [inner.name for inner in class_folders(folder)] for name, folder in labelled.items()}
    for name, classes in found.items():
        if not classes:
            raise UserError(
                f"{file}: domain {name!r}: {folders[name]} has no class folders; make one per class, or write "
                f"unlabelled: [{name}]"
            )
    if not found:
        raise UserError(f"{file}: every domain is unlabelled; the teacher's needs a folder per class")
    return found


def _check_classes(file: Path, classes: Sequence[str], found: Mapping[str, Sequence[str]]) -> None:
    """Each class has one spelling, each folder is a class, and each domain has a folder for each class."""
    spelled: dict[str, str] = {}
    for name in classes:
        if canonical(name) in spelled:
            raise UserError(
                f"{file}: the classes {spelled[canonical(name)]!r} and {name!r} are the same; use one spelling, once"
            )
        spelled[canonical(name)] = name
    for domain, names in found.items():
        extra, absent = sorted(set(names) - set(classes)), sorted(set(classes) - set(names))
        if extra:
            raise UserError(
                f"{file}: {domain}/{extra[0]} is not one of the classes; add it to them or remove it, or write "
                f"unlabelled: [{domain}] if the domain has classes of its own"
            )
        # An empty folder is accepted: some domains really lack a class, but a misspelled folder is an error.
        if absent:
            having = next((other for other, classes_there in found.items() if absent[0] in classes_there), domain)
            raise UserError(
                f"{file}: domain {domain!r} has no folder for class {absent[0]!r}; add it, empty if it has no "
                f"images, or write unlabelled: [{having}] if that domain has classes of its own"
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
