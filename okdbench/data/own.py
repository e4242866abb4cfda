"""Your own pictures as a data set: a YAML file that names domains and their folders of class folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from okdbench.config import load_yaml, validate
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.survey import SUFFIXES
from okdbench.errors import UserError


class OwnFile(BaseModel):
    """What the YAML file may say; folders are relative to it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    domains: Annotated[dict[str, str], Field(min_length=2)]
    title: str = ""
    classes: list[str] = []
    letters: dict[str, str] = {}
    settings: list[str] = []
    flip: bool = True


class OwnDataset(Dataset):
    """Pictures of the user's, looked up anew in every run."""

    licence = "your own pictures"
    citation = ""
    folders: ClassVar[Mapping[str, Path]]
    label: ClassVar[str]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.label

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:  # noqa: ARG002 - the folders say where they are
        """All pictures below the class folders of ``domain``.

        Raises:
            UserError: a folder is no class.
        """
        place, found = self.folders[domain], []
        for index, name in enumerate(self.classes):
            pictures = (path for path in (place / name).rglob("*") if path.suffix.lower() in SUFFIXES)
            found += [Sample(f"{domain}/{path.relative_to(place).as_posix()}", index, path) for path in pictures]
        strange = sorted(set(_class_folders(place)) - set(self.classes))
        if strange:
            raise UserError(f"{place / strange[0]} is none of the classes in the data set's file; add or remove it")
        return found


def own_dataset(file: Path) -> Dataset:
    """The data set that a YAML file describes.

    Raises:
        UserError: the file cannot be understood, or a folder that it names is not there.
    """
    said = validate(OwnFile, load_yaml(file), str(file))
    folders = {name: file.absolute().parent / folder for name, folder in said.domains.items()}
    for name, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"{file}: domain {name!r}: there is no folder {folder}")
        if not _class_folders(folder):
            raise UserError(f"{file}: domain {name!r}: {folder} holds no class folders")
    classes = said.classes or sorted({name for folder in folders.values() for name in _class_folders(folder)})
    letters = said.letters or _initials(file, list(folders))
    if set(letters.values()) != set(folders) or any(len(letter) != 1 for letter in letters):
        raise UserError(f"{file}: letters must give each domain one letter, such as {{A: {next(iter(folders))}}}")
    content = {
        "title": said.title or file.stem,
        "classes": tuple(classes),
        "domains": letters,
        "settings": tuple(said.settings) or _each_alone(letters),
        "flip": said.flip,
        "folders": folders,
        "label": file.stem,
    }
    made: Dataset = type("Own", (OwnDataset,), content)()
    return made


def _class_folders(folder: Path) -> list[str]:
    return sorted(entry.name for entry in os.scandir(folder) if entry.is_dir() and not entry.name.startswith("."))


def _initials(file: Path, domains: Sequence[str]) -> dict[str, str]:
    letters = {name[0].upper(): name for name in domains}
    if len(letters) < len(domains):
        raise UserError(f"{file}: two domains begin alike; name their letters, such as letters: {{A: {domains[0]}}}")
    return letters


def _each_alone(letters: Mapping[str, str]) -> tuple[str, ...]:
    """Each domain as the student's, all others as the teacher's."""
    return tuple(f"{''.join(sorted(set(letters) - {letter}))}-{letter}" for letter in sorted(letters))
