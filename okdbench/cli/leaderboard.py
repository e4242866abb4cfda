"""``okdbench leaderboard``: the tables from the records, on the terminal and as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import DEFAULT_RUNS, RecordsSources, choice, examples
from okdbench.core.errors import UserError
from okdbench.core.terminal import check_format

app = typer.Typer()

#: json is printed, the others are printed or written
FORMATS = ("csv", "md", "tex", "json")


@app.command(
    epilog=examples(
        "leaderboard",
        "leaderboard --runs runs --output leaderboards",
        "leaderboard --format tex --columns method,acc,interval,behind > table.tex",
    )
)
def leaderboard(
    runs: RecordsSources = DEFAULT_RUNS,
    output: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Write a file for each data set, beside the printed tables.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar=choice(FORMATS),
            help="Print this instead of tables; with --output, the files' format. [dim]\\[default for files: csv][/]",
            show_default=False,
            autocompletion=completion.of(FORMATS),
        ),
    ] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES",
            help="Columns of tables for people, with commas; not of csv and json, which have all.",
            show_default=False,
            autocompletion=completion.columns,
        ),
    ] = None,
    records: Annotated[bool, typer.Option("--records", help="Also write the records, into OUTPUT/records.")] = False,
) -> None:
    """Make the tables from the records: print them, and write files when --output is given."""
    # Options that contradict each other are refused before pandas is loaded and records are read.
    if form is not None:
        check_format(form, FORMATS)
    if records and not output:
        raise UserError("--records needs a folder; name one with --output")
    if form == "json" and output:
        raise UserError("--format json is printed; leave out --output, or choose csv, md or tex")
    if columns and (form or ("csv" if output else "text")) in ("csv", "json"):
        raise UserError("csv and json have every column; leave out --columns, or choose --format md or tex")
    from okdbench.core.files import writing
    from okdbench.results.frames import report_superseded, to_frame
    from okdbench.results.rendering import choose_columns, print_leaderboard, write_leaderboards
    from okdbench.results.store import read_all, write_archives

    names = [name.strip() for name in columns.split(",")] if columns else []
    choose_columns(names)
    found = read_all(runs)
    frame = to_frame(found)
    report_superseded(frame)
    # With files to write, the terminal still shows the tables.
    print_leaderboard(frame, "text" if output else form or "text", names)
    if output:
        with writing(output, "--output"):
            print(*write_leaderboards(frame, output, form or "csv", names), sep="\n")
            if records:
                print(*write_archives(output / "records", found), sep="\n")
