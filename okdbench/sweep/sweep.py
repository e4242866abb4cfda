"""What ``okdbench sweep`` does: a grid of runs in child processes, those that are missing and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from okdbench.core.errors import UserError, unknown
from okdbench.core.files import writing
from okdbench.results.rendering import conclude
from okdbench.sweep.disk_quota import DiskQuota
from okdbench.sweep.eta import time_left
from okdbench.sweep.executors import ExecutorOptions, child_limit, open_executor
from okdbench.sweep.grid import Grid
from okdbench.sweep.jobs import RunJob, make_jobs, refuse_unshared_files
from okdbench.sweep.live_table import LiveTable
from okdbench.sweep.scheduler import Job, Scheduler
from okdbench.sweep.slurm import array_script

#: what a plan can be printed as
PLANS = ("grid", "slurm")


def sweep(grid: Grid, engine: ExecutorOptions, runs: Path, data_root: Path | None, max_gb: float | None = None) -> bool:
    """Run the cells of ``grid`` that are not done, where ``engine`` says, and print the table; False when one failed.

    Whenever a child has ended and ``runs`` holds more than ``max_gb``, what can be made again is removed.

    Raises:
        UserError: a mistake in the options, told before anything runs, or no room within ``max_gb``.
        KeyboardInterrupt: interrupted; no child is left.
    """
    teachers, cells = make_jobs(grid, runs, data_root)
    if engine.name == "ray" and not engine.shared:
        refuse_unshared_files(cells)
    board = LiveTable(teachers, cells, Console(stderr=True, highlight=False))
    jobs = [*teachers, *cells]
    room = DiskQuota(runs, max_gb, board.print_line)
    make_room = partial(_make_room, room, jobs)
    with open_executor(engine, runs, _devices(cells)) as host, board, writing(runs):
        make_room()
        places = partial(child_limit, engine, host)
        Scheduler(jobs, lambda: 0 if room.full else places(), host.start, board.report, board.refresh, make_room).run()
    conclude([record for cell in cells if (record := cell.record)])
    return all(cell.state == "done" for cell in cells)


def _make_room(room: DiskQuota, jobs: Sequence[Job]) -> None:
    missing = [job for job in jobs if job.state in ("waiting", "running")]
    running = sum(job.state == "running" for job in missing)
    room.enforce({weights for job in missing for weights in job.inputs}, len(missing), running)


def preview(grid: Grid, engine: ExecutorOptions, runs: Path, data_root: Path | None, form: str) -> bool:
    """Print the cells of ``grid``, what is missing, and how long that will take by the records there are.

    Args:
        form: ``grid`` for people, ``slurm`` for the script of an array job with the missing cells.
    """
    if form not in PLANS:
        raise unknown("form of a plan", form, PLANS)
    teachers, cells = make_jobs(grid, runs, data_root)
    missing = [cell for cell in cells if cell.state != "done"]
    if form == "slurm":
        if not missing:
            raise UserError(f"all {len(cells)} cells are done; there is nothing to write a script for")
        print(array_script([cell.arguments for cell in missing]), end="")
        return True
    with open_executor(engine, runs, _devices(cells)) as host:
        places = child_limit(engine, host)
    for cell in cells:
        print(f"{'done' if cell.state == 'done' else 'missing'}\t{cell.title}")
    print(f"{len(cells)} cells: {len(cells) - len(missing)} done, {len(missing)} missing")
    print(f"teachers missing: {len(teachers)}")
    print(f"time left with {places} at a time: {time_left(teachers, missing, runs, places)}")
    return True


def _devices(cells: Sequence[RunJob]) -> set[str]:
    return {cell.config.device for cell in cells}
