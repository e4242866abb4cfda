"""The leaderboard of the page: every row of the tables with its interval bar and the runs behind it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from okdbench.core.protocol import UNRANKED_BUDGETS, Track
from okdbench.core.settings import TaskKind
from okdbench.results.columns import is_complete
from okdbench.results.estimates import axis_start
from okdbench.results.frames import to_frame
from okdbench.results.grouping import ALL, GROUP, ComparisonGroup, counted, current, default_settings, is_partial
from okdbench.results.leaderboard import leaderboard
from okdbench.results.records import Record
from okdbench.results.significance import SeedMeans, seed_means
from okdbench.results.table import Row, rows_of


class IntervalBar(NamedTuple):
    """Ends and middle of an interval in percent of its axis; values below the start of the axis are negative."""

    low: float
    middle: float
    high: float


@dataclass(frozen=True)
class ReportRow:
    """A row of the leaderboard with what the page adds to it.

    Attributes:
        row: the row of the tables, column -> value.
        note: why the row has no rank; empty if it has one.
        start: accuracy at which the bars of the row's task and track begin, in percent.
        bar: the interval bar, or None without an accuracy.
        runs: setting -> the runs behind the row, ordered by seed.
        means: the seed means of a row that can be compared with the others of its table.
    """

    row: Row
    note: str
    start: float
    bar: IntervalBar | None
    runs: dict[str, list[Record]]
    means: SeedMeans

    @property
    def setting(self) -> str:
        """The setting that it is found by; a row of some of the default settings is shown with those over all."""
        return ALL if is_partial(self.row["setting"]) else str(self.row["setting"])

    @property
    def table(self) -> tuple[str, ...]:
        """What the rows of one table have in common: the comparison group and the setting."""
        return (*(str(self.row[name]) for name in GROUP), self.row["setting"])

    @property
    def networks(self) -> str:
        """Teacher and student, and the version of an older protocol."""
        return ComparisonGroup(*(self.row[name] for name in GROUP)).networks


def report_rows(records: Sequence[Record]) -> list[ReportRow]:
    """All rows of all data sets, in the order of the tables."""
    frame = to_frame(records)
    rows = rows_of(leaderboard(frame))
    starts = {axis: _start(rows, axis) for axis in {bar_axis(row) for row in rows}}
    runs = current(frame)
    groups, done = dict(list(runs.groupby(GROUP))), counted(runs)
    made = []
    for row in rows:
        members = groups[tuple(row[name] for name in GROUP)]
        partial = is_partial(row["setting"])
        settings = default_settings(members) if partial or row["setting"] == ALL else {row["setting"]}
        behind = members[(members["method"] == row["method"]) & members["setting"].isin(settings)]
        shown = behind.sort_values(["setting", "seed", "key"]).groupby("setting")
        by_setting = {str(setting): [records[i] for i in found.index] for setting, found in shown}
        # A row of some of the default settings is of no table.
        tested = row["acc"] is not None and not partial
        means = seed_means(done[done.index.isin(behind.index)]) if tested else {}
        start = starts[bar_axis(row)]
        made.append(ReportRow(row, _note(row), start, _bar(row, start), by_setting, means))
    return made


def bar_axis(row: Row) -> tuple[str, ...]:
    """The rows whose bars share an axis: those of a data set, a task and a track."""
    return row["dataset"], row["task"], row["track"]


def _start(rows: Iterable[Row], axis: tuple[str, ...]) -> float:
    """Accuracy at which the bars of an axis begin; they end at 100."""
    return axis_start(row["acc"] for row in rows if bar_axis(row) == axis and row["acc"] is not None)


def default_filters(rows: Sequence[ReportRow]) -> dict[str, str]:
    """Filter -> initial value: the newest protocol, adapt, labelled, a ranked budget, then the group with most rows."""
    names = ("dataset", "task", "track", "shots", "budget")
    overall = [line for line in rows if line.row["setting"] == ALL]
    sizes = Counter(line.table for line in overall)
    if not sizes:
        return {}

    def preference(line: ReportRow) -> tuple[bool | int, ...]:
        row = line.row
        ranked = row["budget"] not in UNRANKED_BUDGETS
        return (
            int(row["protocol"]), row["task"] == TaskKind.ADAPT, row["track"] == Track.LABELLED, ranked,
            sizes[line.table],
        )  # fmt: skip

    # Sorted, so that of equally good groups the choice does not depend on the order of the rows.
    chosen = max(sorted(overall, key=lambda line: line.table), key=preference)
    return {"setting": ALL, **{name: str(chosen.row[name]) for name in names}, "networks": chosen.networks}


def _note(row: Row) -> str:
    """Why the row has no rank; empty if it has one."""
    if is_partial(row["setting"]):
        return f"no rank: {row['setting']}"
    done, _, expected = row["complete"].partition("/")
    if not is_complete(row):
        missing = int(expected) - int(done)
        return f"no rank: {missing} {'run' if missing == 1 else 'runs'} missing"
    if row["budget"] in UNRANKED_BUDGETS:
        return f"no rank: budget {row['budget']} is for tests"
    if row["role"] == "privileged":
        return "no rank: it sees the teacher's own images"
    if row["role"] != "method":
        return "no rank: a reference row"
    return "" if row["rank"] else "no rank: trained on more images than the budget allows"


def _bar(row: Row, start: float) -> IntervalBar | None:
    if row["acc"] is None:
        return None
    # without an interval, the bar has no length
    values = [row["acc"] if row[name] is None else row[name] for name in ("acc_low", "acc", "acc_high")]
    # No axis begins above 99, see axis_start, so that this never divides by zero.
    return IntervalBar(*(round(100 * (value - start) / (100 - start), 2) for value in values))
