"""An image of a list, as its line names it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from okdbench.core.errors import UserError
from okdbench.data.own_domain import PARTS

#: what else the part is called in lists: of FER2013, in which the first is for validation
LIST_PARTS = PARTS | {"publictest": "val", "privatetest": "test"}


class Row(NamedTuple):
    """An image as its line names it; texts are empty where it says nothing.

    Attributes:
        place: the file that is named.
        label: its class.
        part: train, val or test.
        group: what it belongs to.
    """

    place: Path
    label: str
    part: str = ""
    group: str = ""


class Rows(NamedTuple):
    """What a list has.

    Attributes:
        rows: the images.
        ignored: what is not used: columns, and files of these names that are not in their folder.
        notes: what a user should know of it, a line each.
    """

    rows: list[Row]
    ignored: Counter[str]
    notes: Sequence[str] = ()


def row_of(file: Path, line: str, labelled: bool, said: Mapping[str, str]) -> Row:
    """The row of a line that says ``path``, ``label``, ``split`` and ``group``, or some of them."""
    where, part = f"{file} line {line}", said.get("split", "").lower()
    if not said["path"] or (labelled and not said.get("label")):
        raise UserError(f"{where} has no {'path' if not said['path'] else 'class'}; add it, or remove the line")
    if part not in {"", *LIST_PARTS}:
        raise UserError(f"{where}: split {part!r} is none of train, val and test; correct it, or rename the column")
    label = said["label"] if labelled else ""
    return Row(place_of(file, said["path"]), label, LIST_PARTS.get(part, ""), said.get("group", ""))


def place_of(file: Path, text: str) -> Path:
    """The image that a line of the list ``file`` names."""
    return Path(os.path.normpath(file.parent / text.replace("\\", "/")))
