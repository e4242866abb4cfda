"""The records of one contest as the painters want them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from okdbench.results.grouping import ALL, Cell, ComparisonGroup, contests, finished
from okdbench.results.intervals import group_mean
from okdbench.results.leaderboard import Row, leaderboard
from okdbench.results.plots.figure import Drawing, slug
from okdbench.results.plots.style import headline
from okdbench.results.records import Record


@dataclass(frozen=True)
class View:
    """One contest: its records, the stem of its files' names, and the folder of runs where it is known."""

    contest: ComparisonGroup
    records: list[Record]
    stem: str
    runs: Path | None

    @cached_property
    def finished(self) -> dict[str, dict[Cell, Record]]:
        """Method -> cell -> the run that counts, of the methods that have one."""
        return {method: runs for method, runs in finished(self.records).items() if runs}

    @cached_property
    def rows(self) -> dict[tuple[str, str], Row]:
        """(method, setting) -> the row of the table, where it has an accuracy."""
        rows = leaderboard(self.records).get(self.contest.dataset, [])
        return {(row.method, row.setting): row for row in rows if row.acc is not None}

    @property
    def settings(self) -> list[str]:
        """The settings with a finished run, sorted."""
        return sorted({cell.setting for runs in self.finished.values() for cell in runs})

    @property
    def methods(self) -> list[str]:
        """Methods from the highest accuracy to the lowest, those without all settings last; then the reference rows."""
        return sorted(self.finished, key=lambda name: (self.is_reference(name), -self._overall(name), name))

    def _overall(self, method: str) -> float:
        row = self.rows.get((method, ALL))
        return row.acc if row is not None and row.acc is not None else -1.0

    def is_reference(self, method: str) -> bool:
        """Whether the row is there to be compared with."""
        return next(iter(self.finished[method].values())).role != "method"

    @cached_property
    def teachers(self) -> dict[Cell, Record]:
        """Cell -> a run with the scores of its teacher."""
        runs = [run for cells in self.finished.values() for run in cells.values() if run.teacher_score]
        return {Cell(run.setting, run.seed): run for run in runs}

    def draw(self, kind: str, title: str, alt: str, figure: Figure, part: str = "") -> Drawing:
        """The finished picture, with its headline; ``part`` tells those of one kind apart."""
        contest = self.contest
        where = f"{contest.dataset}, {contest.track}, {contest.budget}: {contest.teacher} → {contest.student}"
        headline(figure, title, where)
        name = "-".join([self.stem, kind, *([slug(part)] if part else [])])
        return Drawing(name, title, f"{alt} ({where})", figure)


def views(records: Iterable[Record], runs: Path | None) -> list[View]:
    """The contests that have records; files are named after data set, track and budget, and networks where needed."""
    found = sorted(contests(records).items())
    names = [contest[:3] for contest, _ in found]
    made = []
    for contest, members in found:
        parts = contest[:3] if names.count(contest[:3]) == 1 else (*contest[:3], f"{contest.teacher}-{contest.student}")
        made.append(View(contest, members, "-".join(map(slug, parts)), runs))
    return made


def accuracy(run: Record) -> float:
    """The selected accuracy of a finished run; NaN where there is none."""
    return run.selected.evaluation.test.acc if run.selected else math.nan


def teacher_at_home(run: Record) -> float | None:
    """The accuracy of the run's teacher on its own domains."""
    return run.teacher_score.own_acc if run.teacher_score else None


def teacher_abroad(run: Record) -> float | None:
    """The accuracy of the run's teacher on the student's domain."""
    return run.teacher_score.student_domain_acc if run.teacher_score else None


def mean_over(runs: Mapping[Cell, Record], measure: Callable[[Record], float | None]) -> float | None:
    """The mean over settings of the mean over seeds; None where nothing finite is known."""
    groups: dict[str, list[float]] = {}
    for cell, run in sorted(runs.items(), key=lambda item: item[0]):
        value = measure(run)
        if value is not None and math.isfinite(value):
            groups.setdefault(cell.setting, []).append(value)
    return group_mean(list(groups.values())) if groups else None


def listed(names: Sequence[str]) -> str:
    """Names in a sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
