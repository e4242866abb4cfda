"""``okdbench tune``: the hyper-parameters of a method, chosen fairly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import FOLDERS, TRAINING, WHAT, WHERE, ConfigFile, DataRoot, RunsFolder, examples
from okdbench.cli.run_options import run_options
from okdbench.core.errors import UserError
from okdbench.core.terminal import TableColumn

if TYPE_CHECKING:
    from okdbench.results.records import Record
    from okdbench.sweep.grid import Grid
    from okdbench.sweep.tuning import Tuning

app = typer.Typer()

TRIALS = (
    TableColumn("trial", align="right"),
    TableColumn("score", "score %", align="right", text="{:.2f}".format),
    TableColumn("variant", "hyper-parameters that differ from the defaults", folds=True),
)


@app.command(
    epilog=examples(
        "tune kd --dataset digits --setting MP-O --trials 8",
        "tune 'mosaickd[form=joint]' --dataset digits --track label-free --trials 8 --jobs 2",
    )
)
@partial(run_options, without=("tuned",))
def tune(
    method: Annotated[
        str,
        typer.Argument(
            help="A method's name, or the path of its file; values in brackets are fixed.",
            autocompletion=completion.methods,
            rich_help_panel=WHAT,
        ),
    ],
    trials: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Configurations; the first has the defaults.", rich_help_panel=TRAINING),
    ] = 8,
    seed: Annotated[
        int,
        typer.Option(min=0, metavar="SEED", help="Seed of the drawn configurations.", rich_help_panel=TRAINING),
    ] = 0,
    repeats: Annotated[
        int,
        typer.Option(min=1, metavar="N", help="Runs of each configuration and setting.", rich_help_panel=TRAINING),
    ] = 2,
    config: ConfigFile = None,
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="N",
            help="Runs at a time, each a process of its own. [dim]\\[default: one, in this process][/]",
            show_default=False,
            rich_help_panel=WHERE,
        ),
    ] = None,
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
    output: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The best configuration. [dim]\\[default: tuned/METHOD-DATASET-SETTING-TRACK.yaml][/]",
            show_default=False,
            rich_help_panel=FOLDERS,
        ),
    ] = None,
    **options: Any,
) -> None:
    """Tune a method: run configurations from its declared ranges, and write the best one as a file for --config.

    It runs on seeds that no table uses and looks at no test image: with labels it chooses by validation accuracy,
    without by the agreement with the teacher. Several settings of a task, by default all of its default ones, get one
    configuration. The same command goes on after an interruption.
    """
    from okdbench.cli.preflight import find_images
    from okdbench.sweep.grid import parse_grid

    grid = parse_grid({**options, "method": [method]}, config)
    find_images(grid, data_root)
    with interruptible():
        from okdbench.sweep.tuning import make_tuning

        tuning = make_tuning(grid, trials, seed, repeats)
        _conclude(tuning, _carry_out(tuning.grid, jobs, runs, data_root), output or tuning.file)


def _carry_out(grid: Grid, jobs: int | None, runs: Path, data_root: Path | None) -> list[Record]:
    """The records of all runs, one after the other or several at a time."""
    if jobs is None:
        from okdbench.sweep.sequential import run_grid

        return run_grid(grid, runs, data_root)
    from okdbench.sweep.executors import ExecutorOptions
    from okdbench.sweep.sweep import run_cells

    cells = run_cells(grid, ExecutorOptions(jobs=jobs), runs, data_root)
    return [record for cell in cells if (record := cell.record)]


def _conclude(tuning: Tuning, records: list[Record], file: Path) -> None:
    """Print the trials and write the best one."""
    from okdbench.core.files import write_atomic, writing
    from okdbench.core.terminal import print_line, print_table

    tried = tuning.ranked(records)
    rows = [{**each._asdict(), "variant": each.variant or "none"} for each in tried]
    print_table(TRIALS, rows, f"{tuning.config.method}: {tuning.note}")
    if tried[0].score is None:
        raise UserError("no trial has a score, because runs failed; okdbench runs ls shows why")
    with writing(file, "--output"):
        write_atomic(file, tuning.to_yaml(tried[0], file).encode())
    print_line(f"{file}: trial {tried[0].trial}; next: okdbench run --config {file} --seeds 0-4")
