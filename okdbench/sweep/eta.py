"""Estimated time of arrival: how long the missing runs of a grid take.

Seconds per image are those of finished runs; what no finished run tells is estimated from a dozen timed steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from okdbench.core import devices
from okdbench.core.errors import one_line
from okdbench.core.plugins import name_of
from okdbench.core.progress import counter
from okdbench.core.protocol import BUDGETS, PROTOCOL_VERSION
from okdbench.core.settings import task_of
from okdbench.core.units import spell_seconds
from okdbench.data.splits import SplitCache
from okdbench.results.store import read_records
from okdbench.sweep.jobs import RunJob, TeacherJob
from okdbench.sweep.scheduler import Job
from okdbench.training.plan import make_plan
from okdbench.training.step_time import StepTimer
from okdbench.training.teacher import read_trainings

#: longer measurements, of 30 years, are errors in a record
MAX_SECONDS = 1e9


class _Work(NamedTuple):
    """A run, or the training of a teacher.

    Attributes:
        kind: method and networks; all work of one kind is assumed to take the same time per image.
        budget: name of the budget.
        images: training images.
    """

    kind: tuple[str, ...]
    budget: str
    images: int


def _run_work(method: str, budget: str, config: Mapping[str, Any]) -> _Work:
    # a record from elsewhere may lack a field, or have a value of any type there
    networks = (str(config.get(name)) for name in ("teacher", "student", "image_size"))
    return _Work((method, *networks), budget, BUDGETS[budget].student_images)


def _teacher_work(network: str, image_size: int, budget: str) -> _Work:
    return _Work((f"the teacher {network}", str(image_size)), budget, BUDGETS[budget].teacher_images)


def time_left(
    teachers: Sequence[TeacherJob], missing: Sequence[RunJob], runs: Path, data_root: Path | None, slots: int
) -> str:
    """Estimate how long the missing runs and their teachers take.

    Each job counts as the mean of the measurements of its kind, with its own budget or else with the largest measured
    one. The start of the interpreter is not included, and in timed steps neither are the evaluations.

    Args:
        teachers: jobs of missing teachers.
        missing: jobs of missing runs.
        runs: folder of runs with the measurements.
        data_root: folder of data sets and caches; None for the default one.
        slots: jobs at a time.

    Returns:
        a duration such as ``13 min`` and what it is from, or a text that names what cannot be timed.
    """
    measured = _seconds_per_image(runs)
    work: dict[RunJob | TeacherJob, _Work] = {
        job: _run_work(name_of(job.config.method), job.config.budget, job.config.model_dump()) for job in missing
    }
    work |= {job: _teacher_work(job.config.teacher, job.config.image_size, job.config.budget) for job in teachers}
    untold = {job: each.kind[0] for job, each in work.items() if each.kind not in measured}
    try:
        seconds: dict[Job, float] = dict(_timed(untold, data_root))
    except _FailedStepError as error:
        return f"unknown, because {error}"
    for job, each in work.items():
        if job not in untold:
            seconds[job] = each.images * _mean_of(measured[each.kind], each.budget)
    # lower bound: a run waits for its teacher, however many slots there are
    longest = max(
        (own + (seconds[job.depends_on] if job.depends_on else 0.0) for job, own in seconds.items()), default=0.0
    )
    return spell_seconds(max(sum(seconds.values()) / slots, longest)) + _origin(len(work), sorted(set(untold.values())))


class _FailedStepError(Exception):
    """A step of a method cannot be made."""


def _timed(untold: Mapping[RunJob | TeacherJob, str], data_root: Path | None) -> Iterator[tuple[Job, float]]:
    """Each job with its seconds, from steps on its device; jobs that differ in seed and setting are timed once.

    Raises:
        _FailedStepError: a method fails.
    """
    alike: dict[str, list[RunJob | TeacherJob]] = {}
    for job in untold:
        alike.setdefault(_kind(job), []).append(job)
    timers, splits = dict[str, StepTimer](), SplitCache()
    with counter("timing steps", len(alike)) as advance:
        for first, *others in alike.values():
            try:
                plan = make_plan(first.config.model_dump(), data_root=data_root, load=splits)
                timer = timers.setdefault(plan.config.device, StepTimer(devices.choose(plan.config.device)))
                trained = isinstance(first, TeacherJob)
                seconds = timer.teacher_seconds(plan) if trained else timer.run_seconds(plan)
            except Exception as error:  # a bug in a method, which its run stores in a record
                raise _FailedStepError(f"a step of {untold[first]} fails: {one_line(error)}") from error
            yield from ((job, seconds) for job in (first, *others))
            advance(1)


def _kind(job: RunJob | TeacherJob) -> str:
    # how long a source trains a teacher depends on its images
    place = job.config.setting if isinstance(job, TeacherJob) else task_of(job.config.setting)
    return type(job).__name__ + job.config.model_copy(update={"seed": 0, "setting": place}).model_dump_json()


def _origin(jobs: int, timed: Sequence[str]) -> str:
    """What an estimate for a number of jobs is from."""
    if not timed:
        return ", from finished runs" if jobs else ""
    return f", from a dozen timed steps here, where no finished run tells, of: {', '.join(timed)}"


def _seconds_per_image(runs: Path) -> dict[tuple[str, ...], dict[str, list[float]]]:
    """Kind of work -> budget -> measured seconds per image."""
    measured: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for work, seconds in _measurements(runs):
        if not 0 <= seconds < MAX_SECONDS:  # NaN too; a record may come from anywhere
            continue
        measured.setdefault(work.kind, {}).setdefault(work.budget, []).append(seconds / work.images)
    return measured


def _mean_of(by_budget: dict[str, list[float]], budget: str) -> float:
    # BUDGETS is in ascending order; the largest budget has the smallest share of constant costs
    best = budget if budget in by_budget else max(by_budget, key=list(BUDGETS).index)
    return mean(by_budget[best])


def _measurements(runs: Path) -> Iterator[tuple[_Work, float]]:
    """Finished runs and trainings of teachers with their seconds."""
    for record in read_records(runs):
        # in another version of the protocol a budget may have had another number of images
        if record.status == "done" and record.budget in BUDGETS and record.protocol == PROTOCOL_VERSION:
            yield _run_work(record.method, record.budget, record.config), record.cost.seconds
    for training in read_trainings(runs / "teachers"):
        if training.budget in BUDGETS and training.protocol == PROTOCOL_VERSION:
            yield _teacher_work(training.network, training.image_size, training.budget), training.seconds
