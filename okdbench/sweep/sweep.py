"""A grid of runs as child processes: ``okdbench sweep`` runs those that are missing and nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from rich.console import Console

from okdbench.core import devices
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.terminal import TableColumn, print_table
from okdbench.results.rendering import conclude
from okdbench.sweep.disk_quota import DiskQuota
from okdbench.sweep.eta import time_left
from okdbench.sweep.executors import ExecutorOptions, available_cores, child_limit, open_executor
from okdbench.sweep.grid import Grid
from okdbench.sweep.jobs import RunJob, make_jobs, refuse_unshared_files
from okdbench.sweep.live_table import LiveTable
from okdbench.sweep.scheduler import Job, Scheduler
from okdbench.sweep.slurm import array_script
from okdbench.training.runner import noted


def sweep(
    grid: Grid, options: ExecutorOptions, runs: Path, data_root: Path | None, max_gb: float | None = None
) -> bool:
    """Run the cells of ``grid`` that are not finished, and print the table; False when one of them failed.

    Args and Raises: as :func:`run_cells`.
    """
    cells = run_cells(grid, options, runs, data_root, max_gb)
    conclude([record for cell in cells if (record := cell.record)])
    return all(cell.state == "done" for cell in cells)


def run_cells(
    grid: Grid, options: ExecutorOptions, runs: Path, data_root: Path | None, max_gb: float | None = None
) -> list[RunJob]:
    """The cells of ``grid``, each of which is done or has failed; those that were finished before are not repeated.

    Args:
        grid: what to run.
        options: where it runs.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.
        max_gb: most that ``runs`` may hold; whenever a child has ended and there is more, files that a run can make
            again are removed. None for no limit.

    Raises:
        UserError: a mistake in the options, before anything runs, or no room within ``max_gb``.
        KeyboardInterrupt: interrupted; no child is left.
    """
    # What is to be done; every mistake is found before the first child starts.
    teachers, cells = make_jobs(grid, runs, data_root)
    if options.name == "ray" and not options.shared:
        refuse_unshared_files(cells)
    for cell in cells:
        if cell.config.tuned:
            noted(cell.log.parent, cell.config)

    # Who is told of it: the live table, and the quota, which makes room after each child.
    table = LiveTable(teachers, cells, Console(stderr=True, highlight=False))
    jobs = [*teachers, *cells]
    quota = DiskQuota(runs, max_gb, table.print_line)
    make_room = partial(_make_room, quota, jobs)

    # Run the children. While the quota is full none is started, until another has ended and left less.
    with open_executor(options, runs, _devices(cells)) as executor, table, writing(runs):
        # before the first child too, because an earlier sweep may have left more than the limit
        make_room()
        Scheduler(
            jobs,
            lambda: 0 if quota.full else child_limit(options, executor),
            executor.start,
            table.report,
            table.refresh,
            make_room,
        ).run()
    return cells


def dry_run(grid: Grid, options: ExecutorOptions, runs: Path, data_root: Path | None) -> None:
    """Print the cells of ``grid``, which of them are missing, and how long these take.

    Args:
        grid: what to run.
        options: where it would run.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.

    Raises:
        UserError: a mistake in the options.
    """
    teachers, cells = make_jobs(grid, runs, data_root)
    missing = _missing(cells)
    # opened although nothing starts, because only the executor knows its slots
    with open_executor(options, runs, _devices(cells)) as executor:
        places = child_limit(options, executor)
    states = [{"state": "missing" if cell in missing else "done", "run": cell.title} for cell in cells]
    print_table([TableColumn("state"), TableColumn("run")], states)
    print(f"{len(cells)} cells: {len(cells) - len(missing)} done, {len(missing)} missing")
    print(f"teachers missing: {len(teachers)}")
    # each child has its share of the cores
    with devices.threads(options.cpus_per_run if options.name == "ray" else max(1, available_cores() // places)):
        print(f"time left with {places} at a time: {time_left(teachers, missing, runs, data_root, places)}")


def write_array_script(grid: Grid, file: Path, runs: Path, data_root: Path | None) -> int:
    """Write the script of a Slurm array job with a task for each missing cell; returns their number.

    Args:
        grid: what to run.
        file: where the script goes.
        runs: folder of runs, teachers and records.
        data_root: folder of data sets and caches; None for the default one.

    Raises:
        UserError: a mistake in the options, nothing is missing, or the file cannot be written.
    """
    # no tasks for teachers: the first run of each trains it under a lock
    _, cells = make_jobs(grid, runs, data_root)
    missing = _missing(cells)
    if not missing:
        raise UserError(f"all {len(cells)} cells are done; there is nothing to write a script for")
    with writing(file, "--slurm"):
        write_atomic(file, array_script([cell.arguments for cell in missing]).encode())
    return len(missing)


def _make_room(quota: DiskQuota, jobs: Sequence[Job]) -> None:
    unfinished = [job for job in jobs if job.state in ("waiting", "running")]
    running = sum(job.state == "running" for job in unfinished)
    needed = {weights for job in unfinished for weights in job.inputs}
    quota.enforce(needed, len(unfinished), running)


def _missing(cells: Sequence[RunJob]) -> list[RunJob]:
    return [cell for cell in cells if cell.state != "done"]


def _devices(cells: Sequence[RunJob]) -> set[str]:
    return {cell.config.device for cell in cells}
