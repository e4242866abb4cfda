"""``okdbench leaderboard``: the tables from the records, on the terminal and as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import RecordsSource, choice, examples
from okdbench.core.errors import UserError
from okdbench.core.terminal import check_format, to_json

if TYPE_CHECKING:
    from okdbench.results.records import Record

app = typer.Typer()

#: json is printed, the others are printed or written
FORMATS = ("csv", "md", "tex", "json")


@app.command(
    epilog=examples(
        "leaderboard", "leaderboard --runs runs --output leaderboards", "leaderboard --format json > rows.json"
    )
)
def leaderboard(
    runs: RecordsSource = Path("runs"),
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
    records: Annotated[bool, typer.Option("--records", help="Also write the records, into OUTPUT/records.")] = False,
) -> None:
    """Make the tables from the records: print them, and write files when --output is given."""
    if form is not None:
        check_format(form, FORMATS)
    if records and not output:
        raise UserError("--records needs a folder; name one with --output")
    if form == "json" and output:
        raise UserError("--format json is printed; leave out --output, or choose csv, md or tex")
    from okdbench.core.files import writing
    from okdbench.results.grouping import consult
    from okdbench.results.rendering import write_leaderboards
    from okdbench.results.store import write_archive

    found = consult(runs)
    _print(found, None if output else form)
    if output:
        with writing(output, "--output"):
            print(*write_leaderboards(found, output, form or "csv"), sep="\n")
            for dataset in sorted({record.dataset for record in found}) if records else ():
                archive = output / "records" / f"{dataset}.jsonl.gz"
                write_archive(archive, (record for record in found if record.dataset == dataset))
                print(archive)


def _print(records: Sequence[Record], form: str | None) -> None:
    """Print tables for people, or the rows in a format."""
    from dataclasses import asdict

    from rich.console import Console

    from okdbench.results.leaderboard import leaderboard as make_tables
    from okdbench.results.published import verdicts
    from okdbench.results.rendering import TABLE_FORMATS, render, to_text

    tables = make_tables(records)
    if form == "json":
        print(to_json([{"dataset": dataset, **asdict(row)} for dataset, rows in tables.items() for row in rows]))
        return
    if form == "csv" and len(tables) > 1:
        raise UserError(f"{', '.join(tables)}: CSV files of several data sets need a folder; name one with --output")
    for dataset, rows in tables.items():
        published = verdicts(dataset, rows)
        if form:
            print(TABLE_FORMATS[form](dataset, rows, published))
            continue
        Console().print(dataset, style="bold", justify="center")
        Console().print(render(rows))
        if published:
            print(to_text(published))
