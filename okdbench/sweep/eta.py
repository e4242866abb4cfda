"""How long the missing part of a grid will take, by the pictures per second that were measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import mean
from typing import Any, NamedTuple

from okdbench.core.plugins import name_of
from okdbench.core.protocol import BUDGETS
from okdbench.core.units import spell_seconds
from okdbench.results.store import read_records
from okdbench.sweep.jobs import RunJob, TeacherJob
from okdbench.sweep.scheduler import Job
from okdbench.training.teacher import read_trainings

#: seconds of thirty years, which no run takes
AGE = 1e9


class _Work(NamedTuple):
    """A run, or the training of a teacher; all of one ``kind`` are taken to need the same time for a picture."""

    kind: tuple[str, ...]
    budget: str
    pictures: int


def _run(method: str, budget: str, config: Mapping[str, Any]) -> _Work:
    networks = (str(config.get(name)) for name in ("teacher", "student", "image_size"))
    return _Work((method, *networks), budget, BUDGETS[budget].student_images)


def _teaching(network: str, image_size: int, budget: str) -> _Work:
    return _Work((f"the teacher {network}", str(image_size)), budget, BUDGETS[budget].teacher_images)


def time_left(teachers: Sequence[TeacherJob], cells: Sequence[RunJob], runs: Path, places: int) -> str:
    """In words, how long the missing ``cells`` and their ``teachers`` take, ``places`` at a time.

    Each counts like the mean of what was measured for its kind: with its own budget, or else with the largest one. No
    number of places makes the longest run, with its teacher before it, any shorter. The seconds in which Python starts
    are left out.
    """
    paces = _paces(runs)
    work: dict[Job, _Work] = {
        cell: _run(name_of(cell.config.method), cell.config.budget, cell.config.model_dump()) for cell in cells
    }
    work |= {job: _teaching(job.config.teacher, job.config.image_size, job.config.budget) for job in teachers}
    strange = sorted({what.kind[0] for what in work.values() if what.kind not in paces})
    if strange:
        return f"unknown, for none of these has ever finished here: {', '.join(strange)}"
    seconds = {job: what.pictures * _pace(paces[what.kind], what.budget) for job, what in work.items()}
    longest = max((each + (seconds[job.needs] if job.needs else 0.0) for job, each in seconds.items()), default=0.0)
    return spell_seconds(max(sum(seconds.values()) / places, longest))


def _paces(runs: Path) -> dict[tuple[str, ...], dict[str, list[float]]]:
    """Seconds for each picture, by kind and budget."""
    paces: dict[tuple[str, ...], dict[str, list[float]]] = {}
    for work, seconds in _measured(runs):
        if not 0 <= seconds < AGE:  # a record may come from anyone
            continue
        paces.setdefault(work.kind, {}).setdefault(work.budget, []).append(seconds / work.pictures)
    return paces


def _pace(by_budget: dict[str, list[float]], budget: str) -> float:
    best = budget if budget in by_budget else max(by_budget, key=list(BUDGETS).index)
    return mean(by_budget[best])


def _measured(runs: Path) -> Iterator[tuple[_Work, float]]:
    """What is finished, with its seconds."""
    for record in read_records(runs):
        if record.status == "done" and record.budget in BUDGETS:
            yield _run(record.method, record.budget, record.config), record.cost.seconds
    for training in read_trainings(runs / "teachers"):
        if training.budget in BUDGETS:
            yield _teaching(training.network, training.image_size, training.budget), training.seconds
