"""``okdbench verify``: a row of a leaderboard, run again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DataRoot, Device, examples

app = typer.Typer()


@app.command(epilog=examples("verify leaderboards/digits.csv:2", "verify tables/digits.csv:4 --method theirs/mine.py"))
def verify(
    row: Annotated[str, typer.Argument(metavar="FILE:LINE", help="A row; line 1 is the header.")],
    runs: Annotated[
        Path | None,
        typer.Option(metavar="FOLDER", help="Keep the new runs here; finished ones are not repeated."),
    ] = None,
    records: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Archive of the old runs. [dim]\\[default: the one beside the file][/]",
            show_default=False,
        ),
    ] = None,
    method: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="The file of a local method, once you have read it.", show_default=False),
    ] = None,
    data_root: DataRoot = None,
    device: Device = None,
) -> None:
    """Run a row of a leaderboard again: identical, or what differs first and by how much.

    Ends with exit code 1 when something differs.
    """
    # Without --runs the new runs are in a temporary folder, so there is nothing to go on from.
    with interruptible("with --runs, the same command goes on from where it stopped"):
        # Inside the block: loading torch takes seconds, in which Ctrl-C must end in the same way.
        from okdbench.sweep import verification

        same = verification.verify(row, runs, records, data_root, device, method=method)
    if not same:
        raise typer.Exit(1)
