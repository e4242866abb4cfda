"""Which methods can run in a user's case, what was measured in the nearest one, and how long each takes here."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from okdbench import registry
from okdbench.core import devices, plugins
from okdbench.core.errors import UserError, one_line, unknown
from okdbench.core.notices import heard, say
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import TaskKind
from okdbench.data.dataset import Dataset
from okdbench.data.splits import SplitCache
from okdbench.results.choosing import Line, Place, apart, committed_runs, measured, nearest
from okdbench.results.estimates import mean
from okdbench.training.known_teacher import KnownTeacher, known_teacher
from okdbench.training.plan import Plan, make_plan
from okdbench.training.runner import finished
from okdbench.training.step_time import StepTimer
from okdbench.training.teacher_check import is_near_chance
from okdbench.training.trial import check


@dataclass(frozen=True)
class Choice:
    """A method that can run here.

    Attributes:
        role: ``baseline`` for the labels alone.
        lines: what it was measured to do in the nearest places; none if it was not.
        seconds: how long all its steps take here; None where they fail.
        command: what runs it.
    """

    method: str
    role: str
    lines: list[Line]
    seconds: float | None
    command: str

    @property
    def expected(self) -> float:
        """Mean gain over the labels alone, or else accuracy, in the nearest places; -infinity without any."""
        values = [(line.gain or line.accuracy).value for line in self.lines]
        return mean(values) if values else -math.inf


@dataclass
class Recommendation:
    """The answer for one case.

    Attributes:
        possible: the data set's default settings of each task.
        labels: labels per class that a method sees; 0 in the label-free track.
        chance: accuracy of a guess, percent.
        alone: validation accuracy of the labels alone, percent; None before that run is finished.
        nearest: the places that were measured nearest to this case.
        choices: in the order in which to try them.
        refused: method -> why it cannot run.
        notices: what was said on standard error: what is assumed, and warnings.
    """

    dataset: str
    setting: str
    task: TaskKind
    track: Track
    possible: dict[str, list[str]]
    labels: int
    chance: float
    teacher: KnownTeacher
    alone: float | None = None
    nearest: list[Place] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)

    @property
    def is_guessing(self) -> bool:
        """Whether the teacher is near chance on the validation images."""
        acc = self.teacher.acc
        return acc is not None and is_near_chance(acc, self.chance)


def recommend(
    options: Mapping[str, Any], runs: Path, data_root: Path | None, advance: Callable[[int], None]
) -> Recommendation:
    """Look at a case; nothing is trained, and no accuracy on test images of the student's domain is looked at.

    Args:
        options: fields of :class:`~okdbench.core.config.RunConfig` but for the method.
        runs: folder of runs, whose fine-tuning and teacher are used if they are there.
        data_root: folder of data sets and caches; None for the default one.
        advance: called after each method that was timed.

    Raises:
        UserError: the data set, the setting or the teacher's file cannot be used.
    """
    with heard() as notices:
        plans, refused = _plans(options, data_root)
        timer = StepTimer(devices.choose(next(iter(plans.values())).config.device))
        found = _case(plans, runs, timer)
        lines = nearest(measured(committed_runs()), found.task, found.track, _distance(found))
        places = list(dict.fromkeys(line.place for line in lines))
        choices = _choices(plans, timer, lines, advance)
    return replace(found, nearest=places, choices=choices, refused=refused, notices=notices)


def _case(plans: Mapping[str, Plan], runs: Path, timer: StepTimer) -> Recommendation:
    """What is known of the case itself, without a method."""
    first = next(iter(plans.values()))
    baseline = next((plan for plan in plans.values() if plan.method.card.role == "baseline"), None)
    record = finished(runs / baseline.key) if baseline else None
    return Recommendation(
        first.dataset.name,
        first.setting.name,
        first.setting.task,
        first.track,
        _possible(first.dataset),
        _labels(first),
        100.0 / len(first.dataset.classes),
        known_teacher(first, runs, timer),
        record.selected.evaluation.val_acc if record and record.selected else None,
    )


def _choices(
    plans: Mapping[str, Plan], timer: StepTimer, lines: Sequence[Line], advance: Callable[[int], None]
) -> list[Choice]:
    """The labels alone, because the others are measured against them, then by what is expected, then by time."""
    found = []
    for name, plan in plans.items():
        seconds = _seconds(timer, plan)
        if seconds != 0:  # nothing is trained by the teacher's own row
            own = [line for line in lines if line.method == name]
            found.append(Choice(name, plan.method.card.role, own, seconds, plan.command))
        advance(1)
    return sorted(found, key=lambda each: (each.role != "baseline", -each.expected, each.seconds or math.inf))


def _plans(options: Mapping[str, Any], data_root: Path | None) -> tuple[dict[str, Plan], dict[str, str]]:
    """The plan of each method that can run, and why the others cannot."""
    plans, refused, splits = dict[str, Plan](), dict[str, str](), SplitCache()
    task, track = _place(options)
    for name in plugins.method_names():
        card = registry.load_method(name).card
        if card.role == "privileged":
            continue
        if task not in card.tasks:
            refused[name] = f"not for task {task}"
        elif track not in card.tracks:
            refused[name] = f"not in the {track} track"
        else:
            try:
                plan = make_plan({**options, "method": name}, data_root=data_root, load=splits)
                check(_without_file(plan))
                plans[name] = plan
            except UserError as error:
                refused[name] = str(error).replace(f"method {name!r}", "it")
    if not plans:
        raise UserError(f"no method can run here: {'; '.join(dict.fromkeys(refused.values()))}")
    return plans, refused


def _place(options: Mapping[str, Any]) -> tuple[TaskKind, Track]:
    dataset = registry.load_dataset(str(options["dataset"]))
    for name, kind in (("task", TaskKind), ("track", Track)):
        if (value := options.get(name)) and value not in list(kind):
            raise unknown(name, value, [str(each) for each in kind])
    setting = options.get("setting")
    task = dataset.setting(setting).task if setting else TaskKind(options.get("task") or dataset.default_task)
    return task, Track(options.get("track") or tracks_of(task)[0])


def _without_file(plan: Plan) -> Plan:
    """The plan by its architectures alone, so that a file is not read once more for each method."""
    return replace(
        plan, trained=None, config=plan.config.model_copy(update={"teacher_weights": None, "pretrained": False})
    )


def _possible(dataset: Dataset) -> dict[str, list[str]]:
    return {str(task): list(dataset.default_settings(task)) for task in TaskKind}


def _labels(plan: Plan) -> int:
    """Labels per class, of the classes that have one; the median."""
    counts = np.bincount(plan.access.labelled.labels)
    return int(np.median(counts[counts > 0])) if counts.any() else 0


def _distance(found: Recommendation) -> Callable[[Place], float]:
    """How far a place is: by the teacher's lead over the labels alone where it is known, else by their number."""
    if found.alone is not None and found.teacher.acc is not None:
        lead = found.teacher.acc - found.alone
        return lambda place: abs(place.ahead.value - lead) if place.ahead else math.inf
    return lambda place: apart(place.shots, found.labels) if found.labels else 0.0


def _seconds(timer: StepTimer, plan: Plan) -> float | None:
    try:
        return timer.run_seconds(plan)
    except Exception as error:  # a bug in the method, or no memory for it
        say(f"a step of {plan.method_name} fails: {one_line(error)}")
        return None
