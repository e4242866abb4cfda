"""``okdbench run``: the runs that the options name, one after the other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import FOLDERS, ConfigFile, DataRoot, RunsFolder, examples
from okdbench.cli.run_options import run_options

app = typer.Typer()


@app.command(
    epilog=examples(
        "run --method augkd --dataset digits --setting MP-O --seeds 0-2 --budget quick",
        "run --methods 'augkd,kd[temperature=4]' --dataset digits --config my.yaml",
        "run --method ./mine.py --dataset digits --set noise=0.2",
    )
)
@run_options
def run(
    config: ConfigFile = None,
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
    teacher_only: Annotated[
        bool, typer.Option("--teacher-only", hidden=True, help="Train no student.", rich_help_panel=FOLDERS)
    ] = False,
    tuning: Annotated[
        bool, typer.Option("--tuning", hidden=True, help="A trial of okdbench tune.", rich_help_panel=FOLDERS)
    ] = False,
    **options: Any,
) -> None:
    """Distil: run methods on a data set's settings, one run after the other, and print the table."""
    from okdbench.cli.preflight import find_images
    from okdbench.sweep.grid import parse_grid

    grid = parse_grid(options, config, tuning)
    find_images(grid, data_root)
    # Everything above loads no torch, so that a mistake is reported at once.
    with interruptible():
        # Inside the block: loading torch takes seconds, in which Ctrl-C must end in the same way.
        from okdbench.results.rendering import conclude
        from okdbench.sweep.sequential import run_grid, train_teachers

        # A sweep trains the teacher that several runs share in a child of its own.
        if teacher_only:
            train_teachers(grid, runs, data_root)
        elif not conclude(run_grid(grid, runs, data_root)):
            raise typer.Exit(1)
