"""The command line: one function per command, no logic of its own. Torch is imported by the commands that need it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from okdbench import __version__, interrupt, preflight
from okdbench.errors import UserError
from okdbench.places import default_data_root

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Out-of-domain knowledge distillation methods under one protocol that cannot leak.",
)

Runs = Annotated[Path, typer.Option("--runs", help="Folder of runs, teachers and records.")]
Budget = Annotated[Optional[str], typer.Option(help="smoke, quick, standard or paper.")]
Assignments = Annotated[Optional[list[str]], typer.Option("--set", help="Hyper-parameter, key=value.")]
Config = Annotated[Optional[Path], typer.Option(help="YAML file of options; the command line wins.")]
Teacher = Annotated[Optional[str], typer.Option(help="timm classifier.")]
Student = Annotated[Optional[str], typer.Option(help="timm classifier.")]
Pretrained = Annotated[Optional[bool], typer.Option(help="Start both from timm's weights.")]
TeacherWeights = Annotated[Optional[Path], typer.Option(help="Your teacher: .safetensors or state dict.")]
ImageSize = Annotated[Optional[int], typer.Option(help="Side of the pictures in pixels.")]
Precision = Annotated[Optional[str], typer.Option(help="float32 or bfloat16.")]
TestSplit = Annotated[Optional[str], typer.Option(help="protocol, or official: the data set's own test pictures.")]
Device = Annotated[Optional[str], typer.Option(help="auto, cpu, cuda, cuda:1.")]
DataRoot = Annotated[Optional[Path], typer.Option("--data-root", help="Folder of data sets and caches.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[  # noqa: ARG001 - typer calls _version
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
    parent: Annotated[Optional[int], typer.Option(hidden=True, help="End with the process of this number.")] = None,
) -> None:
    """Take the options that stand before the command."""
    if parent is not None:
        interrupt.end_with(parent)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say how to go on after Ctrl-C; caught here, because typer would swallow it without a word."""
    try:
        yield
    except KeyboardInterrupt:
        print("okdbench: interrupted; the same command goes on from where it stopped", file=sys.stderr)
        raise typer.Exit(130) from None


@app.command(epilog="Example: okdbench run --method augkd --dataset digits --setting MP-O --seeds 0-2 --budget quick")
def run(
    method: Annotated[
        Optional[list[str]], typer.Option(help="Method, also kd\\[lr=0.1]; may be given several times.")
    ] = None,
    dataset: Annotated[Optional[str], typer.Option(help="Data set.")] = None,
    setting: Annotated[Optional[str], typer.Option(help="Such as MP-O; default: all default settings.")] = None,
    seed: Annotated[Optional[int], typer.Option(help="Seed of initialisation and order.")] = None,
    seeds: Annotated[Optional[str], typer.Option(help="Several seeds, such as 0-2 or 0,3,5.")] = None,
    budget: Budget = None,
    track: Annotated[Optional[str], typer.Option(help="labelled or label-free.")] = None,
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
    from okdbench import commands

    options = {
        "dataset": dataset, "setting": setting, "budget": budget, "track": track, "teacher": teacher,
        "student": student, "pretrained": pretrained, "image_size": image_size, "precision": precision,
        "device": device, "test_split": test_split, "teacher_weights": teacher_weights and str(teacher_weights),
    }  # fmt: skip
    with _interruptible():
        done = commands.run(
            method or [], seed, seeds, assignments or [], options, config, runs, data_root, teacher_only
        )
    if not done:
        raise typer.Exit(1)


@app.command(epilog="Example: okdbench sweep --methods 'augkd,kd,finetune' --datasets digits --seeds 0-2 --jobs 2")
def sweep(
    methods: Annotated[str, typer.Option(help="Methods and variants: kd,kd\\[lr=0.1].")],
    datasets: Annotated[str, typer.Option(help="Data sets, with commas between.")],
    settings: Annotated[Optional[str], typer.Option(help="Such as MP-O,MO-P; default: all default settings.")] = None,
    seeds: Annotated[Optional[str], typer.Option(help="Such as 0-2 or 0,3,5.")] = None,
    budget: Budget = None,
    tracks: Annotated[Optional[str], typer.Option(help="labelled, label-free or labelled,label-free.")] = None,
    jobs: Annotated[Optional[int], typer.Option(help="Runs at a time; default: half of the cores.")] = None,
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
) -> None:
    """Run a grid of methods, data sets, settings, seeds and tracks, several at a time, and print the table."""
    preflight.find_pictures(datasets, settings, test_split, config, data_root)
    from okdbench import sweep as sweeping
    from okdbench.grid import Grid

    options = {
        "budget": budget, "teacher": teacher, "student": student, "pretrained": pretrained, "image_size": image_size,
        "precision": precision, "device": device, "test_split": test_split,
        "teacher_weights": teacher_weights and str(teacher_weights),
    }  # fmt: skip
    grid = Grid(methods, datasets, settings, seeds, tracks, assignments or [], options, config)
    with _interruptible():
        done = sweeping.preview(grid, jobs, runs, data_root) if plan else sweeping.sweep(grid, jobs, runs, data_root)
    if not done:
        raise typer.Exit(1)


@app.command("ls", epilog="Example: okdbench ls settings --dataset digits")
def list_(
    what: Annotated[str, typer.Argument(help="methods, datasets, settings or runs.")],
    dataset: Annotated[Optional[str], typer.Option(help="Only this data set's settings.")] = None,
    runs: Runs = Path("runs"),
) -> None:
    """List methods, data sets, settings or runs."""
    from okdbench import listing

    listing.show(what, dataset, runs)


@app.command(epilog="Example: okdbench show augkd")
def show(name: Annotated[str, typer.Argument(help="A method or a data set.")]) -> None:
    """Show the card of a method or data set: source, what it reads, hyper-parameters, deviations."""
    from okdbench import cards

    cards.show(name)


@app.command(epilog="Example: okdbench leaderboard --runs runs --output leaderboards")
def leaderboard(
    runs: Runs = Path("runs"),
    output: Annotated[Optional[Path], typer.Option(help="Folder for one CSV per data set.")] = None,
) -> None:
    """Make the tables from the records: print them, and write CSV files when --output is given."""
    from okdbench import listing

    listing.leaderboard(runs, output)


@app.command(epilog="Example: okdbench compare augkd kd finetune --runs runs")
def compare(
    methods: Annotated[list[str], typer.Argument(help="Two methods or more, as the tables write them.")],
    dataset: Annotated[Optional[str], typer.Option(help="Only this data set; default: all.")] = None,
    track: Annotated[Optional[str], typer.Option(help="labelled or label-free.")] = None,
    budget: Budget = None,
    teacher: Teacher = None,
    student: Student = None,
    runs: Runs = Path("runs"),
) -> None:
    """Say how sure it is that the first method differs from the others: paired by setting and seed."""
    from okdbench import duel

    wanted = {"dataset": dataset, "track": track, "budget": budget, "teacher": teacher, "student": student}
    duel.show(methods, runs, wanted)


@app.command(epilog="Example: okdbench doctor")
def doctor(runs: Runs = Path("runs"), data_root: DataRoot = None) -> None:
    """Check the machine: libraries, device, threads, disk and folders."""
    from okdbench import checkup

    if not checkup.examine(runs, data_root):
        raise typer.Exit(1)


data = typer.Typer(no_args_is_help=True, help="Take in, fetch, check, list and forget data sets.")
app.add_typer(data, name="data")
Name = Annotated[str, typer.Argument(help="Data set.")]


@data.command("add", epilog="Example: okdbench data add office31 ~/Downloads/domain_adaptation_images.tar.gz")
def data_add(
    name: Name,
    path: Annotated[Path, typer.Argument(help="Folder or archive; any top folder, any usual spelling.")],
    accept_differences: Annotated[
        bool, typer.Option("--accept-differences", help="Take it although it differs; every record will say so.")
    ] = False,
    data_root: DataRoot = None,
) -> None:
    """Read every picture of a copy that you have, compare it with the official counts, and register it."""
    from okdbench import datastore

    with _interruptible():
        datastore.add(name, path, data_root or default_data_root(), accept_differences)


@data.command("download", epilog="Example: okdbench data download visda --domain validation")
def data_download(
    name: Name,
    domain: Annotated[Optional[list[str]], typer.Option(help="Only this domain; may be given several times.")] = None,
    data_root: DataRoot = None,
) -> None:
    """Fetch a data set, go on where an earlier download stopped, and register it."""
    from okdbench import datastore

    with _interruptible():
        datastore.download(name, domain or [], data_root or default_data_root())


@data.command("check", epilog="Example: okdbench data check office10")
def data_check(name: Name, data_root: DataRoot = None) -> None:
    """Read the registered pictures again; print counts, digests and duplicates."""
    from okdbench import datastore

    with _interruptible():
        datastore.check(name, data_root or default_data_root())


@data.command("ls", epilog="Example: okdbench data ls")
def data_ls(data_root: DataRoot = None) -> None:
    """List what is registered."""
    from okdbench import datastore

    datastore.show(data_root or default_data_root())


@data.command("rm", epilog="Example: okdbench data rm office31")
def data_rm(name: Name, data_root: DataRoot = None) -> None:
    """Forget a data set and its caches; your own folders stay."""
    from okdbench import datastore

    datastore.remove(name, data_root or default_data_root())


def main() -> None:
    """Run the command line; what the user can mend ends in one line and exit code 2."""
    try:
        app()
    except UserError as error:
        print(f"okdbench: {error}", file=sys.stderr)
        sys.exit(2)
