"""The YAML file that describes a user's own images: its keys, and the names of its classes."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from okdbench.core.config import ImageSize, Numbers, ResizeRule, ValueRange
from okdbench.core.errors import UserError
from okdbench.core.resize import Interpolation
from okdbench.data.dataset import Augmentation

# strict models take no text for an enum
Kind = Annotated[Augmentation, Field(strict=False)]
#: a class may be called 7, 1e3 or null, which the file need not quote
Name = Annotated[str, Field(min_length=1)]
#: keys of the file with names and paths: below them nothing is a number, a null or a truth value
NAMING = ("domains", "classes", "names", "letters", "settings", "unlabelled", "ignore")


class OwnDatasetFile(BaseModel):
    """The content of the YAML file; folders and lists are relative to it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    #: domain -> a folder or list, or one for each of its parts
    domains: Annotated[dict[str, str | dict[str, str]], Field(min_length=1)]
    title: str = ""
    classes: list[Name] | dict[Name, Name] = []
    #: rows of the last layer of a teacher for more classes
    teacher_classes: list[Annotated[int, Field(ge=0)]] = []
    #: file of text embeddings of the classes
    class_embeddings: str | None = None
    #: class folder -> the name that is shown
    names: dict[Name, Name] = {}
    letters: dict[str, str] = {}
    settings: list[str] = []
    unlabelled: list[str] = []
    #: classes whose images are left out
    ignore: list[Name] = []
    #: which images belong together: a regular expression on the path, or a column of a list
    groups: str = ""
    flip: bool = True
    #: of the student's training, and of the teacher's
    augmentation: list[Kind] = [Augmentation.SHIFT, Augmentation.FLIP]
    teacher_augmentation: list[Kind] | None = None
    channels: Literal[1, 3] = 3
    mean: Numbers | None = None
    std: Numbers | None = None
    value_range: ValueRange = None
    channel_order: Literal["rgb", "bgr", "grey"] | None = None
    resize: ResizeRule | None = None
    interpolation: Interpolation | None = None
    image_size: ImageSize | None = None
    #: what is white in files of more than eight bits
    max_value: Annotated[float, Field(gt=0, strict=False)] | None = None
    #: whether images are turned upright, as their EXIF says
    exif_rotation: bool = True

    @field_validator("domains", mode="before")
    @classmethod
    def _check_domains(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError("name each domain and its folder, such as domains: {studio: images/studio}")
        for name, place in value.items():
            texts = list(place.values()) if isinstance(place, dict) else [place]
            if not texts or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"name a folder or a list, or {name}: {{train: train.txt, test: test.txt}}")
        return value


def written_classes(content: OwnDatasetFile) -> set[str]:
    """The names of the classes that are listed, as they are written."""
    listed = content.classes
    return {composed(name) for name in (listed.values() if isinstance(listed, dict) else listed)}


def composed(name: str) -> str:
    """The name with composed letters: macOS stores an é as two characters, and most others as one."""
    return unicodedata.normalize("NFC", name)


def listed_classes(file: Path, content: OwnDatasetFile, found: Collection[str]) -> list[str]:
    """The classes in the order of ``classes:``, spelled as the folders that were found; empty if it is not given.

    Raises:
        UserError: an index is missing, or a class is listed twice.
    """
    listed = content.classes
    values = _in_order(file, listed) if isinstance(listed, dict) else listed
    names = [_spelled(value, found) for value in values]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{file}: class {twice[0]!r} is listed twice; list it once")
    return names


def ignored_classes(file: Path, content: OwnDatasetFile, found: Collection[str]) -> set[str]:
    """The classes of ``ignore:``, spelled as those that were found.

    Raises:
        UserError: one of them is none of these.
    """
    names = {_spelled(name, found) for name in content.ignore}
    if extra := sorted(names - set(found)):
        raise UserError(f"{file}: ignore has {extra[0]!r}, which is none of the classes that were found; correct it")
    return names


def shown_names(file: Path, content: OwnDatasetFile, classes: Sequence[str]) -> tuple[str, ...]:
    """The names of the classes for tables and cards: those of ``names:``, else the folders' own.

    Raises:
        UserError: ``names:`` has something that is no class, a class twice, or one name for two classes.
    """
    given = {_spelled(folder, classes): name for folder, name in content.names.items()}
    if extra := [folder for folder in given if folder not in classes]:
        raise UserError(f"{file}: names has {extra[0]!r}, which is none of the classes; correct it")
    if len(given) < len(content.names):
        raise UserError(f"{file}: names has a class twice, such as 7 and 007; name each once")
    shown = tuple(given.get(name, name) for name in classes)
    if twice := [name for name in shown if shown.count(name) > 1]:
        raise UserError(f"{file}: names calls two classes {twice[0]!r}; give each its own name")
    return shown


def _in_order(file: Path, listed: Mapping[Name, Name]) -> list[Name]:
    try:
        by_index = {int(index): name for index, name in listed.items()}
    except ValueError:
        raise UserError(f"{file}: classes must be a list, or index: name, such as {{0: cup, 1: lamp}}") from None
    absent = sorted(set(range(len(listed))) - set(by_index))
    if absent:
        raise UserError(f"{file}: classes has no index {absent[0]}; number them from 0 to {len(listed) - 1}")
    return [by_index[index] for index in range(len(listed))]


def _spelled(name: str, known: Collection[str]) -> str:
    """The name of a class; a number is the only known name that has its value, such as 007 for 7."""
    text = composed(name)
    same = [] if text in known else [other for other in known if _value(other) == _value(text) is not None]
    return same[0] if len(same) == 1 else text


def _value(name: str) -> float | None:
    return float(name) if re.fullmatch(r"[0-9]+(\.[0-9]+)?", name) else None
