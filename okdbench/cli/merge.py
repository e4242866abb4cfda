"""``okdbench merge``: the runs of several people in one archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import examples
from okdbench.core.terminal import print_line

app = typer.Typer()


@app.command(epilog=examples("merge runs ann.jsonl.gz --output all.jsonl.gz", "merge runs theirs --output records"))
def merge(
    sources: Annotated[
        list[Path], typer.Argument(metavar="PATH...", help="Folders of runs, archives, or folders of archives.")
    ],
    output: Annotated[
        Path,
        typer.Option(metavar="PATH", help="An archive, all.jsonl.gz, or a folder for an archive of each data set."),
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that has other records; a source never is.")
    ] = False,
) -> None:
    """Write the records of several people into one archive; print what is left out and why."""
    from okdbench.results.merging import merge

    for path in merge(sources, output, force, print_line):
        print_line(str(path))
