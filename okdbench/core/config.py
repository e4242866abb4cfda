"""The configuration of a run: defaults < YAML file < command line. Unknown keys and values out of range are errors.

Every error is a :class:`~okdbench.core.errors.UserError` of one line that names the file, the key and what is allowed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from okdbench.core.errors import UserError, unknown
from okdbench.core.file_names import expand, from_file
from okdbench.core.protocol import BUDGETS, Track
from okdbench.core.resize import Interpolation, Resize, one_spelling
from okdbench.core.syntax import rounded, spell_assignments
from okdbench.core.yaml_files import load_yaml

AnyModel = TypeVar("AnyModel", bound=BaseModel)


def _numbers(value: object) -> object:
    """Numbers as they are typed, 0.5,0.4,0.4, or as YAML and records have them."""
    if isinstance(value, str):
        return tuple(value.split(","))
    return tuple(value) if isinstance(value, list) else (value,) if isinstance(value, int | float) else value


#: mean or standard deviation of each channel; the data set knows the range of its values
Numbers = Annotated[
    tuple[Annotated[float, Field(ge=0, le=255, strict=False)], ...], BeforeValidator(_numbers), Field(min_length=1)
]
#: a choice among numbers, as the command line or YAML has it
ValueRange = Annotated[Literal[1, 255] | None, BeforeValidator(lambda v: {"1": 1, "255": 255}.get(v, v))]
#: the text of a rule for the size
ResizeRule = Annotated[str, BeforeValidator(one_spelling)]
SMALLEST_IMAGE, LARGEST_IMAGE = 16, 1024
ImageSize = Annotated[int, Field(ge=SMALLEST_IMAGE, le=LARGEST_IMAGE)]

#: the experiment trackers that a run can be shown in
TRACKERS = ("tensorboard", "wandb", "mlflow")


def _names(value: object) -> object:
    """Names as they are typed, with commas or in several options, or as YAML has them."""
    texts = [value] if isinstance(value, str) else value
    if not isinstance(texts, list | tuple):
        return value
    return tuple(dict.fromkeys(name.strip() for text in texts for name in str(text).split(",") if name.strip()))


#: a file, or the name of a plugin
File = Annotated[str, BeforeValidator(lambda value: expand(value) if isinstance(value, str) else value)]

#: pydantic's error type -> the text that replaces its message, which repeats the limits
_OUT_OF_RANGE = dict.fromkeys(
    ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"), "out of range"
) | {"literal_error": "not a choice", "enum": "not a choice"}


class RunConfig(BaseModel):
    """What to run, on which data, how long and where.

    The options of ``okdbench run`` and ``sweep`` are made from these fields: a description is the option's help text.
    The ranges of ``hyperparameters`` depend on the method; :func:`check_hyperparameters` checks them.
    """

    # The schema is built at the first validation: `okdbench --help` needs the fields alone.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)

    method: File = Field(description="Method: a name, a variant such as kd[lr=0.1], or the path of a Python file.")
    dataset: File = Field(description="Data set: a name, the path of a .py or .yaml file, or a folder of images.")
    setting: str = Field(
        description="Letters of the teacher's domains and of another one: MP-O adapts to O, MP@O transfers with images "
        "of O, MP is data-free."
    )
    seed: int = Field(0, ge=0, description="Seed of initialisation and data order.")
    budget: str = Field(
        "quick", description="How many images student and teacher train on.", json_schema_extra={"choices": [*BUDGETS]}
    )
    track: Track | None = Field(
        None,
        strict=False,
        description="Which labels of the student's domain a method sees; labelled in task adapt, else label-free.",
    )
    shots: Annotated[int | None, BeforeValidator(lambda value: None if value == "all" else value)] = Field(
        None, ge=1, strict=False, description="Labels per class of the student's domain, or all."
    )
    teacher: File = Field(
        "", description="Architecture of the teacher: a name of timm or of okdbench ls networks, or net.py:build."
    )
    student: File = Field("", description="The same of the student.")
    pretrained: bool = Field(False, description="Start teacher and student from timm's ImageNet weights.")
    teacher_weights: File | None = Field(
        None, description="File of a trained teacher, .safetensors or state dict; no teacher is trained then."
    )
    teacher_init: File | None = Field(None, description="File of weights that the teacher's training starts from.")
    student_weights: File | None = Field(None, description="File of weights that the student starts from.")
    image_size: ImageSize = Field(
        32, description="Input resolution in pixels; methods with a generator take sizes that halve evenly."
    )
    channels: Annotated[Literal[1, 3] | None, BeforeValidator(lambda v: {"1": 1, "3": 3}.get(v, v))] = Field(
        None, description="Channels of the images, 1 for grey; others are converted. By default the data set's own."
    )
    mean: Numbers | None = Field(
        None, description="Mean of each channel, in [0, 1], for the normalisation of both networks: 0.5,0.5,0.5."
    )
    std: Numbers | None = Field(None, description="The same for the standard deviation.")
    value_range: ValueRange = Field(
        None,
        description="Largest value of a pixel before the normalisation: 255 for a network that was trained on 0..255. "
        "--mean and --std are then in this range, by default 0 and 1.",
    )
    channel_order: Literal["rgb", "bgr", "grey"] | None = Field(
        None,
        description="Order in which both networks get the channels, and that of --mean and --std; grey for networks "
        "that get the grey of an image three times.",
    )
    resize: ResizeRule | None = Field(
        None,
        description="How images become squares: stretched, cut at the longer side, or padded with black; crop:0.875 "
        "keeps that part of the square, as timm's crop_pct.",
        json_schema_extra={"choices": [*map(str, Resize)]},
    )
    interpolation: Interpolation | None = Field(
        None,
        description="Filter that scales the images, of Pillow; cv2 looks at four pixels alone, as OpenCV and "
        "antialias=False.",
    )
    teacher_recipe: str | None = Field(
        None,
        description="Training of the teacher as a source has it, which okdbench show DATASET lists, or own; by default "
        "the first of these at budget paper, else own.",
    )
    ood_subset: int | None = Field(
        None, ge=1, description="Task transfer: of its images, those N on which the teacher is least certain."
    )
    device: str = Field("auto", description="Such as cpu, cuda or cuda:1; auto is the first GPU, or else the CPU.")
    log_to: Annotated[tuple[Literal["tensorboard", "wandb", "mlflow"], ...], BeforeValidator(_names)] = Field(
        (), description="Show the run in an experiment tracker as well; repeat it for more."
    )
    precision: Literal["float32", "bfloat16-targets", "bfloat16"] = Field(
        "float32", description="Number format of the forward passes; bfloat16-targets: of the teacher's targets alone."
    )
    test_split: Literal["folds", "official"] | None = Field(
        None, description="Test images: a fifth of them, or the official ones, which are the default where they exist."
    )
    hyperparameters: dict[str, Any] = Field({}, description="Hyper-parameter of the methods.")
    tuned: str | None = Field(
        None,
        pattern=r"^\P{Cc}*$",  # one line without control characters, as in records
        description="How the hyper-parameters were chosen, for the tables; okdbench tune writes it into its file.",
    )


def load_options(file: Path) -> dict[str, Any]:
    """The options of a run in a YAML file: fields of :class:`RunConfig`, and ``task``.

    Raises:
        UserError: the file cannot be read, or a key is no option.
    """
    options, known = from_file(load_yaml(file), file), [*RunConfig.model_fields, "task"]
    if wrong := [key for key in options if key not in known]:
        raise UserError(f"{file}: {unknown('key', wrong[0], known)}")
    return options


def resolve(values: Mapping[str, Any], *, file: Path | None = None) -> RunConfig:
    """Merge defaults, the YAML ``file`` and ``values``; the later wins, ``hyperparameters`` key by key.

    A value of None, in either place, counts as not given. Paths of networks and weights in the file are relative to it.
    ``task`` is no field: it is for who chooses the setting. What the file says of its tuning holds for its own method
    and hyper-parameters, so it is dropped where one of these is given.

    Raises:
        UserError: an unknown or missing key, or a value that is not allowed.
    """
    in_file = load_options(file) if file else {}
    given, in_file = (
        {key: value for key, value in layer.items() if value is not None and key != "task"}
        for layer in (values, in_file)
    )
    if given.get("hyperparameters") or given.get("method", in_file.get("method")) != in_file.get("method"):
        in_file.pop("tuned", None)
    merged = {**in_file, **given}
    layers = [layer["hyperparameters"] for layer in (in_file, given) if "hyperparameters" in layer]
    if not all(isinstance(layer, Mapping) for layer in layers):
        raise UserError(f"{file or 'hyperparameters'}: hyperparameters are 'name: value' lines of their own")
    if layers:
        merged["hyperparameters"] = {name: value for layer in layers for name, value in layer.items()}
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        key = str(_first(error)["loc"][0])
        # The file is not to blame for a value that the command line has replaced.
        source = f"{file}: " if key in in_file and key not in given else ""
        raise UserError(source + _message(error, RunConfig, "key", "")) from error


def validate(model: type[AnyModel], content: Mapping[str, Any], source: str) -> AnyModel:
    """``content`` as a ``model``.

    Raises:
        UserError: an unknown or missing key, or a value that is not allowed; the message starts with ``source``.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: " + _message(error, model, "key", "")) from error


def check_hyperparameters(
    model: type[AnyModel], budget_preset: Mapping[str, Any], given: Mapping[str, Any], source: str
) -> AnyModel:
    """A method's hyper-parameters: the model's defaults < the method's preset of the budget < ``given``.

    Args:
        model: a pydantic model that forbids extra fields.
        budget_preset: what differs from the defaults in this budget.
        given: the user's values by name.
        source: where ``given`` comes from, the start of an error message; may be empty.

    Raises:
        UserError: an unknown name, or a value that is not allowed.
    """
    usual = {name: field.default for name, field in model.model_fields.items()} | dict(budget_preset)
    # A default as okdbench show prints it is the default, and no other value next to it.
    typed = {name: usual.get(name) if _is_shown_as(value, usual.get(name)) else value for name, value in given.items()}
    try:
        return model.model_validate({**budget_preset, **typed})
    except ValidationError as error:
        message = _message(error, model, "hyper-parameter", "hyper-parameter ")
        raise UserError(f"{source}: {message}" if source else message) from error


def _is_shown_as(value: Any, default: Any) -> bool:
    return isinstance(value, float) and isinstance(default, float) and value == rounded(default)


def variant_name(model: type[BaseModel], budget_preset: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What ``given`` changes against the defaults of the budget: ``a=1,b=true`` sorted by name, or the empty string.

    Raises:
        UserError: an unknown name, or a value that is not allowed.
    """
    # Compared after validation, so that another spelling of a default, such as 1 for 1.0, is no variant.
    usual = check_hyperparameters(model, budget_preset, {}, "").model_dump(mode="json")
    chosen = check_hyperparameters(model, budget_preset, given, "").model_dump(mode="json")
    return spell_assignments({name: value for name, value in chosen.items() if value != usual[name]})


def choices_of(field: FieldInfo) -> tuple[str, ...]:
    """The values that a field may have, where they can be listed: an enum, a ``Literal`` or named ``choices``."""
    kind = type_of(field)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(str(member.value) for member in kind)
    if get_origin(kind) is Literal:
        return tuple(map(str, get_args(kind)))
    return tuple(map(str, extra_of(field).get("choices", ())))


def type_of(field: FieldInfo) -> Any:
    """The type of a field; that of an optional one without None."""
    kinds = [kind for kind in get_args(field.annotation) if kind is not NoneType]
    return kinds[0] if len(kinds) == 1 and NoneType in get_args(field.annotation) else field.annotation


def extra_of(field: FieldInfo) -> dict[str, Any]:
    """What a hyper-parameter declares beside pydantic's own: ``paper``, ``when``, ``search``."""
    # pydantic also takes a function or None here, which hold none of these values
    extra: Any = field.json_schema_extra
    return extra if isinstance(extra, dict) else {}


def range_of(field: FieldInfo) -> str:
    """The range of a field in words: ``0 to 1``, ``more than 0``, ``16 to 512, multiples of 16``, or nothing."""
    names = ("ge", "gt", "le", "lt", "multiple_of")
    limits = {name: getattr(item, name) for item in field.metadata for name in names if hasattr(item, name)}
    if {"ge", "le"} <= limits.keys():
        words = [f"{limits.pop('ge')} to {limits.pop('le')}"]
    else:
        spelt = {"ge": "at least", "gt": "more than", "le": "at most", "lt": "less than"}
        words = [" and ".join(f"{spelt[name]} {limits[name]}" for name in spelt if name in limits)]
    if "multiple_of" in limits:
        words.append(f"multiples of {limits['multiple_of']}")
    return ", ".join(word for word in words if word)


def _first(error: ValidationError) -> ErrorDetails:
    """The error to report: a misspelt name before the required one that it was meant to be."""
    return min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")


def _message(error: ValidationError, model: type[BaseModel], kind: str, prefix: str) -> str:
    """One of pydantic's errors in one line: the name, the value and what is allowed.

    Args:
        error: what pydantic raised.
        model: the model that refused the values.
        kind: what a field is called when its name is unknown, such as ``key``.
        prefix: what stands before the field's name in every other message.
    """
    first = _first(error)
    path, context = first["loc"], first.get("ctx", {})
    problem = first["msg"].removeprefix("Value error, ")
    problem = problem[:1].lower() + problem[1:]
    # Raised by a validator of the whole model, whose message names the fields itself.
    if not path:
        return problem
    name = str(path[0])
    if first["type"] == "extra_forbidden" and len(path) == 1:
        return str(unknown(kind, name, model.model_fields))
    if first["type"] == "missing" and len(path) == 1:
        return f"{prefix}{name} is missing"
    allowed = context.get("expected") or range_of(model.model_fields[name])
    if first["type"] in _OUT_OF_RANGE:
        problem = _OUT_OF_RANGE[first["type"]]
    return f"{prefix}{name}={first['input']!r}: {problem}" + (f"; allowed {allowed}" if allowed else "")
