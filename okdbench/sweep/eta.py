"""Estimated time of arrival: how long the missing runs of a grid take, from measured seconds per image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from okdbench.core.plugins import name_of
from okdbench.core.protocol import BUDGETS, PROTOCOL_VERSION
from okdbench.core.units import spell_seconds
from okdbench.results.store import read_records
from okdbench.sweep.jobs import RunJob, TeacherJob
from okdbench.sweep.scheduler import Job
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


def time_left(teachers: Sequence[TeacherJob], missing: Sequence[RunJob], runs: Path, slots: int) -> str:
    """Estimate how long the missing runs and their teachers take.

    Each job counts as the mean of the measurements of its kind, with its own budget or else with the largest measured
    one. The start of the interpreter is not included.

    Args:
        teachers: jobs of missing teachers.
        missing: jobs of missing runs.
        runs: folder of runs with the measurements.
        slots: jobs at a time.

    Returns:
        a duration such as ``13 min``, or a text that names kinds without any measurement.
    """
    measured = _seconds_per_image(runs)
    work: dict[Job, _Work] = {
        job: _run_work(name_of(job.config.method), job.config.budget, job.config.model_dump()) for job in missing
    }
    work |= {job: _teacher_work(job.config.teacher, job.config.image_size, job.config.budget) for job in teachers}
    unmeasured = sorted({each.kind[0] for each in work.values() if each.kind not in measured})
    if unmeasured:
        return f"unknown, because there is no finished run yet of: {', '.join(unmeasured)}"
    seconds = {job: each.images * _mean_of(measured[each.kind], each.budget) for job, each in work.items()}
    # lower bound: a run waits for its teacher, however many slots there are
    longest = max(
        (own + (seconds[job.depends_on] if job.depends_on else 0.0) for job, own in seconds.items()), default=0.0
    )
    return spell_seconds(max(sum(seconds.values()) / slots, longest))


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
