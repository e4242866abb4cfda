"""The commands for authors of methods and data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import DataRoot

app = typer.Typer()
new = typer.Typer(no_args_is_help=True, help="Write a file to start from.")
app.add_typer(new, name="new")

Name = Annotated[str, typer.Argument(help="One word: letters, digits and _.")]
Output = Annotated[Path, typer.Option("--output", help="Folder for the file.")]


@app.command(epilog="Example: okdbench check ./mine.py")
def check(
    method: Annotated[str, typer.Argument(help="A method's name, or the path of its file.")], data_root: DataRoot = None
) -> None:
    """Test a method's contract on a tiny task and explain each breach to its author; about a minute."""
    from okdbench.cli import check as report

    if not report.examine(method, data_root):
        raise typer.Exit(1)


@new.command("method", epilog="Example: okdbench new method mine")
def new_method(name: Name, output: Output = Path()) -> None:
    """Write a method that works, to be changed into yours."""
    from okdbench.cli import new as newfile

    newfile.write_method(name, output)


@new.command("dataset", epilog="Example: okdbench new dataset shop")
def new_dataset(name: Name, output: Output = Path()) -> None:
    """Write a data set of folders of class folders, to be changed into yours."""
    from okdbench.cli import new as newfile

    newfile.write_dataset(name, output)
