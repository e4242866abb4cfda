"""The commands of ``okdbench runs``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import Runs, interruptible

app = typer.Typer(no_args_is_help=True, help="List, show and thin out the runs on the disk.")


@app.command("ls", epilog="Example: okdbench runs ls")
def runs_ls(runs: Runs = Path("runs")) -> None:
    """List the runs with what each takes on the disk."""
    from okdbench.cli import runs as shelves

    shelves.ls(runs)


@app.command("show", epilog="Example: okdbench runs show 3f2a")
def runs_show(
    key: Annotated[str, typer.Argument(help="A run's key, or how it begins.")], runs: Runs = Path("runs")
) -> None:
    """Show what a run was, what came out, what it cost, and the command that repeats it."""
    from okdbench.cli import runs as shelves

    shelves.show(key, runs)


@app.command("prune", epilog="Example: okdbench runs prune --max-gb 5")
def runs_prune(
    max_gb: Annotated[
        float | None,
        typer.Option(help="Delete samples, then students, until this is enough; else only leftovers.", min=0),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go; delete nothing.")] = False,
    runs: Runs = Path("runs"),
) -> None:
    """Delete what finished runs can do without; records always stay."""
    from okdbench.cli import runs as shelves

    with interruptible():
        shelves.prune(runs, max_gb, dry_run)
