"""Your own pictures as a data set: a YAML file that names domains and their folders of class folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from okdbench.core.config import validate
from okdbench.core.errors import UserError
from okdbench.core.protocol import Setting
from okdbench.core.yaml_files import load_yaml
from okdbench.data.dataset import Dataset, Sample
from okdbench.data.folder_scan import canonical, class_folders, pictures_in


class OwnFile(BaseModel):
    """What the YAML file may say; folders are relative to it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    domains: Annotated[dict[str, str], Field(min_length=1)]
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
    file: ClassVar[Path]

    @property
    def name(self) -> str:
        """The file's name without its ending."""
        return self.file.stem

    @property
    def identity(self) -> str:
        """The file's whole path."""
        return str(self.file)

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:  # noqa: ARG002 - the folders say where they are
        """All pictures below the class folders of ``domain``.

        Raises:
            UserError: a folder is no class.
        """
        place, found = self.folders[domain], []
        for index, name in enumerate(self.classes):
            pictures = pictures_in(place / name)
            found += [Sample(f"{domain}/{path.relative_to(place).as_posix()}", index, path) for path in pictures]
        return found


def own_dataset(file: Path) -> Dataset:
    """The data set that a YAML file describes.

    Raises:
        UserError: the file cannot be understood, or a folder that it names is not there.
    """
    said = validate(OwnFile, load_yaml(file), str(file))
    folders = {name: (file.resolve().parent / Path(text).expanduser()).resolve() for name, text in said.domains.items()}
    held = _look(file, folders)
    classes = said.classes or sorted({name for names in held.values() for name in names})
    _check_classes(file, classes, held)
    letters = {letter.upper(): name for letter, name in said.letters.items()} or _initials(file, list(folders))
    if set(letters.values()) != set(folders) or any(len(letter) != 1 for letter in letters):
        raise UserError(f"{file}: letters must give each domain one letter, such as {{A: {next(iter(folders))}}}")
    for setting in said.settings:
        Setting.parse(setting, letters)
    content = {
        "title": said.title or file.stem,
        "classes": tuple(classes),
        "domains": letters,
        "settings": tuple(said.settings) or _each_alone(letters),
        "flip": said.flip,
        "folders": folders,
        "file": file.resolve(),
        "source": "" if said.flip else "flip: false",  # a part of every key; all else is told by paths and pictures
    }
    made: Dataset = type("Own", (OwnDataset,), content)()
    return made


def _look(file: Path, folders: Mapping[str, Path]) -> dict[str, list[str]]:
    """Domain -> its class folders; no domain may lie in another."""
    for name, folder in folders.items():
        if not folder.is_dir():
            raise UserError(f"{file}: domain {name!r}: there is no folder {folder}")
        for other, place in folders.items():
            if other != name and folder.is_relative_to(place):
                raise UserError(f"{file}: domain {name!r} lies in the folder of {other!r}; give each its own")
    held = {name: [inner.name for inner in class_folders(folder)] for name, folder in folders.items()}
    for name, classes in held.items():
        if not classes:
            raise UserError(f"{file}: domain {name!r}: {folders[name]} holds no class folders")
    return held


def _check_classes(file: Path, classes: Sequence[str], held: Mapping[str, Sequence[str]]) -> None:
    """Every class is spelt once, every folder is a class, and every domain has every class."""
    spelt: dict[str, str] = {}
    for name in classes:
        if canonical(name) in spelt:
            raise UserError(
                f"{file}: the classes {spelt[canonical(name)]!r} and {name!r} are one; spell them alike, once"
            )
        spelt[canonical(name)] = name
    for domain, names in held.items():
        strange, absent = sorted(set(names) - set(classes)), sorted(set(classes) - set(names))
        if strange:
            raise UserError(f"{file}: {domain}/{strange[0]} is none of the classes; add it to them or remove it")
        if absent:
            raise UserError(f"{file}: domain {domain!r} has no class {absent[0]!r}; if so it is, make an empty folder")


def _initials(file: Path, domains: Sequence[str]) -> dict[str, str]:
    letters = {name[0].upper(): name for name in domains}
    if len(letters) < len(domains):
        raise UserError(f"{file}: two domains begin alike; name their letters, such as letters: {{A: {domains[0]}}}")
    return letters


def _each_alone(letters: Mapping[str, str]) -> tuple[str, ...]:
    """Each domain as the student's, all others as the teacher's."""
    return tuple(f"{''.join(sorted(set(letters) - {letter}))}-{letter}" for letter in sorted(letters))
