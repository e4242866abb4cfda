"""A line of a leaderboard as a claim that can be tested: what it says was measured, and by which command.

Such a file may come from anyone. Its command is never given to a shell, and only options that say *what* to compute are
taken: none that names a file or folder.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okdbench.core import plugins, syntax
from okdbench.core.command import read_command
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import printable
from okdbench.results.grouping import ALL, ComparisonGroup
from okdbench.results.leaderboard import COLUMNS

#: the options of ``okdbench run`` that a command may use
_RUN_OPTIONS = ("dataset", "setting", "budget", "track", "teacher", "student", "pretrained", "image_size", "precision",
                "test_split")  # fmt: skip


@dataclass(frozen=True)
class RowSpec:
    """One line: the texts of its columns, and its command as :func:`okdbench.sweep.grid.parse_grid` reads it."""

    file: Path
    columns: Mapping[str, str]
    given: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the run's configuration that the command names; None for the others."""
        return {name: self.given.get(name) for name in _RUN_OPTIONS}

    @property
    def contest(self) -> ComparisonGroup:
        """The contest of the row."""
        networks = {name: self.columns[name] for name in ComparisonGroup._fields if name != "dataset"}
        return ComparisonGroup(dataset=self.given["dataset"], **networks)

    @property
    def runs(self) -> int:
        """How many finished runs the row is the mean of."""
        return int(self.columns["complete"].partition("/")[0])


def read_row_spec(place: str) -> RowSpec:
    """The claim in a line, named as ``leaderboards/digits.csv:7``: as an editor counts, so line 1 is the header.

    Raises:
        UserError: there is no such line, it is not one of a leaderboard, or its command is not to be trusted.
    """
    found = re.fullmatch(r"(.+):(\d{1,9})", place, re.DOTALL)
    if not found:
        raise UserError(f"{printable(place)} names no line; write leaderboards/digits.csv:2, line 1 is the header")
    file, line = Path(found[1]), int(found[2])
    columns = _line(file, line)
    try:
        given = read_command(columns["command"])
        _compare(given, columns)
    except UserError as error:
        raise UserError(f"{printable(place)}: {printable(str(error))}") from error
    return RowSpec(file, columns, given)


def _line(file: Path, line: int) -> dict[str, str]:
    """Column -> text of a line."""
    try:
        reader = csv.reader(file.read_text("utf-8").splitlines(keepends=True), strict=True)
        header, before = next(reader, []), 1
        if not set(COLUMNS) <= set(header):
            raise UserError(f"{file} is not a leaderboard; okdbench leaderboard --output FOLDER writes such files")
        for row in reader:
            if before < line <= reader.line_num and len(row) == len(header):
                return dict(zip(header, row, strict=True))
            before = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a leaderboard ({error}); name another file") from error
    raise UserError(f"{file} has no row in line {line}; its rows are in lines 2 to {before}")


def _compare(given: Mapping[str, Any], columns: Mapping[str, str]) -> None:
    """Raise UserError unless the command is of this row, and of a data set that comes along."""
    dataset = given.get("dataset")
    if dataset not in plugins.dataset_names():
        raise UserError(f"its data set {dataset!r} is none of those that come along; run it by hand if you trust it")
    said = {name: str(given.get(name) or RunConfig.model_fields[name].default) for name in ComparisonGroup._fields[1:]}
    said["setting"] = given.get("setting") or ALL
    said["method"] = syntax.parse_method(" ".join(given.get("method") or []))[0]
    if said["method"] not in plugins.method_names():
        raise UserError(
            f"its method {said['method']!r} is none of those that come along; run it by hand if you trust it"
        )
    seeds = syntax.parse_seeds(given["seeds"]) if "seeds" in given else [given.get("seed")]
    said["seeds"] = str(len(seeds))
    for name, text in said.items():
        if columns[name].partition("[")[0] != text:
            raise UserError(f"its command is of another row: {name} {text!r} in it, {columns[name]!r} in the column")
    if not re.fullmatch(r"\d{1,6}/\d{1,6}", columns["complete"]):
        raise UserError(f"its column 'complete' is {columns['complete']!r}, not of the form 6/6")
    try:
        float(columns["acc"])
    except ValueError as error:
        raise UserError("it has no accuracy: none of its runs is finished") from error
