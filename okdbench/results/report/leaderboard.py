"""The leaderboard as the page shows it: every row of the tables, with the runs behind it."""

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
    """A sortable column of numbers; ``first`` is the direction of the first click."""

    name: str
    title: str
    first: str = "descending"
    digits: int = 2
    sign: bool = False


#: what stands behind the accuracy and its interval, which have cells of their own
NUMBERS = (
    Column("teacher_acc", "Teacher"),
    Column("teacher_domain_acc", "Retention"),
    Column("gain", "Gain", sign=True),
    Column("selection_gap", "Selection gap", "ascending"),
)
#: what an opened row shows besides
MORE = (
    Column("top3", "Top 3, %"),
    Column("top5", "Top 5, %"),
    Column("macro_f1", "Macro F1, %"),
    Column("ece", "Calibration error, %"),
    Column("last_acc", "Last accuracy, %"),
    Column("oracle_acc", "Best accuracy on test, %"),
    Column("student_images", "Pictures the student learned from", digits=0),
    Column("teacher_images", "Pictures the teacher answered", digits=0),
    Column("peak_memory_mb", "Peak memory, MB", digits=0),
)


class Bar(NamedTuple):
    """Ends and middle of an interval in percent of its scale; what lies below the scale is negative."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class Line:
    """A row, the runs that it is made of, and what the page says about it.

    ``note`` is why the row has no rank; ``start`` is where the bars of its track begin; ``runs`` has them by setting,
    in the order of their seeds.
    """

    row: Row
    dataset: str
    role: str
    note: str
    start: float
    bar: Bar | None
    runs: dict[str, list[Record]]

    @property
    def networks(self) -> str:
        """Teacher and student."""
        return f"{self.row.teacher} → {self.row.student}"

    @property
    def place(self) -> str:
        """What stands in the column of ranks."""
        return number(self.row.rank, 0) if self.row.is_complete else self.row.complete


def lines(records: Sequence[Record]) -> list[Line]:
    """All rows of all data sets, in the order of the tables."""
    found = contests(records)
    made = []
    for dataset, rows in leaderboard(records).items():
        starts = {track: _start(rows, track) for track in {row.track for row in rows}}
        for row in rows:
            members = found[ComparisonGroup(dataset, row.track, row.budget, row.teacher, row.student)]
            runs = _runs_of(row, members)
            role = next((record.role for group in runs.values() for record in group), "method")
            made.append(Line(row, dataset, role, _note(row), starts[row.track], _bar(row, starts[row.track]), runs))
    return made


def _start(rows: Iterable[Row], track: str) -> float:
    """Where the bars of a track's rows start; they end at 100."""
    return axis_start(row.acc for row in rows if row.track == track and row.acc is not None)


def usual(all_lines: Sequence[Line]) -> dict[str, str]:
    """Filter -> value of the first view: labels allowed, a ranked budget, and the most rows."""
    sizes = Counter(
        (line.dataset, line.row.track, line.row.budget, line.networks) for line in all_lines if line.row.setting == ALL
    )
    if not sizes:
        return {}

    def worth(kind: tuple[str, str, str, str]) -> tuple[bool, bool, int]:
        return kind[1] == Track.LABELLED, kind[2] not in UNRANKED_BUDGETS, sizes[kind]

    dataset, track, budget, networks = max(sorted(sizes), key=worth)
    return {"dataset": dataset, "setting": ALL, "track": track, "budget": budget, "networks": networks}


def _runs_of(row: Row, members: Sequence[Record]) -> dict[str, list[Record]]:
    wanted = settings_of(row.setting, members)
    runs: dict[str, list[Record]] = {}
    for record in sorted(members, key=lambda record: (record.setting, record.seed, record.key)):
        if label(record) == row.method and record.setting in wanted:
            runs.setdefault(record.setting, []).append(record)
    return runs


def _note(row: Row) -> str:
    """Why the row has no rank; empty when it has one."""
    done, _, expected = row.complete.partition("/")
    if not row.is_complete:
        missing = int(expected) - int(done)
        return f"no rank: {missing} {'run' if missing == 1 else 'runs'} missing"
    if row.budget in UNRANKED_BUDGETS:
        return f"no rank: budget {row.budget} is for tests"
    return "" if row.rank else "no rank: it learned from more pictures than the budget allows"


def _bar(row: Row, start: float) -> Bar | None:
    if row.acc is None:
        return None
    values = [row.acc if value is None else value for value in (row.acc_low, row.acc, row.acc_high)]
    return Bar(*(round(100 * (value - start) / (100 - start), 2) for value in values))
