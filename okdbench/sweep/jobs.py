"""The runs of a grid and their teachers as jobs: the command, the input files and the output files of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from okdbench.core import plugin_files
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root
from okdbench.core.network_names import file_of
from okdbench.core.units import spell_seconds
from okdbench.registry import is_own_dataset
from okdbench.results.records import Record
from okdbench.results.store import read_record
from okdbench.sweep.grid import Grid
from okdbench.sweep.plans import is_allowed, plans_of
from okdbench.sweep.scheduler import Job, State
from okdbench.training.plan import Plan, make_plan
from okdbench.training.runner import finished, give_up
from okdbench.training.teacher import teacher_file


@dataclass(eq=False, kw_only=True)
class TeacherJob(Job):
    """Trains a teacher that several runs wait for.

    Attributes:
        config: the configuration of one of these runs.
        weights: the file of the trained teacher.
    """

    config: RunConfig
    weights: Path

    def prepare(self) -> bool:
        """Whether the weights are missing."""
        return not self.weights.exists()

    def result(self) -> State | None:
        """``done`` if the weights exist."""
        return "done" if self.weights.exists() else None


@dataclass(eq=False, kw_only=True)
class RunJob(Job):
    """One run of the grid.

    Attributes:
        config: its configuration. The plan is not kept, because the images of many plans exceed the memory.
        runs: folder of runs.
        data_root: folder of data sets and caches.
    """

    config: RunConfig
    runs: Path
    data_root: Path
    _record_time: int = field(default=0, init=False)

    @property
    def record(self) -> Record | None:
        """The record in the run's folder, of whatever status."""
        return read_record(self.log.parent)

    def prepare(self) -> bool:
        """Whether the run is not done; note the time of an old failure, which must not count as the next result."""
        self._record_time = self._modified()
        return finished(self.log.parent) is None

    def result(self) -> State | None:
        """The status of the record, unless it is a failure of an earlier child."""
        if finished(self.log.parent):
            return "done"
        record = self.record
        return record.status if record and self._modified() != self._record_time else None

    def summary(self) -> str:
        """Accuracy and duration, or the error."""
        record = self.record
        if record is None or record.selected is None:
            self.error = (record and record.error) or self.error
            return super().summary()
        return f"{record.result} in {spell_seconds(record.cost.seconds)}"

    def give_up(self, error: str) -> None:
        """Write a failed record, because the children died before they could."""
        super().give_up(error)
        give_up(make_plan(self.config.model_dump(), data_root=self.data_root), self.runs, error)

    def _modified(self) -> int:
        # a difference counts and not the order, so that a wrong clock does no harm
        path = self.log.parent / "record.json"
        return path.stat().st_mtime_ns if path.exists() else 0


def make_jobs(grid: Grid, runs: Path, data_root: Path | None) -> tuple[list[TeacherJob], list[RunJob]]:
    """The jobs of a grid: missing teachers, and each run once, with state ``done`` if it is finished.

    Args:
        grid: which runs are wanted.
        runs: folder of runs, with teachers below it.
        data_root: folder of data sets and caches; None for the default one.

    Raises:
        UserError: a run of the grid is not possible.
    """
    run_jobs: dict[str, RunJob] = {}
    teachers: dict[Path, TeacherJob] = {}
    checked: set[str] = set()
    for plan in plans_of(grid, data_root or default_data_root()):
        job = _run_job(plan, runs, data_root or default_data_root())
        # a finished run is not checked: the check sets up its method, which takes time
        if plan.key in run_jobs or (job.state != "done" and not is_allowed(plan, grid, checked)):
            continue  # a variant that is written in two ways, or one that its track excludes
        run_jobs[plan.key] = job
        weights = teacher_file(runs / "teachers", plan)
        if job.state != "done" and not plan.config.teacher_weights:
            if not weights.exists():
                # runs of several methods share one teacher, which is trained before them
                job.depends_on = teachers.setdefault(weights, _teacher_job(plan, job, weights))
            # also weights that exist: the quota must keep them, and a node may lack them
            job.inputs += (weights.absolute(),)
    return list(teachers.values()), list(run_jobs.values())


def _run_job(plan: Plan, runs: Path, data_root: Path) -> RunJob:
    # absolute, because a node or a task of an array job may start in another folder
    folders = ["--runs", str(runs.absolute()), "--data-root", str(data_root.absolute())]
    folder = runs / plan.key
    return RunJob(
        title=plan.title,
        arguments=[*plan.words, "--device", plan.config.device, *_log_to(plan), *folders],
        log=folder / "log.txt",
        inputs=_portable_files(plan.config),
        state="done" if finished(folder) else "waiting",
        config=plan.config,
        runs=runs,
        data_root=data_root,
    )


def _log_to(plan: Plan) -> list[str]:
    return [word for name in plan.config.log_to for word in ("--log-to", name)]


def _teacher_job(plan: Plan, run: RunJob, weights: Path) -> TeacherJob:
    config = plan.config
    return TeacherJob(
        title=f"teacher {config.teacher} {config.dataset} {config.setting} seed {config.seed}",
        arguments=[*run.arguments, "--teacher-only"],
        log=weights.with_name("log.txt"),
        inputs=run.inputs,
        config=config,
        weights=weights,
    )


def _portable_files(config: RunConfig) -> tuple[Path, ...]:
    """The user's files below the current folder that the run reads, such as ``./mine.py``; they are sent to nodes."""
    below = [file for file in _relative_files(config) if ".." not in file.parts]
    return tuple(file for file in below if file.is_file())


def _relative_files(config: RunConfig) -> list[Path]:
    """The user's files that the run names by a relative path."""
    method = config.method if plugin_files.is_path(config.method) else None
    networks = [found[0] for name in (config.teacher, config.student) if (found := file_of(name))]
    weights = (config.teacher_weights, config.teacher_init, config.student_weights)
    named = [Path(name) for name in (method, *networks, *weights) if name]
    return [file for file in named if not file.is_absolute()]


def refuse_unshared_files(run_jobs: Sequence[RunJob]) -> None:
    """Refuse relative files that nodes do not get: those above the current folder, and data sets with their images.

    Raises:
        UserError: a run needs such a file.
    """
    for config in (job.config for job in run_jobs):
        above = [str(file) for file in _relative_files(config) if ".." in file.parts]
        # the file of a data set is small, but its images are in a folder beside it
        datasets = [config.dataset] if is_own_dataset(config.dataset) and not Path(config.dataset).is_absolute() else []
        if unshared := [*above, *datasets]:
            raise UserError(f"{unshared[0]}: nodes lack this file; use --shared, or a full path that all of them have")
