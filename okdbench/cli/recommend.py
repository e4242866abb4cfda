"""``okdbench recommend``: which method to try first with these images, these labels and this teacher."""

from __future__ import annotations

import shlex
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from okdbench.cli import completion
from okdbench.cli.interrupt import interruptible
from okdbench.cli.options import TRAINING, WHAT, WHERE, DataRoot, RunsFolder, choice, examples
from okdbench.cli.run_options import run_options
from okdbench.core.protocol import Track
from okdbench.core.terminal import LIST_FORMATS, TableColumn, check_format, print_line, print_table, to_json
from okdbench.core.units import spell_seconds

if TYPE_CHECKING:
    from okdbench.results.choosing import Estimate, Place
    from okdbench.sweep.recommendation import Choice, Recommendation

app = typer.Typer()

#: value of --shots for the label-free track
NO_LABELS = "none"
#: commands that are printed, so that all fits on a screen; the others differ in the method alone
MOST_COMMANDS = 3


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
            _print(found)


def _folders(runs: Path, data_root: Path | None, device: str | None) -> str:
    """What a command needs besides the run itself, so that it finds the same images and is found again."""
    given = {"--device": device, "--runs": None if runs == Path("runs") else runs, "--data-root": data_root}
    return "".join(f" {name} {shlex.quote(str(value))}" for name, value in given.items() if value)


def _print(found: Recommendation) -> None:
    for text in (_case(found), _teacher(found), _rule(found), _nearest(found)):
        print_line(text)
    rows = [_row(place, one) for place, one in enumerate(found.choices, 1)]
    heading = "gain there" if any(line.gain for one in found.choices for line in one.lines) else "accuracy there"
    columns = [TableColumn("try", align="right"), TableColumn("method"), TableColumn("expected", heading),
               TableColumn("time", "time here", align="right")]  # fmt: skip
    print_table(columns, rows)
    by_reason: dict[str, list[str]] = {}
    for name, why in found.refused.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        print_line(f"cannot run: {', '.join(names)}: {why}")
    for one in found.choices[:MOST_COMMANDS]:
        print_line(one.command)


def _case(found: Recommendation) -> str:
    labels = f"{found.labels} labels per class" if found.labels else "no labels"
    possible = [f"{task} ({', '.join(settings)})" for task, settings in found.possible.items() if settings]
    missing = [task for task, settings in found.possible.items() if not settings]
    lacking = f"; not {' or '.join(missing)}, for which a domain is missing" if missing else ""
    return (
        f"{found.dataset} {found.setting}: task {found.task}, {found.track} track, {labels}. Possible with this data "
        f"set: {', '.join(possible)}{lacking}"
    )


def _teacher(found: Recommendation) -> str:
    teacher = found.teacher
    text = f"teacher {teacher.network}{'' if teacher.batch_norm else ', without batch norm'}: "
    if teacher.acc is not None:
        return f"{text}{teacher.acc:.1f} % of your {teacher.images} validation images (chance: {found.chance:.1f} %)"
    if teacher.seconds:
        return f"{text}the first run trains it, in about {spell_seconds(teacher.seconds)}; then ask again"
    return f"{text}its accuracy is not measured, because the task {found.task} has no validation images"


def _rule(found: Recommendation) -> str:
    acc, alone = found.teacher.acc, found.alone
    if found.is_guessing:
        return "near chance a teacher has nothing to teach: look at its normalisation, size and order of classes first"
    if not found.labels:
        return "no labels are used, so nothing can be compared with fine-tuning"
    if acc is None:
        return "distillation pays where the teacher is more accurate on your images than what the labels alone reach"
    if alone is None:
        return (
            f"distillation pays if the labels alone reach less than {acc:.1f} %: run the first command, then ask again"
        )
    if acc > alone:
        return f"distillation should pay: the labels alone reach {alone:.1f} % of the validation images"
    return f"stay with the labels alone: they reach {alone:.1f} % of the validation images, more than the teacher"


def _nearest(found: Recommendation) -> str:
    if not found.nearest:
        return f"nothing was measured for task {found.task}, {found.track} track: the order is that of the time"
    places = "; ".join(map(_place, found.nearest))
    return f"nearest of what was measured: {places}"


def _place(place: Place) -> str:
    labels = "" if place.ahead is None else f", labels per class: {place.shots}"
    lead = "" if place.ahead is None else f", teacher ahead of the labels alone by {place.ahead.value:+.1f} points"
    return f"{place.dataset} {place.setting}, {place.teacher} -> {place.student}{labels}{lead}"


def _row(place: int, one: Choice) -> dict[str, Any]:
    expected = "; ".join(_interval(line.gain or line.accuracy, bool(line.gain)) for line in one.lines)
    usual = "the labels alone" if one.role == "baseline" else "not measured"
    time = "?" if one.seconds is None else spell_seconds(one.seconds)
    return {"try": place, "method": one.method, "expected": expected or usual, "time": time}


def _interval(estimate: Estimate, is_gain: bool) -> str:
    form = "{:+.1f}" if is_gain else "{:.1f}"
    value, low, high = (form.format(number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"


def _expected(one: Choice) -> dict[str, float | None]:
    return {"expected": one.expected if one.lines else None}
