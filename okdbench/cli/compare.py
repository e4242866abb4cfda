"""``okdbench compare``: whether methods differ, from the records of their runs."""

from __future__ import annotations

from typing import Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import (
    DEFAULT_RUNS,
    BudgetFilter,
    DatasetFilter,
    RecordsSources,
    TaskFilter,
    TrackFilter,
    choice,
    examples,
)
from okdbench.core.terminal import LIST_FORMATS, check_format

app = typer.Typer()

FORMATS = (*LIST_FORMATS, "tex")


@app.command(
    epilog=examples("compare augkd kd finetune --runs runs", "compare augkd 'augkd[use_anchor=false]' --dataset digits")
)
def compare(
    methods: Annotated[
        list[str],
        typer.Argument(help="Two methods or more, as the tables write them.", autocompletion=completion.methods),
    ],
    dataset: DatasetFilter = None,
    setting: Annotated[str | None, typer.Option(metavar="SETTING", help="Only this setting, such as MP-O.")] = None,
    task: TaskFilter = None,
    track: TrackFilter = None,
    shots: Annotated[
        str | None, typer.Option(metavar="N", help="Only this number of labels per class, or all.")
    ] = None,
    budget: BudgetFilter = None,
    teacher: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only this teacher.")] = None,
    student: Annotated[str | None, typer.Option(metavar="NETWORK", help="Only this student.")] = None,
    protocol: Annotated[str | None, typer.Option(metavar="N", help="Only this version of the protocol.")] = None,
    runs: RecordsSources = DEFAULT_RUNS,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=choice(FORMATS),
            help="A table, JSON for programs, or LaTeX.",
            autocompletion=completion.of(FORMATS),
        ),
    ] = "text",
) -> None:
    """Compare the first method with the others, on the settings and seeds that both have."""
    check_format(form, FORMATS)
    from okdbench.results.comparison_text import print_comparison
    from okdbench.results.frames import load_records, report_superseded

    group = {"dataset": dataset, "setting": setting, "task": task, "track": track, "shots": shots, "budget": budget,
             "teacher": teacher, "student": student, "protocol": protocol}  # fmt: skip
    frame = load_records(runs)
    report_superseded(frame)
    print_comparison(frame, methods, form, **group)
