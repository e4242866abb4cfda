"""Runs as a data frame with one flat row per run, and the records behind its rows.

    >>> okdbench.load_records("runs").groupby(["method", "setting"])["acc"].mean()  # doctest: +SKIP

The frame's index is the position of the run's record in the list that it was made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, NamedTuple

import pandas as pd

from okdbench.core.notices import say
from okdbench.core.protocol import FIRST_BFLOAT16_VERSION
from okdbench.results.grouping import (
    ALL,
    GROUP,
    Cell,
    ComparisonGroup,
    counted,
    current,
    groups_of,
    label,
    without_tuning,
    without_void,
)
from okdbench.results.records import Record, Score, Traffic
from okdbench.results.sources import Source
from okdbench.results.store import read_all

#: share of the way from chance to 100 % below which a run has collapsed
_NEAR_CHANCE = 0.05


class RunColumn(NamedTuple):
    """A column of the frame of runs; numbers that a run lacks, or that are not finite, are NaN."""

    name: str
    dtype: Literal["str", "int64", "float64", "object"]
    meaning: str
    value: Callable[[Record], Any]


def _test(name: str) -> Callable[[Record], float | None]:
    """A number of the selected evaluation on the test split."""
    return lambda record: getattr(record.selected.evaluation.test, name) if record.selected else None


def _traffic(network: str, count: str) -> Callable[[Record], int | None]:
    return lambda record: getattr(record.cost.traffic.get(network, Traffic(updates=0)), count)


def _teacher(name: str) -> Callable[[Record], float | None]:
    return lambda record: getattr(record.teacher_score, name) if record.teacher_score else None


def _passes(record: Record) -> int | None:
    traffic = record.cost.traffic.values()
    return sum(one.forward + one.backward for one in traffic) if traffic else None


def _collapsed(record: Record) -> float | None:
    """Whether the selected student is within a twentieth of the way from chance to perfect; None if it is unknown."""
    if record.selected is None or record.classes is None:
        return None
    test, chance = record.selected.evaluation.test, 100 / record.classes
    # The F1 score as well, because one class may be most of the images.
    return float(min(test.acc, test.macro_f1) < chance + _NEAR_CHANCE * (100 - chance))


#: why the runs that :func:`okdbench.results.grouping.without_void` leaves out count nowhere
VOID = f"bfloat16 before protocol {FIRST_BFLOAT16_VERSION}"

#: columns that the frame has in common with the leaderboards have the same meaning there
RUN_COLUMNS: tuple[RunColumn, ...] = (
    RunColumn("key", "str", "hash of configuration and code; the name of the run's folder", lambda r: r.key),
    RunColumn("status", "str", "done or failed", lambda r: r.status),
    RunColumn("dataset", "str", "the data set", lambda r: r.dataset),
    RunColumn("setting", "str", "MP-O adapts to O, MP@O transfers from O, MP is data-free", lambda r: r.setting),
    RunColumn("seed", "int64", "seed of the run", lambda r: r.seed),
    RunColumn("method", "str", "name of the run's row: the method with its origin and variant", label),
    RunColumn("base_method", "str", "the method's name alone", lambda r: r.method),
    RunColumn("variant", "str", "hyper-parameters that differ from the defaults", lambda r: r.variant),
    RunColumn("origin", "str", "empty for a bundled method, local, or the package it is from", lambda r: r.origin),
    RunColumn("role", "str", "method, reference, baseline, or privileged: sees the teacher's images", lambda r: r.role),
    RunColumn("task", "str", "adapt, transfer or data-free", lambda r: r.task),
    RunColumn("track", "str", "labelled, semi or label-free", lambda r: r.track),
    RunColumn("shots", "str", "labels per class, or all", lambda r: ALL if r.shots is None else r.shots),
    RunColumn("budget", "str", "the budget's name", lambda r: r.budget),
    RunColumn("teacher", "str", "teacher and conditions that are not the default", lambda r: r.teacher),
    RunColumn("student", "str", "the student's architecture", lambda r: r.student),
    RunColumn("precision", "str", "number format of the forward passes",
              lambda r: r.config.get("precision", "float32")),
    RunColumn("default_settings", "object", "default settings of the data set, a tuple", lambda r: r.default_settings),
    *(RunColumn(name, "float64", f"{name} on the test images, %", _test(name))
      for name in Score.model_fields),
    RunColumn("val_acc", "float64", "accuracy on the student domain's validation split, %",
              lambda r: r.selected.evaluation.val_acc if r.selected else None),
    RunColumn("classes", "float64", "number of classes", lambda r: r.classes),
    RunColumn("collapsed", "float64", "1 for a run that ended near chance, 0 for another", _collapsed),
    RunColumn("teacher_acc", "float64", "the teacher on the test images, %", _teacher("test_acc")),
    RunColumn("teacher_own_acc", "float64", "the teacher on its own domains, %", _teacher("own_acc")),
    RunColumn("retention", "float64", "the student on the teacher's domains, %",
              lambda r: r.selected.retention if r.selected else None),
    RunColumn("last_acc", "float64", "accuracy at the end of training, %",
              lambda r: r.last.evaluation.test.acc if r.last else None),
    RunColumn("oracle_acc", "float64", "best accuracy on test, which is never used, %",
              lambda r: r.oracle.test.acc if r.oracle else None),
    RunColumn("selection_gap", "float64", "oracle_acc - acc, points", lambda r: r.selection_gap),
    RunColumn("student_images", "float64", "images that the student trained on", _traffic("student", "learned")),
    RunColumn("teacher_queries", "float64", "images that the teacher was queried about",
              _traffic("teacher", "forward")),
    RunColumn("generator_steps", "float64", "updates of the generator", _traffic("generator", "updates")),
    RunColumn("passes", "float64", "images through any network, forward and backward", _passes),
    RunColumn("test_images", "float64", "number of test images", lambda r: r.test_images),
    RunColumn("seconds", "float64", "duration of the run", lambda r: r.cost.seconds),
    RunColumn("peak_memory_mb", "float64", "peak memory, MB", lambda r: r.cost.peak_memory_mb),
    RunColumn("tuned", "str", "how the hyper-parameters were chosen; empty for the defaults", lambda r: r.tuned),
    RunColumn("command", "str", "the command that repeats the run", lambda r: r.command),
    RunColumn("torch", "str", "version of torch", lambda r: r.environment.get("torch", "")),
    RunColumn("device", "str", "where the run was made", lambda r: r.environment.get("device", "")),
    RunColumn("version", "str", "version of okdbench", lambda r: r.version),
    RunColumn("commit", "str", "commit of okdbench", lambda r: r.commit),
    RunColumn("protocol", "str", "version of the protocol", lambda r: str(r.protocol)),
    RunColumn("source", "str", "digest of all code that the run can reach", lambda r: r.source),
    RunColumn("data_digest", "str", "digest of the images", lambda r: r.data_digest),
    RunColumn("data_note", "str", "how the images differ from the official ones", lambda r: r.data_note),
    RunColumn("finished", "str", "when the run ended, ISO 8601", lambda r: r.finished),
    RunColumn("error", "str", "why the run failed", lambda r: r.error or ""),
)  # fmt: skip


def to_frame(records: Iterable[Record]) -> pd.DataFrame:
    """The records as a data frame with :data:`RUN_COLUMNS`, one row per record."""
    members = list(records)
    frame = pd.DataFrame({column.name: _series(column, members) for column in RUN_COLUMNS})
    # What is unusual about a teacher and its images shows only beside the other records.
    return frame.assign(teacher=pd.Series([group.teacher for group in groups_of(members)], dtype="str"))


def _series(column: RunColumn, records: list[Record]) -> pd.Series[Any]:
    values = [column.value(record) for record in records]
    if column.dtype == "float64":
        # Infinity as well, because one infinite value would hide all others in a mean.
        values = [value if value is not None and math.isfinite(value) else math.nan for value in values]
    return pd.Series(values, dtype=column.dtype)


def load_records(paths: Source | Iterable[Source]) -> pd.DataFrame:
    """The runs in folders of runs or in archives (``.jsonl.gz``), one flat row each.

    Args:
        paths: one folder or archive, or several.

    Returns:
        The columns of :data:`RUN_COLUMNS`. Superseded runs are included; :func:`okdbench.leaderboard` leaves them out.

    Raises:
        UserError: there are no records, or an archive cannot be read.
    """
    return to_frame(read_all(paths))


def read_runs(paths: Source | Iterable[Source]) -> list[Record]:
    """All records there, for a command: a line on standard error counts those that are superseded.

    Raises:
        UserError: there are no records, or an archive cannot be read.
    """
    records = read_all(paths)
    report_superseded(to_frame(records))
    return records


def report_superseded(runs: pd.DataFrame) -> None:
    """Print a line for each reason why runs count nowhere, with their number."""
    for why, kept in ("tuning seeds", without_tuning), (VOID, without_void):
        runs = _reported(runs, kept(runs), why)
    _reported(runs, current(runs), "older code")


def _reported(runs: pd.DataFrame, kept: pd.DataFrame, why: str) -> pd.DataFrame:
    if left_out := len(runs) - len(kept):
        say(f"{why}: {left_out} records are left out")
    return kept


def comparison_groups(records: Iterable[Record]) -> dict[ComparisonGroup, list[Record]]:
    """The records by comparison group, sorted, without those that are superseded."""
    members = list(records)
    groups = current(to_frame(members)).groupby(GROUP)
    return {ComparisonGroup(*map(str, key)): [members[i] for i in runs.index] for key, runs in groups}


def finished_runs(records: Iterable[Record]) -> dict[str, dict[Cell, Record]]:
    """Method -> cell -> the run that counts there, of the records of one comparison group."""
    members = list(records)
    found: dict[str, dict[Cell, Record]] = {}
    for index in counted(current(to_frame(members))).index:
        record = members[index]
        found.setdefault(label(record), {})[Cell(record.setting, record.seed)] = record
    return found


def runs_of(group: ComparisonGroup, method: str, records: Iterable[Record]) -> dict[Cell, Record]:
    """The finished runs behind the rows of ``method`` in ``group``."""
    return finished_runs(comparison_groups(records).get(group, [])).get(method, {})
