"""``okdbench new``: a file that works, under a name of its author's choice."""

from __future__ import annotations

import keyword
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from okdbench.cli.options import examples
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing

app = typer.Typer(no_args_is_help=True, help="Write a file to start from.")

Name = Annotated[str, typer.Argument(help="One word: letters, digits and _.")]
Output = Annotated[Path, typer.Option("--output", metavar="FOLDER", help="Folder for the file.")]


@app.command("method", epilog=examples("new method mine"))
def method(name: Name, output: Output = Path()) -> None:
    """Write a method that works, to be changed into yours."""
    path = write_file("method", name, output)
    print(f"wrote {path}; next: okdbench check {path}")


@app.command("dataset", epilog=examples("new dataset shop"))
def dataset(name: Name, output: Output = Path()) -> None:
    """Write a data set of folders of class folders, to be changed into yours."""
    path = write_file("dataset", name, output)
    print(f"wrote {path}; next: put images below {path.with_suffix('')}, then okdbench show {path}")


def write_file(kind: str, name: str, folder: Path) -> Path:
    """Write ``folder/name.py`` with a method or data set in it; returns its path.

    Args:
        kind: ``method`` or ``dataset``.
        name: of the file; the class is called after it.
        folder: where the file goes; it is made when it is missing.

    Raises:
        UserError: the name cannot be used, or the file exists.
    """
    from importlib import resources

    # The template is a module that works, so that it is checked and tested like the rest.
    template = resources.files("okdbench.cli.templates").joinpath(f"{kind}.py").read_text("utf-8")
    cls = class_name(name)
    if not name.isidentifier() or name.startswith("_") or keyword.iskeyword(name):
        raise UserError(f"{name!r} is no name for a {kind}; it takes letters, digits and _, such as noisy_kd")
    # One name means one plugin: a file with a bundled one's name would even be refused when it is used.
    if name in _taken(kind):
        raise UserError(f"a {kind} called {name!r} exists; choose another name")
    # A class called Stage, say, would hide the Stage that the template imports.
    if keyword.iskeyword(cls) or (cls != "Mine" and re.search(rf"\b{cls}\b", template)):
        raise UserError(f"the class would be called {cls}, which means something else; choose another name")
    path = folder / f"{name}.py"
    # Never overwritten: it may hold the author's work.
    if path.exists():
        raise UserError(f"{path} exists; choose another name or another --output")
    with writing(folder, "--output"):
        write_atomic(path, re.sub(r"\bMine\b", cls, template).encode())
    return path


def class_name(name: str) -> str:
    """The name of the class in the file of this name.

    >>> class_name("noisy_kd")
    'NoisyKd'
    """
    # Not capitalize(), which lowers the other letters: noisyKD becomes NoisyKD.
    return "".join(part[:1].upper() + part[1:] for part in name.split("_"))


def _taken(kind: str) -> Iterable[str]:
    from okdbench.core import plugins

    if kind == "method":
        return [*plugins.method_names(), *plugins.installed_methods()]
    return [*plugins.dataset_names(), *plugins.installed_datasets()]
