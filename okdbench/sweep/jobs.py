"""The cells of a grid and their teachers as jobs: the command of each, what it reads and what it leaves behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from okdbench.core import plugin_files as local
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root
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
    """Trains a teacher that several cells wait for."""

    config: RunConfig
    weights: Path

    def begin(self) -> bool:
        """Whether the weights are missing."""
        return not self.weights.exists()

    def verdict(self) -> State | None:
        """``done`` when the weights are there."""
        return "done" if self.weights.exists() else None


@dataclass(eq=False, kw_only=True)
class RunJob(Job):
    """One run of the grid. Its plan is not kept, because the pictures of many would fill the memory."""

    config: RunConfig
    runs: Path
    data_root: Path
    _before: int = field(default=0, init=False)

    @property
    def record(self) -> Record | None:
        """What the cell's folder holds."""
        return read_record(self.log.parent)

    def begin(self) -> bool:
        """Remember an earlier failure's record, which says nothing about the child to come."""
        self._before = self._written()
        return finished(self.log.parent) is None

    def verdict(self) -> State | None:
        """The status of the record, unless it is a failure from before."""
        if finished(self.log.parent):
            return "done"
        record = self.record
        return record.status if record and self._written() != self._before else None

    def outcome(self) -> str:
        """Accuracy and seconds, or what went wrong."""
        record = self.record
        if record is None or record.selected is None:
            self.error = (record and record.error) or self.error
            return super().outcome()
        return f"{record.selected.evaluation.test.acc:.1f} % in {spell_seconds(record.cost.seconds)}"

    def give_up(self, error: str) -> None:
        """Write the record that the children could not write."""
        super().give_up(error)
        give_up(make_plan(self.config.model_dump(), data_root=self.data_root), self.runs, error)

    def _written(self) -> int:
        path = self.log.parent / "record.json"
        return path.stat().st_mtime_ns if path.exists() else 0


def lay_out(grid: Grid, runs: Path, data_root: Path | None) -> tuple[list[TeacherJob], list[RunJob]]:
    """The cells of ``grid``, each once, and the teachers that the missing ones wait for.

    Raises:
        UserError: something in the grid cannot be run.
    """
    cells: dict[str, RunJob] = {}
    teachers: dict[Path, TeacherJob] = {}
    checked: set[str] = set()
    for plan in plans_of(grid, data_root or default_data_root()):
        cell = _cell(plan, runs, data_root or default_data_root())
        if plan.key in cells or (cell.state != "done" and not is_allowed(plan, grid, checked)):
            continue  # two ways to write one variant, or one that the track is not for
        cells[plan.key] = cell
        weights = teacher_file(runs / "teachers", plan.config, plan.splits)
        if cell.state != "done" and not plan.config.teacher_weights:
            if not weights.exists():
                cell.needs = teachers.setdefault(weights, _teacher(plan, cell, weights))
            cell.inputs += (weights.absolute(),)
    return list(teachers.values()), list(cells.values())


def _cell(plan: Plan, runs: Path, data_root: Path) -> RunJob:
    # absolute, for neither a node nor a task of an array job need start where we are
    folders = ["--runs", str(runs.absolute()), "--data-root", str(data_root.absolute())]
    folder = runs / plan.key
    return RunJob(
        title=plan.title,
        words=[*plan.words, "--device", plan.config.device, *folders],
        log=folder / "log.txt",
        inputs=_own_files(plan.config),
        state="done" if finished(folder) else "waiting",
        config=plan.config,
        runs=runs,
        data_root=data_root,
    )


def _teacher(plan: Plan, cell: RunJob, weights: Path) -> TeacherJob:
    config = plan.config
    return TeacherJob(
        title=f"teacher {config.teacher} {config.dataset} {config.setting} seed {config.seed}",
        words=[*cell.words, "--teacher-only"],
        log=weights.with_name("log.txt"),
        inputs=cell.inputs,
        config=config,
        weights=weights,
    )


def _own_files(config: RunConfig) -> tuple[Path, ...]:
    """The user's files below this folder that the run reads, such as ``./mine.py``; others must be on every machine."""
    below = [file for file in _named_files(config) if ".." not in file.parts]
    return tuple(file for file in below if file.is_file())


def _named_files(config: RunConfig) -> list[Path]:
    """The user's files that the run names from where we are."""
    method = config.method if local.is_path(config.method) else None
    named = [Path(name) for name in (method, config.teacher_weights) if name]
    return [file for file in named if not file.is_absolute()]


def refuse_left_behind(cells: Sequence[RunJob]) -> None:
    """Refuse what would not get to another machine: files above this folder, and data sets, whose pictures lie beside.

    Raises:
        UserError: there is such a file.
    """
    for config in (cell.config for cell in cells):
        above = [str(file) for file in _named_files(config) if ".." in file.parts]
        beside = [config.dataset] if is_own_dataset(config.dataset) and not Path(config.dataset).is_absolute() else []
        if left := [*above, *beside]:
            raise UserError(f"{left[0]}: nodes lack this file; use --shared, or a full path that all of them have")
