"""``okdbench plot``: figures from the records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import (
    DEFAULT_RUNS,
    BudgetFilter,
    DatasetFilter,
    RecordsSources,
    ShotsFilter,
    TaskFilter,
    TrackFilter,
    choice,
    examples,
)
from okdbench.core.errors import UserError, unknown
from okdbench.core.notices import say
from okdbench.core.terminal import check_format

if TYPE_CHECKING:
    from okdbench.results.plots import PlotFigure
    from okdbench.results.records import Record

app = typer.Typer()

ALL = "all"
# Written out, because --help and completion must not load matplotlib for the names in okdbench.results.plots.
KINDS = (
    "bars",
    "curves",
    "pareto",
    "cd",
    "retention",
    "stages",
    "samples",
    "gap",
    "confusion",
    "calibration",
    "shots",
    ALL,
)
FORMATS = ("png", "svg", "pdf")


@app.command(
    epilog=examples("plot bars --runs runs --output plots --format png,pdf", "plot all --dataset digits --method augkd")
)
def plot(
    kind: Annotated[
        str,
        typer.Argument(
            metavar=choice(KINDS), help=f"Kind of figure; {ALL}: each of them.", autocompletion=completion.of(KINDS)
        ),
    ],
    runs: RecordsSources = DEFAULT_RUNS,
    output: Annotated[Path, typer.Option(metavar="FOLDER", help="Folder for the figures.")] = Path("plots"),
    formats: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=choice(FORMATS),
            help="One or more, with commas between.",
            autocompletion=completion.of(FORMATS),
        ),
    ] = "png",
    dataset: DatasetFilter = None,
    task: TaskFilter = None,
    track: TrackFilter = None,
    shots: ShotsFilter = None,
    budget: BudgetFilter = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SETTING", help="Only this setting; repeat it for more.", autocompletion=completion.settings
        ),
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(metavar="METHOD", help="Only this method; repeat it for more.", autocompletion=completion.methods),
    ] = None,
) -> None:
    """Draw the records: a figure for each data set, task, track, budget and pair of networks."""
    # Names are checked before matplotlib is loaded, which takes a second.
    if kind not in KINDS:
        raise unknown("kind of plot", kind, KINDS)
    asked = [name.strip() for name in formats.split(",")]
    for name in asked:
        check_format(name, FORMATS)
    from okdbench.core.files import writing
    from okdbench.results import plots
    from okdbench.results.frames import read_runs
    from okdbench.results.selection import choose, of_methods

    wanted = {"dataset": dataset, "task": task, "track": track, "shots": shots, "budget": budget}
    records = of_methods(choose(read_runs(runs), wanted, setting or []), method or [])
    figures = plots.draw(kind, records, runs) if kind != ALL else _draw_all(records, runs)
    with writing(output, "--output"):
        for figure in figures:
            print(*plots.save(figure, output, asked), sep="\n")


def _draw_all(records: Sequence[Record], runs: Sequence[Path]) -> list[PlotFigure]:
    """The figures of every kind; where one cannot be drawn, a line on standard error says why."""
    from okdbench.results import plots

    figures: list[PlotFigure] = []
    for kind in [*plots.KINDS, *plots.OVER_LABELS]:
        try:
            figures += plots.draw(kind, records, runs)
        except UserError as error:
            # Records often lack what one kind needs; the other kinds are still drawn.
            say(f"no {kind}: {error}")
    # With no figure at all it is an error, so that a script does not take it for success.
    if not figures:
        raise UserError("nothing can be drawn; okdbench runs ls lists what there is")
    return figures
