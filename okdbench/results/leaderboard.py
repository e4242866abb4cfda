"""Records -> leaderboard rows. Pure functions: what is made of them can be deleted and rebuilt.

A contest's (:mod:`okdbench.results.grouping`) cells are the data set's default settings times the seeds of its rows without
changed hyper-parameters; a row that lacks a cell shows ``4/6`` and is not ranked. A rank is one more than the number of
rows that are clearly better.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from okdbench.core.protocol import is_ranked
from okdbench.core.syntax import format_seeds
from okdbench.results.grouping import ALL, Cell, ComparisonGroup, by_method, contests, counting, settings_of
from okdbench.results.intervals import group_mean, interval, mean_std
from okdbench.results.records import Record, Traffic


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a leaderboard; the fields are the columns of its CSV, None is an empty cell.

    ``seeds`` counts the seeds with a finished run; ``complete`` reads finished/expected cells. Numbers are means over
    the finished cells, each setting with the same weight. Accuracies, ``ece``, ``gain`` and ``selection_gap`` are in
    percent; images, ``seconds`` and ``peak_memory_mb`` are per run.
    """

    rank: int | None = None
    method: str
    setting: str
    track: str
    budget: str
    teacher: str
    student: str
    seeds: int
    complete: str
    acc: float | None = None
    acc_std: float | None = None
    acc_low: float | None = None
    acc_high: float | None = None
    top3: float | None = None
    top5: float | None = None
    macro_f1: float | None = None
    ece: float | None = None
    teacher_acc: float | None = None
    teacher_domain_acc: float | None = None
    gain: float | None = None
    last_acc: float | None = None
    oracle_acc: float | None = None
    selection_gap: float | None = None
    student_images: float | None = None
    teacher_images: float | None = None
    seconds: float | None = None
    peak_memory_mb: float | None = None
    version: str
    commit: str
    command: str

    @property
    def is_complete(self) -> bool:
        """Whether every expected cell has a finished run."""
        done, _, expected = self.complete.partition("/")
        return done == expected


COLUMNS = tuple(field.name for field in fields(Row))

#: cell -> column -> number, without the columns that a run has no number for
Measured = dict[Cell, dict[str, float]]


def leaderboard(records: Iterable[Record]) -> dict[str, list[Row]]:
    """Data set -> its rows: ``all`` first, then by setting, track, budget, networks, rank and method.

    Records that were superseded are left out (:func:`okdbench.results.grouping.current`). Where several fill one cell, the one
    that finished last counts (``environment["finished"]``, an ISO time; without it, the later in ``records``).
    """
    boards: dict[str, list[Row]] = {}
    for contest, members in sorted(contests(records).items()):
        boards.setdefault(contest.dataset, []).extend(_contest_rows(contest, members))
    return {dataset: sorted(rows, key=_order) for dataset, rows in boards.items()}


def accuracies(records: Iterable[Record]) -> dict[str, dict[Cell, float]]:
    """Method -> cell -> accuracy of the finished runs of one contest."""
    return {name: {cell: n["acc"] for cell, n in _measured(runs).items()} for name, runs in by_method(records).items()}


def _order(row: Row) -> tuple[object, ...]:
    contest = (row.track, row.budget, row.teacher, row.student)
    return row.setting != ALL, row.setting, *contest, math.inf if row.rank is None else row.rank, *_goodness(row)


def _contest_rows(contest: ComparisonGroup, records: list[Record]) -> list[Row]:
    settings = sorted({record.setting for record in records})
    seeds = {record.seed for record in records if not record.variant} or {record.seed for record in records}
    baseline = _measured(record for record in records if record.role == "baseline" and not record.variant)
    methods = by_method(records)
    rows: list[Row] = []
    for setting in (ALL, *settings):
        wanted = settings_of(setting, records)
        expected = len(seeds) * len(wanted)
        tried = {name: [r for r in runs if r.setting in wanted] for name, runs in methods.items()}
        rows += _ranked(
            [_row(contest, name, setting, runs, expected, baseline) for name, runs in tried.items() if runs]
        )
    return rows


def _measured(records: Iterable[Record]) -> Measured:
    return {cell: _numbers(record) for cell, record in counting(records).items()}


def _with_gain(cells: Measured, baseline: Measured) -> Measured:
    """The cells with their gain over the baseline in the same setting with the same seed, where there is one."""
    gains = {cell: numbers["acc"] - baseline[cell]["acc"] for cell, numbers in cells.items() if cell in baseline}
    return {cell: numbers | ({"gain": gains[cell]} if cell in gains else {}) for cell, numbers in cells.items()}


def _numbers(record: Record) -> dict[str, float]:
    """Column -> finite number of one finished run."""
    assert record.selected is not None
    score, traffic = record.selected.evaluation.test, record.cost.traffic
    numbers = score.model_dump(exclude={"agreement"}) | {
        "student_images": traffic.get("student", Traffic()).learned,
        "teacher_images": traffic.get("teacher", Traffic()).forward,
        "seconds": record.cost.seconds,
        "peak_memory_mb": record.cost.peak_memory_mb,
    }
    if record.selected.teacher_domain_acc is not None:
        numbers["teacher_domain_acc"] = record.selected.teacher_domain_acc
    if record.teacher_score is not None:
        numbers["teacher_acc"] = record.teacher_score.student_domain_acc
    if record.last is not None:
        numbers["last_acc"] = record.last.evaluation.test.acc
    if record.oracle is not None:
        numbers["oracle_acc"] = record.oracle.test.acc
    if record.selection_gap is not None:
        numbers["selection_gap"] = record.selection_gap
    return {column: value for column, value in numbers.items() if math.isfinite(value)}


def _row(
    contest: ComparisonGroup, label: str, setting: str, records: list[Record], expected: int, baseline: Measured
) -> Row:
    """One method in one setting, or in all; the rank is given later, next to the others."""
    cells = _with_gain(_measured(records), baseline)
    shown = list(counting(records).values()) or records
    networks = contest._asdict()
    del networks["dataset"]
    return Row(
        method=label,
        setting=setting,
        seeds=len({cell.seed for cell in cells}),
        complete=f"{len(cells)}/{expected}",
        version=_single(record.version for record in shown),
        commit=_single(record.commit for record in shown),
        command=_command(shown, setting),
        **networks,
        **_summary(cells),
    )


def _summary(cells: Measured) -> dict[str, Any]:
    """Column -> number of a row: means with the same weight for each setting, and the spread of the accuracy."""
    if not cells:
        return {}
    columns = {column for numbers in cells.values() for column in numbers}
    summary = {column: group_mean(_by_setting(cells, column)) for column in columns}
    by_seed = _seed_means(cells)
    if len(by_seed) > 1:
        summary["acc_std"] = mean_std(by_seed)[1]
    ends = interval(_by_setting(cells, "acc"))
    if ends is not None:
        summary["acc_low"], summary["acc_high"] = (min(100.0, max(0.0, end)) for end in ends)
    return summary


def _seed_means(cells: Measured) -> list[float]:
    """Accuracy of each seed, of those with every setting: other means differ by their settings too."""
    settings = {cell.setting for cell in cells}
    seeds = sorted({cell.seed for cell in cells})
    blocks = [[cells[cell]["acc"] for cell in cells if cell.seed == seed] for seed in seeds]
    return [mean_std(block)[0] for block in blocks if len(block) == len(settings)]


def _by_setting(cells: Measured, column: str) -> list[list[float]]:
    """The numbers of each setting, of the cells that have the column; in order, because resampling follows it."""
    having = sorted(cell for cell in cells if column in cells[cell])
    settings = dict.fromkeys(cell.setting for cell in having)
    return [[cells[cell][column] for cell in having if cell.setting == setting] for setting in settings]


def _ranked(rows: list[Row]) -> list[Row]:
    """The rows of one contest and setting; a rank is one more than the number of rows that are clearly better."""
    ranked = [row for row in rows if _is_ranked(row)]
    ranks = {row.method: 1 + sum(_is_better(other, row) for other in ranked) for row in ranked}
    return [replace(row, rank=ranks.get(row.method)) for row in rows]


def _goodness(row: Row) -> tuple[float, str]:
    return (math.inf if row.acc is None else -row.acc), row.method


def _is_better(one: Row, other: Row) -> bool:
    """Whether the interval of ``one`` lies wholly above that of ``other``; without intervals, its accuracy."""
    if one.acc_low is None or other.acc_high is None:
        return (one.acc or 0.0) > (other.acc or 0.0)
    return one.acc_low > other.acc_high


def _is_ranked(row: Row) -> bool:
    return row.acc is not None and row.is_complete and is_ranked(row.budget, row.student_images or 0)


def _single(values: Iterable[str]) -> str:
    different = set(values)
    return different.pop() if len(different) == 1 else "mixed"


def _command(records: Sequence[Record], setting: str) -> str:
    """The command that makes all of these runs: that of the first seed, with the range of seeds."""
    seeds = {record.seed for record in records}
    command = min(records, key=lambda record: (record.seed, record.setting)).command
    if len(seeds) > 1:
        command = re.sub(r"--seed[ =]\d+", f"--seeds {format_seeds(seeds)}", command)
    return re.sub(r" --setting[ =]\S+", "", command) if setting == ALL else command
