"""The leaderboard of the page: every row of the tables with its interval bar and the runs behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from okdbench.core.protocol import UNRANKED_BUDGETS, Track
from okdbench.results.grouping import ALL, ComparisonGroup, contests, label, settings_of
from okdbench.results.intervals import axis_start
from okdbench.results.leaderboard import Row, leaderboard
from okdbench.results.records import Record
from okdbench.results.report.formatting import number


class Column(NamedTuple):
    """A sortable column of numbers; ``first`` is the sort direction of the first click."""

    name: str
    title: str
    first: str = "descending"
    digits: int = 2
    sign: bool = False


#: columns to the right of the accuracy and its interval, which have special cells
NUMBER_COLUMNS = (
    Column("teacher_acc", "Teacher"),
    Column("teacher_domain_acc", "Retention"),
    Column("gain", "Gain", sign=True),
    Column("selection_gap", "Selection gap", "ascending"),
)
#: further numbers, shown when a row is expanded
DETAIL_COLUMNS = (
    Column("top3", "Top 3, %"),
    Column("top5", "Top 5, %"),
    Column("macro_f1", "Macro F1, %"),
    Column("ece", "Calibration error, %"),
    Column("last_acc", "Last accuracy, %"),
    Column("oracle_acc", "Best accuracy on test, %"),
    Column("student_images", "Training images of the student", digits=0),
    Column("teacher_images", "Images through the teacher", digits=0),
    Column("peak_memory_mb", "Peak memory, MB", digits=0),
)


class IntervalBar(NamedTuple):
    """Ends and middle of an interval in percent of its axis; values below the start of the axis are negative."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class ReportRow:
    """A row of the leaderboard with what the page adds to it.

    Attributes:
        row: the row of the tables.
        dataset: its data set.
        role: ``method``, or the role of a reference row.
        note: why the row has no rank; empty if it has one.
        start: accuracy at which the bars of the row's track begin, in percent.
        bar: the interval bar, or None without an accuracy.
        runs: setting -> the runs behind the row, ordered by seed.
    """

    row: Row
    dataset: str
    role: str
    note: str
    start: float
    bar: IntervalBar | None
    runs: dict[str, list[Record]]

    @property
    def networks(self) -> str:
        """Teacher and student."""
        return f"{self.row.teacher} → {self.row.student}"

    @property
    def place(self) -> str:
        """Text in the rank column: the rank, or how many runs are finished."""
        return number(self.row.rank, 0) if self.row.is_complete else self.row.complete


def report_rows(records: Sequence[Record]) -> list[ReportRow]:
    """All rows of all data sets, in the order of the tables."""
    groups = contests(records)
    made = []
    for dataset, rows in leaderboard(records).items():
        starts = {track: _start(rows, track) for track in {row.track for row in rows}}
        for row in rows:
            members = groups[ComparisonGroup(dataset, row.track, row.budget, row.teacher, row.student)]
            runs = _runs_of(row, members)
            role = next((record.role for group in runs.values() for record in group), "method")
            start = starts[row.track]
            made.append(ReportRow(row, dataset, role, _note(row), start, _bar(row, start), runs))
    return made


def _start(rows: Iterable[Row], track: str) -> float:
    """Accuracy at which the bars of a track begin; they end at 100."""
    return axis_start(row.acc for row in rows if row.track == track and row.acc is not None)


def default_filters(rows: Sequence[ReportRow]) -> dict[str, str]:
    """Filter -> initial value: the labelled track and a ranked budget if possible, then the group with most rows."""
    sizes = Counter(
        (line.dataset, line.row.track, line.row.budget, line.networks) for line in rows if line.row.setting == ALL
    )
    if not sizes:
        return {}

    def preference(group: tuple[str, str, str, str]) -> tuple[bool, bool, int]:
        return group[1] == Track.LABELLED, group[2] not in UNRANKED_BUDGETS, sizes[group]

    dataset, track, budget, networks = max(sorted(sizes), key=preference)
    return {"dataset": dataset, "setting": ALL, "track": track, "budget": budget, "networks": networks}


def _runs_of(row: Row, members: Sequence[Record]) -> dict[str, list[Record]]:
    wanted = settings_of(row.setting, members)
    runs: dict[str, list[Record]] = {}
    for record in sorted(members, key=lambda record: (record.setting, record.seed, record.key)):
        if label(record) == row.method and record.setting in wanted:
            runs.setdefault(record.setting, []).append(record)
    return runs


def _note(row: Row) -> str:
    """Why the row has no rank; empty if it has one."""
    done, _, expected = row.complete.partition("/")
    if not row.is_complete:
        missing = int(expected) - int(done)
        return f"no rank: {missing} {'run' if missing == 1 else 'runs'} missing"
    if row.budget in UNRANKED_BUDGETS:
        return f"no rank: budget {row.budget} is for tests"
    return "" if row.rank else "no rank: trained on more images than the budget allows"


def _bar(row: Row, start: float) -> IntervalBar | None:
    if row.acc is None:
        return None
    # without an interval, the bar has no length
    values = [row.acc if value is None else value for value in (row.acc_low, row.acc, row.acc_high)]
    return IntervalBar(*(round(100 * (value - start) / (100 - start), 2) for value in values))
