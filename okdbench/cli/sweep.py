"""``okdbench sweep``: a grid of runs, several at a time, on this machine or a cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DRY, FOLDERS, WHERE, ConfigFile, DataRoot, RunsFolder, choice, examples
from okdbench.cli.run_options import run_options
from okdbench.core.errors import UserError

app = typer.Typer()

#: the values of --engine
ENGINES = ("local", "ray")


@app.command(
    epilog=examples(
        "sweep --methods 'augkd,kd[temperature=4],finetune' --datasets digits --seeds 0-2 --jobs 2",
        "sweep --methods augkd,kd --datasets digits,pacs --tracks labelled,label-free --dry-run",
        "sweep --methods augkd --datasets pacs --seeds 0-4 --slurm array.sh",
    )
)
@run_options
def sweep(
    config: ConfigFile = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Runs at a time. [dim]\\[default: one for each GPU, or for two cores][/]",
            show_default=False,
            rich_help_panel=WHERE,
        ),
    ] = None,
    jobs_per_gpu: Annotated[
        int | None, typer.Option(metavar="N", help="Runs at a time on each GPU of this machine.", rich_help_panel=WHERE)
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            metavar=choice(ENGINES),
            help="This machine, or a running Ray cluster.",
            autocompletion=completion.of(ENGINES),
            rich_help_panel=WHERE,
        ),
    ] = "local",
    address: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Ray: address of the cluster.", rich_help_panel=WHERE)
    ] = "auto",
    cpus_per_run: Annotated[int, typer.Option(metavar="N", help="Ray: cores of a run.", rich_help_panel=WHERE)] = 1,
    gpus_per_run: Annotated[
        float | None,
        typer.Option(
            metavar="SHARE",
            help="Ray: GPUs of a run, such as 0.25. [dim]\\[default: 1 where there are any][/]",
            show_default=False,
            rich_help_panel=WHERE,
        ),
    ] = None,
    shared: Annotated[
        bool,
        typer.Option("--shared", help="Ray: all nodes see this folder and that of --runs.", rich_help_panel=WHERE),
    ] = False,
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
    max_gb: Annotated[
        float | None,
        typer.Option(
            metavar="GB",
            help="Most that --runs may hold: files that can be made again are removed, records stay.",
            min=0,
            rich_help_panel=FOLDERS,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Show the grid, what is missing and how long it takes.", rich_help_panel=DRY),
    ] = False,
    slurm: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Write the script of a Slurm array job for the missing runs.", rich_help_panel=DRY
        ),
    ] = None,
    **options: Any,
) -> None:
    """Run a grid of methods, data sets, settings, seeds and tracks, several runs at a time, and print the table.

    Runs that are finished are not repeated, so the same command goes on after an interruption.
    """
    if dry_run and slurm:
        raise UserError("--dry-run writes nothing; leave it out to write the script of --slurm")
    from okdbench.cli.preflight import find_images
    from okdbench.sweep.executors import ExecutorOptions
    from okdbench.sweep.grid import parse_grid

    # Everything up to the imports below loads no torch, so that a mistake is reported at once.
    grid = parse_grid(options, config)
    where = ExecutorOptions(engine, jobs, jobs_per_gpu, address, cpus_per_run, gpus_per_run, shared)
    find_images(grid, data_root)
    with interruptible():
        from okdbench.sweep import sweep as sweeping

        if dry_run:
            sweeping.dry_run(grid, where, runs, data_root)
        elif slurm:
            tasks = sweeping.write_array_script(grid, slurm, runs, data_root)
            print(f"wrote {slurm}: {tasks} tasks; next: sbatch {slurm}")
        elif not sweeping.sweep(grid, where, runs, data_root, max_gb):
            raise typer.Exit(1)
