"""Options that several commands share, and how --help names their values."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from okdbench.cli import completion
from okdbench.core.protocol import BUDGETS, Track
from okdbench.core.settings import TaskKind
from okdbench.core.terminal import LIST_FORMATS

# Panels of the help of run and sweep, in their order.
WHAT = "What to run: repeat an option, or put commas between values"
NETWORKS = "Networks"
TRAINING = "Training"
WHERE = "Where it runs"
FOLDERS = "Folders and limits"
DRY = "Instead of running"
PANELS = (WHAT, NETWORKS, TRAINING, WHERE, FOLDERS, DRY)


def choice(values: Iterable[str]) -> str:
    """How --help names the values of an option.

    >>> choice(["text", "json"])
    '[text|json]'
    """
    return f"[{'|'.join(values)}]"


def examples(*commands: str) -> str:
    """The end of a command's help: what people type, a line each."""
    # Empty lines between them, because typer joins the lines of a paragraph.
    return "\n\n".join(f"Example: okdbench {escape(command)}" for command in commands)


RunsFolder = Annotated[
    Path, typer.Option("--runs", metavar="FOLDER", help="Runs, teachers and records.", rich_help_panel=FOLDERS)
]
RecordsSources = Annotated[
    list[Path],
    typer.Option("--runs", metavar="PATH", help="Folder of runs or archives, or an archive; repeat it for more."),
]
#: where a command reads records when nothing is named
DEFAULT_RUNS = [Path("runs")]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        "--data-root",
        metavar="FOLDER",
        help="Data sets and caches. [dim]\\[default: $OKDBENCH_DATA, or ~/.cache/okdbench][/]",
        show_default=False,
        rich_help_panel=FOLDERS,
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="YAML file of options; the command line wins.",
                 rich_help_panel=TRAINING),
]  # fmt: skip
ListFormat = Annotated[
    str,
    typer.Option("--format", metavar=choice(LIST_FORMATS), help="A table, or JSON for programs.",
                 autocompletion=completion.of(LIST_FORMATS)),
]  # fmt: skip
Device = Annotated[str | None, typer.Option(metavar="DEVICE", help="Such as cpu or cuda:1. [dim]\\[default: auto][/]")]

StudentNetwork = Annotated[
    str,
    typer.Option("--network", metavar="NETWORK", help="The student's network if it is your own; its code is executed.",
                 show_default=False),
]  # fmt: skip

# Which records a command reads.
DatasetFilter = Annotated[
    str | None,
    typer.Option("--dataset", metavar="DATASET", help="Only this data set.", autocompletion=completion.datasets),
]
TaskFilter = Annotated[
    str | None,
    typer.Option("--task", metavar=choice(TaskKind), help="Only this task.", autocompletion=completion.of(TaskKind)),
]
TrackFilter = Annotated[
    str | None,
    typer.Option("--track", metavar=choice(Track), help="Only this track.", autocompletion=completion.of(Track)),
]
ShotsFilter = Annotated[
    str | None, typer.Option("--shots", metavar="N", help="Only this number of labels per class, or all.")
]
BudgetFilter = Annotated[
    str | None,
    typer.Option("--budget", metavar=choice(BUDGETS), help="Only this budget.", autocompletion=completion.of(BUDGETS)),
]
