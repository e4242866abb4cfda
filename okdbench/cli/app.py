"""The command line: one function per command, no logic of its own. Torch is imported by the commands that need it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from okdbench import __version__
from okdbench.cli import app_data as cli_data
from okdbench.cli import app_plugins as cli_authors
from okdbench.cli import app_results as cli_results
from okdbench.cli import app_runs as cli_runs
from okdbench.cli import preflight
from okdbench.cli.options import (
    Assignments,
    Budget,
    Config,
    DataRoot,
    Device,
    ImageSize,
    Precision,
    Pretrained,
    Runs,
    Student,
    Teacher,
    TeacherWeights,
    TestSplit,
    interruptible,
)
from okdbench.core import signals as interrupt
from okdbench.core.errors import UserError

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Out-of-domain knowledge distillation methods under one protocol that cannot leak.",
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[  # noqa: ARG001 - typer calls _version
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    parent: Annotated[int | None, typer.Option(hidden=True, help="End with the process of this number.")] = None,
) -> None:
    """Take the options that stand before the command."""
    if parent is not None:
        interrupt.end_with(parent)


@app.command(epilog="Example: okdbench run --method augkd --dataset digits --setting MP-O --seeds 0-2 --budget quick")
def run(
    method: Annotated[
        list[str] | None, typer.Option(help="Method, also kd\\[lr=0.1] or ./mine.py; may be given several times.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="Data set.")] = None,
    setting: Annotated[str | None, typer.Option(help="Such as MP-O; default: all default settings.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of initialisation and order.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Several seeds, such as 0-2 or 0,3,5.")] = None,
    budget: Budget = None,
    track: Annotated[str | None, typer.Option(help="labelled or label-free.")] = None,
    assignments: Assignments = None,
    config: Config = None,
    teacher: Teacher = None,
    student: Student = None,
    pretrained: Pretrained = None,
    teacher_weights: TeacherWeights = None,
    image_size: ImageSize = None,
    precision: Precision = None,
    test_split: TestSplit = None,
    device: Device = None,
    runs: Runs = Path("runs"),
    data_root: DataRoot = None,
    teacher_only: Annotated[bool, typer.Option("--teacher-only", hidden=True, help="Train no student.")] = False,
) -> None:
    """Distil: run methods on a data set's settings and print the table."""
    preflight.find_pictures(dataset, setting, test_split, config, data_root)
    from okdbench.cli import run as commands

    options = {
        "dataset": dataset, "setting": setting, "budget": budget, "track": track, "teacher": teacher,
        "student": student, "pretrained": pretrained, "image_size": image_size, "precision": precision,
        "device": device, "test_split": test_split, "teacher_weights": teacher_weights and str(teacher_weights),
    }  # fmt: skip
    with interruptible():
        done = commands.run(
            method or [], seed, seeds, assignments or [], options, config, runs, data_root, teacher_only
        )
    if not done:
        raise typer.Exit(1)


@app.command(epilog="Example: okdbench sweep --methods 'augkd,kd,finetune' --datasets digits --seeds 0-2 --jobs 2")
def sweep(
    methods: Annotated[str, typer.Option(help="Methods and variants: kd,kd\\[lr=0.1],./mine.py.")],
    datasets: Annotated[str, typer.Option(help="Data sets, with commas between.")],
    settings: Annotated[str | None, typer.Option(help="Such as MP-O,MO-P; default: all default settings.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Such as 0-2 or 0,3,5.")] = None,
    budget: Budget = None,
    tracks: Annotated[str | None, typer.Option(help="labelled, label-free or labelled,label-free.")] = None,
    jobs: Annotated[int | None, typer.Option(help="Runs at a time; default: one for each GPU or two cores.")] = None,
    jobs_per_gpu: Annotated[int | None, typer.Option(help="Runs at a time on each of this machine's GPUs.")] = None,
    engine: Annotated[str, typer.Option(help="local, or ray for an existing Ray cluster.")] = "local",
    address: Annotated[str, typer.Option(help="Ray: auto or HOST:PORT.")] = "auto",
    cpus_per_run: Annotated[int, typer.Option(help="Ray: cores of a run.")] = 1,
    gpus_per_run: Annotated[
        float | None, typer.Option(help="Ray: GPUs of a run, such as 0.25; default: one where there are any.")
    ] = None,
    shared: Annotated[bool, typer.Option("--shared", help="Ray: all nodes see --runs and this folder.")] = False,
    max_gb: Annotated[
        float | None, typer.Option(help="Most that --runs may hold; what can be made again goes, records stay.", min=0)
    ] = None,
    assignments: Assignments = None,
    config: Config = None,
    teacher: Teacher = None,
    student: Student = None,
    pretrained: Pretrained = None,
    teacher_weights: TeacherWeights = None,
    image_size: ImageSize = None,
    precision: Precision = None,
    test_split: TestSplit = None,
    device: Device = None,
    runs: Runs = Path("runs"),
    data_root: DataRoot = None,
    plan: Annotated[bool, typer.Option("--plan", help="Show the grid and what is missing; run nothing.")] = False,
    form: Annotated[str, typer.Argument(metavar="slurm", help="After --plan: slurm, for an array job's script.")] = "",
) -> None:
    """Run a grid of methods, data sets, settings, seeds and tracks, several at a time, and print the table."""
    preflight.find_pictures(datasets, settings, test_split, config, data_root)
    from okdbench.sweep import sweep as sweeping
    from okdbench.sweep.executors import ExecutorOptions
    from okdbench.sweep.grid import Grid

    options = {
        "budget": budget, "teacher": teacher, "student": student, "pretrained": pretrained, "image_size": image_size,
        "precision": precision, "device": device, "test_split": test_split,
        "teacher_weights": teacher_weights and str(teacher_weights),
    }  # fmt: skip
    grid = Grid(methods, datasets, settings, seeds, tracks, assignments or [], options, config)
    if form and not plan:
        raise UserError(f"{form!r} is not understood; only --plan takes a word, slurm")
    where = ExecutorOptions(engine, jobs, jobs_per_gpu, address, cpus_per_run, gpus_per_run, shared)
    with interruptible():
        if plan:
            done = sweeping.preview(grid, where, runs, data_root, form or "grid")
        else:
            done = sweeping.sweep(grid, where, runs, data_root, max_gb)
    if not done:
        raise typer.Exit(1)


@app.command("ls", epilog="Example: okdbench ls settings --dataset digits")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, settings or runs.")],
    dataset: Annotated[str | None, typer.Option(help="Only this data set's settings.")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """List methods, data sets, settings or runs."""
    from okdbench.cli import list as listing

    listing.show(what, dataset, runs)


@app.command(epilog="Example: okdbench show augkd")
def show(name: Annotated[str, typer.Argument(help="A method or a data set, by name or path.")]) -> None:
    """Show the card of a method or data set: source, what it reads, hyper-parameters, deviations."""
    from okdbench.cli import show as cards

    cards.show(name)


@app.command(epilog="Example: okdbench doctor")
def doctor(runs: Runs = Path("runs"), data_root: DataRoot = None) -> None:
    """Check the machine: libraries, device, threads, disk and folders."""
    from okdbench.cli import doctor as checkup

    if not checkup.examine(runs, data_root):
        raise typer.Exit(1)


app.add_typer(cli_results.app)
app.add_typer(cli_authors.app)
app.add_typer(cli_data.app, name="data")
app.add_typer(cli_runs.app, name="runs")


def main() -> None:
    """Run the command line; what the user can mend ends in one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"okdbench: {error}", file=sys.stderr)
        sys.exit(2)
