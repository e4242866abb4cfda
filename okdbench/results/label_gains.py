"""What a method adds to the labels: its accuracy minus that of fine-tuning, by the number of labels per class."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from okdbench.core.errors import UserError
from okdbench.results.estimates import interval, mean
from okdbench.results.grouping import ALL, Cell
from okdbench.results.records import Record

#: the row of the frozen teacher, which the records of every method know
TEACHER = "teacher"

#: labels per class -> method -> cell -> the run that counts
Runs = Mapping[str, Mapping[str, Mapping[Cell, Record]]]


@dataclass(frozen=True)
class LabelGain:
    """The paired difference of one method to the baseline in one setting.

    Attributes:
        setting: where both ran.
        shots: labels per class, ``all`` for every label.
        method: the method, or the frozen teacher.
        seeds: number of seeds on which both have a finished run.
        gain: mean of the differences, in points.
        low: lower end of Student's 95 % interval of the mean; NaN with one seed.
        high: upper end.
    """

    setting: str
    shots: str
    method: str
    seeds: int
    gain: float
    low: float
    high: float


def label_gains(runs: Runs) -> list[LabelGain]:
    """The gain of each method in each setting, sorted by setting, labels and method.

    Raises:
        UserError: no run of the baseline shares a setting and a seed with another one.
    """
    found = [each for shots, methods in runs.items() for each in _at(shots, methods)]
    if not found:
        raise UserError("a gain is a difference to finetune; run it for these settings, seeds and --shots too")
    return sorted(found, key=lambda each: (each.setting, number(each.shots), each.method))


def curves(gains: Sequence[LabelGain]) -> list[LabelGain]:
    """The gains of the methods and settings that have more than one number of labels, in the same order."""
    counts = Counter((each.method, each.setting) for each in gains)
    return [each for each in gains if counts[each.method, each.setting] > 1]


def number(shots: str) -> float:
    """The place of a number of labels in their order; all labels are the most.

    >>> sorted(["all", "10", "2"], key=number)
    ['2', '10', 'all']
    """
    return math.inf if shots == ALL else float(shots)


def _at(shots: str, methods: Mapping[str, Mapping[Cell, Record]]) -> Iterator[LabelGain]:
    baseline = next((cells for cells in methods.values() if _role(cells) == "baseline"), {})
    accuracies = {name: _accuracies(cells) for name, cells in methods.items() if cells is not baseline}
    # On another processor a seed has another teacher; the baseline's own counts.
    accuracies[TEACHER] = {
        cell: run.teacher_score.test_acc
        for cells in (*methods.values(), baseline)
        for cell, run in cells.items()
        if run.teacher_score and run.teacher_score.test_acc is not None
    }
    own = _accuracies(baseline)
    for method, values in accuracies.items():
        differences: dict[str, list[float]] = {}
        for cell in sorted(values.keys() & own.keys()):
            differences.setdefault(cell.setting, []).append(values[cell] - own[cell])
        for setting, each in differences.items():
            low, high = interval(each) or (math.nan, math.nan)
            yield LabelGain(setting, shots, method, len(each), mean(each), low, high)


def _role(cells: Mapping[Cell, Record]) -> str:
    return next(iter(cells.values())).role


def _accuracies(cells: Mapping[Cell, Record]) -> dict[Cell, float]:
    """Cell -> selected test accuracy, in percent."""
    return {cell: run.selected.evaluation.test.acc for cell, run in cells.items() if run.selected}
