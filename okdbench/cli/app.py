"""The command line: the commands in the order of --help, the options before them, and how errors are printed."""

from __future__ import annotations

import io
import re
import sys
from typing import Annotated, Any

import typer

from okdbench import __version__
from okdbench.cli import (
    check,
    compare,
    data,
    demo,
    doctor,
    errors,
    export,
    leaderboard,
    merge,
    new,
    plot,
    predict,
    recommend,
    report,
    reproduce,
    run,
    runs,
    show,
    sweep,
    tune,
    verify,
)
from okdbench.cli import list as ls
from okdbench.core.errors import UserError
from okdbench.core.file_names import expand

NAME = "okdbench"
#: what typer raises when the command line cannot be parsed; only a subclass of it has a public name
_UsageError: type[Exception] = typer.BadParameter.__base__  # type: ignore[assignment]

app = typer.Typer(
    add_completion=True,
    no_args_is_help=True,
    rich_markup_mode="rich",
    # What is no UserError is a bug, so its traceback stays as Python prints it.
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Out-of-domain knowledge distillation methods under one protocol that cannot leak.",
)
# In the order in which people need them: run, look at results, use them, extend.
for command in (
    demo, recommend, run, sweep, reproduce, tune, ls, show, doctor, leaderboard, compare, merge, errors, report, export,
    predict, verify, plot, check,
):  # fmt: skip
    app.add_typer(command.app)
for name, group in {"runs": runs, "data": data, "new": new}.items():
    app.add_typer(group.app, name=name)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[  # noqa: ARG001 - typer calls _print_version
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    parent: Annotated[int | None, typer.Option(hidden=True, help="End with the process of this number.")] = None,
) -> None:
    """Take the options that stand before the command."""
    if parent is not None:
        # Before the command loads torch, because the parent may end at any moment.
        from okdbench.core import signals

        signals.end_with(parent)


def main() -> None:
    """Run the command line; an error that the user can fix ends in one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        # A terminal may lack letters of a name.
        if isinstance(stream, io.TextIOWrapper) and not stream.encoding.lower().startswith("utf"):
            stream.reconfigure(errors="backslashreplace")
    try:
        # A name of its own, so that `python -m okdbench` has the same help and completion.
        # Not standalone, because typer would print a usage error itself, as a panel of several lines.
        sys.exit(app(_words(), prog_name=NAME, standalone_mode=False))
    except UserError as error:
        message = str(error)
    except _UsageError as error:
        message = _explain(error)
    if message:
        print(f"{NAME}: {message}", file=sys.stderr)
    # 2 is a mistake that the user can fix; 1 is left to commands that ran and found something bad.
    sys.exit(2)


def _words() -> list[str]:
    """The command line; ``~`` is expanded where a shell does not: in quotes, and after the sign of ``--runs=~/x``."""
    parts = [re.fullmatch(r"(--[\w-]+=)?(.*)", word, re.DOTALL) for word in sys.argv[1:]]
    return [(part[1] or "") + expand(part[2]) for part in parts if part]


def _explain(error: Any) -> str:
    """A usage error in one line that names the command to ask for help; empty where the help was printed already."""
    message = " ".join(error.format_message().split()).rstrip(".")
    place = error.ctx.command_path if error.ctx else NAME
    return message and f"{message[:1].lower()}{message[1:]}; {place} --help lists what there is"
