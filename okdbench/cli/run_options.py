"""The options of a run, made from the fields of its configuration: one list for ``run`` and ``sweep``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection
from typing import Annotated, Any, TypeVar

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from rich.markup import escape

from okdbench.cli import completion
from okdbench.cli.options import NETWORKS, PANELS, TRAINING, WHAT, WHERE, choice
from okdbench.core.command import flag
from okdbench.core.config import TRACKERS, RunConfig, choices_of, type_of
from okdbench.core.settings import TaskKind

Command = TypeVar("Command", bound=Callable[..., None])

#: fields that take several values, of which every combination is run -> how --help names the values
GRID_FIELDS = {"method": "METHODS", "dataset": "DATASETS", "setting": "SETTINGS", "seed": "SEEDS", "track": "TRACKS"}
#: how --help names the values of other fields
_VALUES = {"teacher": "NETWORK", "student": "NETWORK", "teacher_weights": "FILE",
           "teacher_init": "FILE", "student_weights": "FILE", "device": "DEVICE",
           "image_size": "N", "shots": "N", "mean": "NUMBERS", "std": "NUMBERS", "tuned": "TEXT",
           "teacher_recipe": "NAME", "ood_subset": "N"}  # fmt: skip
#: numbers that may be a word too
_WORDS = {"shots"}
#: no field of a run's configuration, because the setting tells the task
_TASK = Annotated[
    list[str] | None,
    typer.Option(
        "--task",
        "--tasks",
        metavar=choice(TaskKind),
        help="Run the data set's default settings of this task. [dim]\\[default: adapt, where it has some][/]",
        show_default=False,
        autocompletion=completion.of(TaskKind),
        rich_help_panel=WHAT,
    ),
]
#: what --help adds to the description of a field
_NOTES = {"seed": "Also several, such as 0-2."}
#: defaults that are not the field's
_DEFAULTS = {
    "setting": "all default settings of the data set", "shots": "all", "value_range": "1",
    **dict.fromkeys(("teacher", "student", "channels"), "of the data set"),
    **{name: f"of the teacher's file, or else of the data set: {usual} unless it says otherwise"
       for name, usual in {"image_size": "32", "mean": "ImageNet's 0.485,0.456,0.406", "std": "0.229,0.224,0.225",
                           "resize": "stretch", "interpolation": "bilinear", "channel_order": "rgb"}.items()},
}  # fmt: skip
_NETWORKS = ("teacher", "student", "pretrained", "teacher_weights", "teacher_init", "student_weights", "teacher_recipe")


def run_options(command: Command, without: Collection[str] = ()) -> Command:
    """Give a command an option for each field of a run's configuration; it receives them as ``**options``.

    The value of an option that is not given is None. Beside the fields there is ``task``.

    Args:
        command: its own parameters replace options of the same name.
        without: fields that it has no option for.
    """
    own = inspect.signature(command, eval_str=True).parameters.values()
    kept = [parameter for parameter in own if parameter.kind is not inspect.Parameter.VAR_KEYWORD]
    made = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_annotation(name, field))
        for name, field in RunConfig.model_fields.items()
        if name not in {*without, *(parameter.name for parameter in kept)}
    ]
    made.insert(3, inspect.Parameter("task", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_TASK))
    # --help prints panels in the order of their first options, and options in the order of the signature.
    parameters = sorted(
        [*made, *(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in kept)],
        key=lambda parameter: _place(parameter.annotation),
    )
    # typer reads both.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return command


def _annotation(name: str, field: FieldInfo) -> Any:
    """Type and option of a field, as typer reads them."""
    if name == "hyperparameters":
        # Escaped, because rich would take the brackets of kd[lr=0.1] for markup.
        text = escape(f"{field.description} Repeat it for more; kd[lr=0.1] as method is for that one alone.")
        return Annotated[
            list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=text, rich_help_panel=TRAINING)
        ]
    if name == "log_to":
        option = typer.Option(
            flag(name),
            metavar=choice(TRACKERS),
            help=field.description,
            autocompletion=completion.of(TRACKERS),
            rich_help_panel=_panel(name),
        )
        return Annotated[list[str] | None, option]
    if field.annotation is bool:
        option = typer.Option(help=_help(name, field), show_default=False, rich_help_panel=_panel(name))
        return Annotated[bool | None, option]
    several, choices = name in GRID_FIELDS, choices_of(field)
    option = typer.Option(
        # Singular and plural, because both are natural for a list: --seed 0 and --seeds 0-2.
        *((flag(name), f"{flag(name)}s") if several else (flag(name),)),
        metavar=choice(choices) if choices else GRID_FIELDS.get(name) or _VALUES.get(name),
        help=_help(name, field),
        show_default=False,
        autocompletion=completion.of_field(name, choices),
        rich_help_panel=_panel(name),
    )
    if several:
        return Annotated[list[str] | None, option]
    # Other types stay text: RunConfig converts them, and its errors name what is allowed.
    is_number = type_of(field) is int and name not in _WORDS
    return Annotated[int | None, option] if is_number else Annotated[str | None, option]


def _panel(name: str) -> str:
    if name in GRID_FIELDS or name == "budget":
        return WHAT
    return NETWORKS if name in _NETWORKS else WHERE if name in ("device", "log_to") else TRAINING


def _help(name: str, field: FieldInfo) -> str:
    """Description and default; for typer there is none, so that what is not given may be in a YAML file."""
    text = escape(" ".join([field.description or "", *([_NOTES[name]] if name in _NOTES else [])]))
    default = _DEFAULTS.get(name, field.default)
    if default is PydanticUndefined or default is None:
        return text
    return f"{text} [dim]\\[default: {'no' if default is False else default}][/]"


def _place(annotation: Any) -> int:
    """The place of an option's panel in --help."""
    return PANELS.index(annotation.__metadata__[0].rich_help_panel)
