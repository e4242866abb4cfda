"""What the committed runs say to someone who chooses a method: gains, accuracies and costs, by what there is.

The runs are those of ``leaderboards/runs.csv``, which is installed with the package.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from okdbench.core.protocol import PROTOCOL_VERSION, UNRANKED_BUDGETS
from okdbench.results.estimates import interval, mean
from okdbench.results.frames import RUN_COLUMNS
from okdbench.results.grouping import GROUP, counted, current
from okdbench.results.label_gains import number
from okdbench.results.table import Row, rows_of

#: method -> seed -> its run, in one place
_Methods = dict[str, dict[int, Row]]


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with Student's 95 % interval, whose ends are NaN with one seed; percent or points."""

    value: float
    low: float
    high: float

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval is on that side of 0, else 0."""
        return int(self.low > 0) - int(self.high < 0)


@dataclass(frozen=True)
class Place:
    """Where methods were compared.

    Attributes:
        shots: labels per class, ``all`` for every label.
        alone: accuracy of fine-tuning on the same labels, percent; None where it has no run.
        teacher_acc: accuracy of the teacher on the same test images, percent.
        ahead: the teacher's accuracy minus that of the labels alone, paired by seed.
    """

    dataset: str
    setting: str
    task: str
    track: str
    shots: str
    budget: str
    teacher: str
    student: str
    alone: float | None
    teacher_acc: float
    ahead: Estimate | None


@dataclass(frozen=True)
class Line:
    """What one method was measured to do in one place.

    Attributes:
        seeds: number of its runs.
        accuracy: of the student on the test images.
        gain: accuracy minus that of the labels alone, paired by seed; None without runs of these.
        student_images: images that the student learned from.
        teacher_queries: images that the teacher was queried about.
        time: duration as a multiple of that of fine-tuning with these networks and budget; None if there is none.
    """

    place: Place
    method: str
    seeds: int
    accuracy: Estimate
    gain: Estimate | None
    student_images: float
    teacher_queries: float
    time: float | None


def committed_runs() -> pd.DataFrame:
    """The committed runs of this protocol that count, one row each, with the columns of ``load_records``."""
    folder = Path(next(iter(importlib.import_module("okdbench.leaderboards").__path__)))
    texts = [column.name for column in RUN_COLUMNS if column.dtype == "str"]
    runs = pd.read_csv(folder / "runs.csv", dtype=dict.fromkeys(texts, str)).fillna(dict.fromkeys(texts, ""))
    kept = runs[(runs["protocol"].astype(int) == PROTOCOL_VERSION) & ~runs["budget"].isin(UNRANKED_BUDGETS)]
    return counted(current(kept))


def measured(runs: pd.DataFrame) -> list[Line]:
    """The lines of all methods that train a student and may be chosen, sorted by task, track, labels and place.

    Within a place those with the largest gain, or else accuracy, come first.
    """
    places: dict[tuple[str, ...], _Methods] = {}
    for run in rows_of(runs):
        if run["role"] != "privileged":
            key = tuple(str(run[name]) for name in (*GROUP, "setting"))
            places.setdefault(key, {}).setdefault(run["method"], {})[run["seed"]] = run
    usual = _usual_seconds(runs)
    lines = [line for methods in places.values() for line in _lines(methods, usual)]
    return sorted(lines, key=lambda line: (*_order(line.place), -line.accuracy.value))


def _order(place: Place) -> tuple[object, ...]:
    return place.task, place.track, place.dataset, place.setting, place.budget, place.teacher, number(place.shots)


def _lines(methods: _Methods, usual: Mapping[tuple[str, ...], float]) -> Iterable[Line]:
    every = [run for runs in methods.values() for run in runs.values()]
    alone = next((runs for runs in methods.values() if next(iter(runs.values()))["role"] == "baseline"), {})
    # On another processor a seed has another teacher; the baseline's own counts.
    teacher = {run["seed"]: run for run in (*every, *alone.values()) if run["teacher_acc"] is not None}
    if not teacher:
        return
    first = every[0]
    place = Place(
        **{name: str(first[name]) for name in (*GROUP[:-1], "setting")},
        alone=mean([run["acc"] for run in alone.values()]) if alone else None,
        teacher_acc=mean([run["teacher_acc"] for run in teacher.values()]),
        ahead=_paired(teacher, alone, "teacher_acc"),
    )
    for method, runs in methods.items():
        if runs is not alone and _mean(runs, "student_images"):
            seconds = _baseline_seconds(next(iter(runs.values())), alone, usual)
            yield Line(
                place,
                method,
                len(runs),
                _estimate([run["acc"] for run in runs.values()]),
                _paired(runs, alone, "acc"),
                _mean(runs, "student_images"),
                _mean(runs, "teacher_queries"),
                _mean(runs, "seconds") / seconds if seconds else None,
            )


def _baseline_seconds(run: Row, alone: Mapping[int, Row], usual: Mapping[tuple[str, ...], float]) -> float | None:
    """Seconds of the baseline beside the run, or elsewhere; runs of another commit may be of another machine."""
    beside = [each["seconds"] for each in alone.values() if each["commit"] == run["commit"]]
    return mean(beside) if beside else usual.get(_hardware(run))


def _hardware(run: Row) -> tuple[str, ...]:
    return tuple(str(run[name]) for name in ("dataset", "budget", "teacher", "student", "device", "commit"))


def _usual_seconds(runs: pd.DataFrame) -> dict[tuple[str, ...], float]:
    """Data set, budget, networks, device and commit -> mean seconds of fine-tuning, wherever it ran."""
    found: dict[tuple[str, ...], list[float]] = {}
    for run in rows_of(runs[runs["role"] == "baseline"]):
        found.setdefault(_hardware(run), []).append(run["seconds"])
    return {key: mean(values) for key, values in found.items()}


def _mean(runs: Mapping[int, Row], name: str) -> float:
    return mean([run[name] or 0.0 for run in runs.values()])


def _paired(runs: Mapping[int, Row], others: Mapping[int, Row], name: str) -> Estimate | None:
    """The differences to the accuracies of others with the same seeds."""
    values = [runs[seed][name] - others[seed]["acc"] for seed in sorted(runs.keys() & others.keys())]
    return _estimate(values) if values else None


def _estimate(values: list[float]) -> Estimate:
    low, high = interval(values) or (math.nan, math.nan)
    return Estimate(mean(values), low, high)


@dataclass(frozen=True)
class Rule:
    """How often the rule of thumb held: distillation pays where the teacher is ahead of the labels alone.

    Attributes:
        ahead: whether the teacher is more accurate than fine-tuning on the labels, or less.
        places: where that is so.
        gains: results of methods there whose interval is above 0.
        ties: those whose interval has 0 in it.
        losses: those whose interval is below 0.
    """

    ahead: bool
    places: int
    gains: int
    ties: int
    losses: int


def rules(lines: Sequence[Line]) -> list[Rule]:
    """The rule where the teacher is ahead, and where it is behind."""
    found = []
    for ahead in (True, False):
        there = [each for each in lines if each.place.ahead and (each.place.ahead.value > 0) == ahead]
        signs = [each.gain.sign for each in there if each.gain]
        places = len({each.place for each in there})
        found.append(Rule(ahead, places, *(signs.count(sign) for sign in (1, 0, -1))))
    return found


def apart(shots: str, labels: float) -> float:
    """How far labels per class are from another number of them, as a factor; all labels are infinitely far.

    >>> apart("2", 4), apart("8", 4), apart("all", 4)
    (2.0, 2.0, inf)
    """
    measured_at = number(shots)
    return max(measured_at / labels, labels / measured_at)


def nearest(lines: Iterable[Line], task: str, track: str, distance: Callable[[Place], float]) -> list[Line]:
    """The lines of the places of a task and track that are nearest; none where nothing of it was measured."""
    fitting = [line for line in lines if (line.place.task, line.place.track) == (task, track)]
    least = min((distance(line.place) for line in fitting), default=0.0)
    return [line for line in fitting if distance(line.place) == least]
