"""The records of one comparison group, prepared for plotting."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from matplotlib.figure import Figure

from okdbench.results.estimates import group_mean, interval
from okdbench.results.frames import comparison_groups, finished_runs, to_frame
from okdbench.results.grouping import ALL, Cell, ComparisonGroup
from okdbench.results.leaderboard import leaderboard
from okdbench.results.plots.figure import PlotFigure, slug
from okdbench.results.plots.style import add_title
from okdbench.results.records import Record
from okdbench.results.significance import mean_by_seed
from okdbench.results.sources import Source, paths_of, run_folders
from okdbench.results.table import Row, rows_of


@dataclass(frozen=True)
class PlotGroup:
    """One comparison group to plot.

    Attributes:
        comparison_group: what all records share.
        records: finished and failed runs of the group.
        stem: common start of the file names of its figures.
        runs: the folders that the records are from, without archives, which have no files beside the records.
    """

    comparison_group: ComparisonGroup
    records: list[Record]
    stem: str
    runs: Sequence[Path]

    @cached_property
    def finished(self) -> dict[str, dict[Cell, Record]]:
        """Method -> (setting, seed) -> the run that counts; only methods that have a finished run."""
        return finished_runs(self.records)

    @cached_property
    def rows(self) -> dict[tuple[str, str], Row]:
        """(method, setting) -> its row of the leaderboard, where the row has an accuracy."""
        rows = rows_of(leaderboard(to_frame(self.records)))
        return {(row["method"], row["setting"]): row for row in rows if row["acc"] is not None}

    @cached_property
    def folders(self) -> dict[str, Path]:
        """Key -> the run's folder, where it has one."""
        return run_folders(self.runs)

    @property
    def where(self) -> str:
        """The folders of the records, for a message."""
        return ", ".join(map(str, self.runs))

    @property
    def settings(self) -> list[str]:
        """The settings with a finished run, sorted."""
        return sorted({cell.setting for runs in self.finished.values() for cell in runs})

    @property
    def in_setting(self) -> str:
        """Ends a title where all runs are of one setting: " in MO-P"."""
        return f" in {self.settings[0]}" if len(self.settings) == 1 else ""

    @property
    def methods(self) -> list[str]:
        """Methods by descending overall accuracy, those that lack a setting after them, reference rows last."""
        return sorted(self.finished, key=lambda name: (self.is_reference(name), -self._overall(name), name))

    def _overall(self, method: str) -> float:
        # below every accuracy, which sorts methods without an overall row last
        return float(self.rows[method, ALL]["acc"]) if (method, ALL) in self.rows else -1.0

    def role(self, method: str) -> str:
        """The role of a method, which every one of its runs has."""
        return next(iter(self.finished[method].values())).role

    def is_reference(self, method: str) -> bool:
        """Whether the method is a reference row (a bound or a baseline) and not a competing method."""
        return self.role(method) != "method"

    @cached_property
    def teachers(self) -> dict[Cell, Record]:
        """(setting, seed) -> a run that recorded the scores of its teacher."""
        # all methods share the teacher of a cell, so any run knows its scores
        runs = [run for cells in self.finished.values() for run in cells.values() if run.teacher_score]
        return {Cell(run.setting, run.seed): run for run in runs}

    def finish(self, kind: str, title: str, alt: str, figure: Figure, part: str = "") -> PlotFigure:
        """Add the title and the name of the comparison group to a figure.

        Args:
            kind: kind of plot, which becomes a part of the file name.
            title: first line above the plot.
            alt: alternative text without the comparison group, which is appended.
            figure: the drawn figure; it grows by the height of the title.
            part: distinguishes several figures of one kind, for example the method.
        """
        group = self.comparison_group
        subtitle = f"{', '.join(group.place)}: {group.networks}"
        add_title(figure, title, subtitle)
        name = "-".join([self.stem, kind, *([slug(part)] if part else [])])
        return PlotFigure(name, title, f"{alt} ({subtitle})", figure)


def plot_groups(records: Iterable[Record], runs: Source | Iterable[Source] = ()) -> list[PlotGroup]:
    """Split the records into comparison groups, sorted by name; ``runs`` is where the records are from.

    Files are named after data set, task, track and budget; the networks are added where these are not unique.
    """
    folders = [path for path in paths_of(runs) if path.is_dir()]
    found = list(comparison_groups(records).items())
    names = [group.place for group, _ in found]
    made = []
    for group, members in found:
        networks = (f"{group.teacher}-{group.student}", f"protocol-{group.protocol}")
        parts = group.place + networks * (names.count(group.place) > 1)
        made.append(PlotGroup(group, members, "-".join(map(slug, parts)), folders))
    return made


def families(groups: Iterable[PlotGroup]) -> list[list[PlotGroup]]:
    """The groups, those together that differ in the number of labels per class alone."""
    found: dict[ComparisonGroup, list[PlotGroup]] = {}
    for group in groups:
        found.setdefault(group.comparison_group._replace(shots=ALL), []).append(group)
    return list(found.values())


def family_of(group: PlotGroup) -> PlotGroup:
    """The group without its number of labels, which names and ends a figure over a whole family."""
    whole = group.comparison_group._replace(shots=ALL)
    own, common = ("-".join(map(slug, each.place)) for each in (group.comparison_group, whole))
    return replace(group, comparison_group=whole, stem=common + group.stem.removeprefix(own))


def teacher_own_accuracy(run: Record) -> float | None:
    """Accuracy of the run's teacher on its own domains, in percent."""
    return run.teacher_score.own_acc if run.teacher_score else None


def teacher_transfer_accuracy(run: Record) -> float | None:
    """Accuracy of the run's teacher on the test images, in percent."""
    return run.teacher_score.test_acc if run.teacher_score else None


def interval_over(runs: Mapping[Cell, Record], measure: Callable[[Record], float | None]) -> tuple[float, float] | None:
    """The 95 % interval of :func:`mean_over` over seeds that have every setting; None where it is unknown."""
    return interval(list(mean_by_seed(_known(runs, measure)).values()))


def mean_over(runs: Mapping[Cell, Record], measure: Callable[[Record], float | None]) -> float | None:
    """Mean over settings of the mean over seeds; None when no value is finite."""
    # two steps: a setting with more seeds must not weigh more
    groups: dict[str, list[float]] = {}
    for cell, value in _known(runs, measure):
        groups.setdefault(cell.setting, []).append(value)
    return group_mean(list(groups.values())) if groups else None


def _known(runs: Mapping[Cell, Record], measure: Callable[[Record], float | None]) -> Iterator[tuple[Cell, float]]:
    """The finite values, sorted by cell."""
    for cell in sorted(runs):
        value = measure(runs[cell])
        if value is not None and math.isfinite(value):
            yield cell, value


def join_names(names: Sequence[str]) -> str:
    """Join names for a sentence.

    >>> join_names(["a", "b", "c"])
    'a, b and c'
    """
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
