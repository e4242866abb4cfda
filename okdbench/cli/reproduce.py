"""``okdbench reproduce``: the runs of a published table, the cheapest numbers first, and their verdicts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import DRY, WHAT, WHERE, DataRoot, RunsFolder, examples
from okdbench.core import syntax
from okdbench.core.terminal import TableColumn, print_line, print_table

if TYPE_CHECKING:
    from okdbench.sweep.paper_rows import PaperRows

app = typer.Typer()

COLUMNS = (
    TableColumn("run", folds=True),
    TableColumn("published", align="right"),
    TableColumn("images", align="right", drop=1, text="{:,}".format),
    TableColumn("hours", align="right", text="{:,.2f}".format),
    TableColumn("teacher", align="right", drop=1, text="{:,.2f}".format),
    TableColumn("source", drop=2, folds=True),
)


@app.command(
    epilog=examples("reproduce mnist --dry-run", "reproduce mnist --methods dfad --hours 8", "reproduce cifar100")
)
def reproduce(
    table: Annotated[str, typer.Argument(metavar="TABLE", help="Data set whose published numbers are repeated.")],
    methods: Annotated[
        str,
        typer.Option(
            metavar="METHODS",
            help="Only these; others may be named too.",
            rich_help_panel=WHAT,
        ),
    ] = "",
    seeds: Annotated[str, typer.Option(metavar="SEEDS", help="Such as 0-2.", rich_help_panel=WHAT)] = "0-2",
    share: Annotated[
        float,
        typer.Option(
            metavar="S",
            help="Share of the sources' steps and rounds.",
            min=0.0001,
            max=1,
            rich_help_panel=WHAT,
        ),
    ] = 1.0,
    hours: Annotated[
        float | None,
        typer.Option(
            metavar="H", help="Start no run that would end later, by the estimate.", min=0, rich_help_panel=WHERE
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="DEVICE", help="Such as cpu or cuda:1.", rich_help_panel=WHERE)
    ] = "auto",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the runs and how long they take; start none.", rich_help_panel=DRY)
    ] = False,
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
) -> None:
    """Run what a published table needs, most numbers for an hour first, and print the verdicts.

    The hours are an estimate from a few steps on random images. Finished runs are not repeated, so the same command
    goes on where it stopped.
    """
    numbers = syntax.parse_seeds(seeds)
    with interruptible():
        from okdbench.core import devices
        from okdbench.core.progress import counter
        from okdbench.results.rendering import conclude
        from okdbench.results.store import read_all
        from okdbench.sweep.paper_rows import paper_rows, with_costs
        from okdbench.sweep.reproduction import run_rows

        found = paper_rows(table, [name for text in methods.split(",") if (name := text.strip())], share, device)
        with counter("timing steps", len(found.rows)) as advance:
            found.rows = with_costs(found.rows, devices.choose(device), advance)
        _print(found)
        if not dry_run:
            run_rows(found.in_order(), numbers, runs, data_root, hours)
            if records := [record for record in read_all(runs, none_is_fine=True) if record.dataset == table]:
                conclude(records)


def _print(found: PaperRows) -> None:
    rows = found.in_order()
    shown = [
        {
            "run": row.title,
            "published": ", ".join(f"{value:g}" for value in row.numbers),
            "images": row.images,
            "hours": row.hours,
            "teacher": row.teacher_hours,
            "source": row.source,
        }
        for row in rows
    ]
    print_table(COLUMNS, shown)
    print_line(f"{len(rows)} runs for each seed; hours are of one run on this machine, and of its teacher")
    for reason, count in found.missing.items():
        print_line(f"{count} published numbers cannot be run: {reason}")
