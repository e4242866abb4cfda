"""``okdbench recommend``: which method to try first with these images, these labels and this teacher."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.advice import print_recommendation
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import TRAINING, WHAT, WHERE, DataRoot, RunsFolder, choice, examples
from okdbench.cli.run_options import run_options
from okdbench.core.protocol import Track
from okdbench.core.terminal import LIST_FORMATS, check_format, to_json

if TYPE_CHECKING:
    from okdbench.sweep.recommendation import Choice

app = typer.Typer()

#: value of --shots for the label-free track
NO_LABELS = "none"


@app.command(
    epilog=examples(
        "recommend --dataset shop.yaml --shots 2 --teacher resnet34 --teacher-weights teacher.safetensors",
        "recommend --dataset shop.yaml --shots none",
        "recommend --dataset digits --setting M --format json",
    )
)
@partial(run_options, without=("method", "seed", "hyperparameters", "tuned"))
def recommend(
    dataset: Annotated[
        str,
        typer.Option(
            metavar="DATASET",
            help="Data set: a name, or the path of a .py or .yaml file.",
            autocompletion=completion.datasets,
            rich_help_panel=WHAT,
        ),
    ],
    setting: Annotated[
        str | None,
        typer.Option(
            metavar="SETTING",
            help="Such as MP-O. [dim]\\[default: the first of the data set][/]",
            show_default=False,
            rich_help_panel=WHAT,
        ),
    ] = None,
    shots: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Labels per class that you have, all, or none.",
            show_default=False,
            rich_help_panel=TRAINING,
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            metavar=choice(Track),
            help="Which images and labels a method sees. [dim]\\[default: labelled]",
            show_default=False,
            autocompletion=completion.of(Track),
            rich_help_panel=TRAINING,
        ),
    ] = None,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar=choice(LIST_FORMATS),
            help="A table, or JSON for programs.",
            autocompletion=completion.of(LIST_FORMATS),
            rich_help_panel=WHERE,
        ),
    ] = "text",
    runs: RunsFolder = Path("runs"),
    data_root: DataRoot = None,
    **options: Any,
) -> None:
    """Say which methods can run in your case, which to try first, and how long each takes here.

    Nothing is trained: the teacher's accuracy on your validation images is printed, the nearest case of the committed
    records is shown (docs/choosing.md), and a dozen steps of each method are timed.
    """
    check_format(form)
    track = Track.LABEL_FREE if shots == NO_LABELS else track
    given = {**options, "dataset": dataset, "setting": setting, "track": track}
    given |= {"shots": None if shots == NO_LABELS else shots, "task": next(iter(options["task"] or []), None)}
    with interruptible("the same command starts again"):
        from okdbench.core import plugins
        from okdbench.core.progress import counter
        from okdbench.sweep.recommendation import recommend as look

        with counter("timing steps", len(plugins.method_names())) as advance:
            found = look(given, runs, data_root, advance)
        where = _folders(runs, data_root, options["device"])
        found.choices = [replace(one, command=one.command + where) for one in found.choices]
        if form == "json":
            print(to_json({**asdict(found), "choices": [asdict(one) | _expected(one) for one in found.choices]}))
        else:
            print_recommendation(found)


def _folders(runs: Path, data_root: Path | None, device: str | None) -> str:
    """What a command needs besides the run itself, so that it finds the same images and is found again."""
    given = {"--device": device, "--runs": None if runs == Path("runs") else runs, "--data-root": data_root}
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value)


def _expected(one: Choice) -> dict[str, float | None]:
    return {"expected": one.expected if one.lines else None}
