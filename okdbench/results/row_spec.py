"""One line of a leaderboard's CSV file as a claim to verify: the numbers in it, and the command that makes them.

The file may come from anyone. Its command never reaches a shell, and only options that say *what* to compute are
accepted: none that names a file, a folder or a device.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from okdbench.core import plugin_files, plugins, syntax
from okdbench.core.command import read_command
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import printable
from okdbench.core.network_names import refuse_code
from okdbench.core.protocol import PROTOCOL_VERSION, tracks_of
from okdbench.core.settings import TaskKind, task_of
from okdbench.results.columns import is_complete, shown_in
from okdbench.results.grouping import ALL, GROUP, ComparisonGroup, is_partial, method_name

#: the options of ``okdbench run`` that a command may use
_RUN_OPTIONS = ("dataset", "setting", "task", "budget", "track", "shots", "teacher", "student", "pretrained",
                "image_size", "resize", "interpolation", "channels", "channel_order", "value_range", "mean", "std",
                "precision", "teacher_recipe", "ood_subset", "test_split", "tuned")  # fmt: skip


@dataclass(frozen=True)
class RowSpec:
    """One line: the texts of its columns, and its command as :func:`okdbench.core.command.read_command` reads it."""

    file: Path
    columns: Mapping[str, str]
    given: Mapping[str, Any]

    @property
    def options(self) -> dict[str, Any]:
        """The fields of the run's configuration that the command names; None for the others."""
        return {name: self.given.get(name) for name in _RUN_OPTIONS}

    @property
    def group(self) -> ComparisonGroup:
        """The comparison group of the row."""
        return ComparisonGroup(*(self.columns[name] for name in GROUP))

    @property
    def runs(self) -> int:
        """How many finished runs the row has."""
        return int(self.columns["complete"].partition("/")[0])

    def is_mean_of(self, runs: int) -> bool:
        """Whether the row can be the mean of so many runs: seeds that lack a run do not count in it."""
        return runs == self.runs or (not is_complete(self.columns) and runs < self.runs)


def read_row_spec(place: str, method: Path | None = None) -> RowSpec:
    """The row in one line of a file.

    Args:
        place: file and line, such as ``leaderboards/digits.csv:7``, counted as an editor does: line 1 is the header.
        method: the file of a local method, which the user has read; it must be the one that the row is of.

    Raises:
        UserError: there is no such line, it is not a line of a leaderboard, or its command is not to be trusted.
    """
    # Greedy, because a path may contain colons; bounded, because int() refuses thousands of digits.
    found = re.fullmatch(r"(.+):(\d{1,9})", place, re.DOTALL)
    if not found:
        raise UserError(f"{printable(place)} names no line; write leaderboards/digits.csv:2, line 1 is the header")
    file, line = Path(found[1]), int(found[2])
    columns = _line(file, line)
    try:
        given = read_command(columns["command"])
        _check(given, columns, method)
    except UserError as error:
        raise UserError(f"{printable(place)}: {printable(str(error))}") from error
    return RowSpec(file, columns, {**given, "method": _method(given, method)})


def _method(given: Mapping[str, Any], file: Path | None) -> list[str]:
    """The method as it is to be run: as the command has it, or with this file in place of its own."""
    texts: list[str] = given["method"]
    if file is None:
        return texts
    _, hyperparameters = syntax.parse_method(" ".join(texts))
    return [syntax.spell_method(str(file), syntax.spell_assignments(hyperparameters))]


def _line(file: Path, line: int) -> dict[str, str]:
    """Column -> text of a line."""
    try:
        reader = csv.reader(file.read_text("utf-8").splitlines(keepends=True), strict=True)
        header, before = next(reader, []), 1
        if not {column.name for column in shown_in("csv")} <= set(header):
            raise UserError(f"{file} is not a leaderboard; okdbench leaderboard --output FOLDER writes such files")
        # A quoted cell may contain line ends, so a row can span several lines.
        for row in reader:
            if before < line <= reader.line_num and len(row) == len(header):
                return dict(zip(header, row, strict=True))
            before = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{file} cannot be read as a leaderboard ({error}); name another file") from error
    raise UserError(f"{file} has no row in line {line}; its rows are in lines 2 to {before}")


def _check(given: Mapping[str, Any], columns: Mapping[str, str], file: Path | None) -> None:
    """Raise a UserError unless the command belongs to this row, and what it names may be executed.

    That are bundled methods, data sets and networks, and a method in a ``file`` that the user names.
    """
    dataset = given.get("dataset")
    # Verifying runs code of the data set and of the method, so only what is bundled is accepted.
    if dataset not in plugins.dataset_names():
        raise UserError(f"its data set {dataset!r} is not a bundled one; run it by hand if you trust it")
    for role in ("teacher", "student"):
        refuse_code(given.get(role) or "", role)
    if columns["protocol"] != str(PROTOCOL_VERSION):
        raise UserError(
            f"its runs are of protocol {columns['protocol']}, and this version runs protocol {PROTOCOL_VERSION}; "
            "docs/protocol.md says what has changed"
        )
    for name, text in _in_command(given, columns, file).items():
        # In brackets there are hyper-parameters or conditions, which the command has as options of their own.
        if columns[name].partition("[")[0] != text:
            raise UserError(f"its command is of another row: {name} {text!r} in it, {columns[name]!r} in the column")
    if not re.fullmatch(r"\d{1,6}/\d{1,6}", columns["complete"]):
        raise UserError(f"its column 'complete' is {columns['complete']!r}, not of the form 6/6")
    try:
        float(columns["acc"])
    except ValueError as error:
        raise UserError("it has no accuracy: none of its runs is finished") from error


def _in_command(given: Mapping[str, Any], columns: Mapping[str, str], file: Path | None) -> dict[str, str]:
    """Column -> what the command says of it, with the defaults of what it leaves out."""
    settings = given["setting"].split(",") if "setting" in given else []
    task = task_of(settings[0]) if settings else given.get("task") or TaskKind.ADAPT.value
    if task not in list(TaskKind):
        raise UserError(f"its command names the task {task!r}, which does not exist")
    # Without a name, a command means the networks of the data set, which verifying it finds out.
    default = {name: columns[name].partition("[")[0] for name in ("teacher", "student")}
    default["budget"] = RunConfig.model_fields["budget"].default
    default |= {"track": tracks_of(TaskKind(task))[0], "shots": ALL, "setting": ALL, "dataset": given["dataset"]}
    in_command = {name: str(given.get(name) or value) for name, value in default.items()} | {"task": str(task)}
    # A row of some of the default settings is called after their number, and its command names them.
    if is_partial(columns["setting"]) and columns["setting"].startswith(f"{len(settings)} of "):
        in_command["setting"] = columns["setting"]
    in_command["method"] = syntax.parse_method(" ".join(given.get("method") or []))[0]
    if plugin_files.is_path(in_command["method"]):
        in_command["method"] = _named_file(in_command["method"], file)
    elif file or in_command["method"] not in plugins.method_names():
        what = "no local one; leave out --method" if file else "not a bundled one; run it by hand if you trust it"
        raise UserError(f"its method {in_command['method']!r} is {what}")
    seeds = syntax.parse_seeds(given["seeds"]) if "seeds" in given else [given.get("seed")]
    in_command["seeds"] = str(len(seeds))
    return in_command


def _named_file(method: str, file: Path | None) -> str:
    """The name that the user's file has in tables; nothing in it is executed."""
    if file is None:
        raise UserError(
            f"its method {method!r} is not a bundled one; get its file with okdbench runs source, read it, and name it "
            "with --method"
        )
    if file.name != Path(method).name:
        raise UserError(f"its method is in a file called {Path(method).name}, not {file.name}")
    return method_name(file.stem, plugins.LOCAL, plugin_files.read(str(file)).digest)
