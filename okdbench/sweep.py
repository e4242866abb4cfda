"""What ``okdbench sweep`` does: a grid of runs in child processes, those that are missing and nothing else."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import mean

from rich.console import Console

from okdbench import device as devices
from okdbench.board import Board, spell_seconds
from okdbench.commands import conclude
from okdbench.config import RunConfig
from okdbench.errors import UserError, unknown
from okdbench.grid import Grid, plans_of
from okdbench.hosts import Engine, open_host
from okdbench.places import default_data_root
from okdbench.plan import Plan, make_plan
from okdbench.pool import Job, Pool, State
from okdbench.records import Record, read_record, read_records, writing
from okdbench.registry import name_of
from okdbench.room import Room
from okdbench.runner import finished, give_up
from okdbench.slurm import array_script
from okdbench.teacher import teacher_file
from okdbench.trial import LabelsWithheldError, check_once

#: what a plan can be printed as
PLANS = ("grid", "slurm")


@dataclass(eq=False, kw_only=True)
class Teacher(Job):
    """Trains a teacher that several cells wait for."""

    weights: Path

    def begin(self) -> bool:
        """Whether the weights are missing."""
        return not self.weights.exists()

    def verdict(self) -> State | None:
        """``done`` when the weights are there."""
        return "done" if self.weights.exists() else None


@dataclass(eq=False, kw_only=True)
class Cell(Job):
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


def sweep(grid: Grid, engine: Engine, runs: Path, data_root: Path | None, max_gb: float | None = None) -> bool:
    """Run the cells of ``grid`` that are not done, where ``engine`` says, and print the table; False when one failed.

    Whenever a job has ended and ``runs`` holds more than ``max_gb``, what can be made again is removed.

    Raises:
        UserError: a mistake in the options, told before anything runs, or no room within ``max_gb``.
        KeyboardInterrupt: interrupted; no child is left.
    """
    with open_host(engine, runs) as host:
        teachers, cells = lay_out(grid, runs, data_root)
        with Board(teachers, cells, Console(stderr=True, highlight=False)) as board, writing(runs):
            report = partial(_report, board, cells, Room(runs, max_gb, board.say) if max_gb is not None else None)
            Pool([*teachers, *cells], engine.jobs or host.places, host.start, report, board.show).run()
    conclude([record for cell in cells if (record := cell.record)])
    return all(cell.state == "done" for cell in cells)


def _report(board: Board, cells: Sequence[Cell], room: Room | None, job: Job) -> None:
    """Show that ``job`` has ended, and make room for those to come."""
    board.report(job)
    if room:
        missing = [cell for cell in cells if cell.state not in ("done", "failed")]
        room.make({weights for cell in missing for weights in cell.inputs}, len(missing))


def preview(grid: Grid, engine: Engine, runs: Path, data_root: Path | None, form: str) -> bool:
    """Print the cells of ``grid``, what is missing, and how long that will take by the records there are.

    Args:
        form: ``grid`` for people, ``slurm`` for the script of an array job with the missing cells.
    """
    if form not in PLANS:
        raise unknown("form of a plan", form, PLANS)
    teachers, cells = lay_out(grid, runs, data_root)
    missing = [cell for cell in cells if cell.state != "done"]
    if form == "slurm":
        if not missing:
            raise UserError(f"all {len(cells)} cells are done; there is nothing to write a script for")
        print(array_script([cell.words for cell in missing]), end="")
        return True
    for cell in cells:
        print(f"{'done' if cell.state == 'done' else 'missing'}\t{cell.title}")
    print(f"{len(cells)} cells: {len(cells) - len(missing)} done, {len(missing)} missing")
    print(f"teachers missing: {len(teachers)}")
    with open_host(engine, runs) as host:
        limit = engine.jobs or host.places
    print(f"time left with {limit} at a time: {_time_left(missing, runs, limit)}")
    return True


def lay_out(grid: Grid, runs: Path, data_root: Path | None) -> tuple[list[Teacher], list[Cell]]:
    """The cells of ``grid``, each once, and the teachers that the missing ones wait for.

    Raises:
        UserError: something in the grid cannot be run.
    """
    cells: dict[str, Cell] = {}
    teachers: dict[Path, Teacher] = {}
    checked: set[str] = set()
    for plan in plans_of(grid, data_root or default_data_root()):
        cell = _cell(plan, runs, data_root or default_data_root())
        if plan.key in cells or (cell.state != "done" and not _is_allowed(plan, grid, checked)):
            continue  # two ways to write one variant, or one that the track is not for
        cells[plan.key] = cell
        weights = teacher_file(runs / "teachers", plan.config, plan.material)
        if cell.state != "done" and not plan.config.teacher_weights:
            cell.inputs = (weights,)
        if cell.inputs and not weights.exists():
            cell.needs = teachers.setdefault(weights, _teacher(plan, cell, weights))
    for device in {cell.config.device for cell in cells.values()} - {"auto"}:
        devices.choose(device)
    return list(teachers.values()), list(cells.values())


def _is_allowed(plan: Plan, grid: Grid, checked: set[str]) -> bool:
    """Check the plan; where several tracks are named, one that reads labels is left out of the label-free one."""
    try:
        check_once(plan, checked)
    except LabelsWithheldError as error:
        if "," not in (grid.tracks or ""):
            raise
        if str(error) not in checked:
            print(f"okdbench: left out: {error}", file=sys.stderr)
            checked.add(str(error))
        return False
    return True


def _cell(plan: Plan, runs: Path, data_root: Path) -> Cell:
    where = ["--device", plan.config.device, "--runs", str(runs), "--data-root", str(data_root)]
    folder = runs / plan.key
    return Cell(
        title=plan.title,
        words=[*plan.words, *where],
        log=folder / "log.txt",
        state="done" if finished(folder) else "waiting",
        config=plan.config,
        runs=runs,
        data_root=data_root,
    )


def _teacher(plan: Plan, cell: Cell, weights: Path) -> Teacher:
    config = plan.config
    return Teacher(
        title=f"teacher {config.teacher} {config.dataset} {config.setting} seed {config.seed}",
        words=[*cell.words, "--teacher-only"],
        log=weights.with_name("log.txt"),
        weights=weights,
    )


def _time_left(missing: Sequence[Cell], runs: Path, limit: int) -> str:
    """The mean of the finished runs of the same method, budget and networks stands for each missing one."""
    seconds: dict[tuple[str, ...], list[float]] = {}
    for record in read_records(runs):
        if record.status == "done":
            kind = (record.method, record.budget, record.teacher, record.student)
            seconds.setdefault(kind, []).append(record.cost.seconds)
    kinds = [(name_of(c.config.method), c.config.budget, c.config.teacher, c.config.student) for c in missing]
    strange = sorted({kind[0] for kind in kinds if kind not in seconds})
    if strange:
        return f"unknown, for there is no finished run of {', '.join(strange)} yet"
    return spell_seconds(sum(mean(seconds[kind]) for kind in kinds) / limit)
