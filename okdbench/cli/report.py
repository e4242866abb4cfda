"""``okdbench report``: one HTML page of everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import DEFAULT_RUNS, RecordsSources, examples

app = typer.Typer()


@app.command(epilog=examples("report --runs runs --output site"))
def report(
    runs: RecordsSources = DEFAULT_RUNS,
    output: Annotated[
        Path, typer.Option(metavar="FOLDER", help="Folder for the page, which is called index.html.")
    ] = Path("site"),
) -> None:
    """Make one page of everything: leaderboard, figures, published numbers, every run. It opens without a network."""
    from okdbench.results.report import write_report

    print(write_report(runs, output))
