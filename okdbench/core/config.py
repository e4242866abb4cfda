"""The configuration of a run: defaults < YAML file < command line, and nothing unknown or out of range gets through.

Every complaint is a :class:`~okdbench.core.errors.UserError` of one line that names the file, the key and the cure.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from okdbench.core.errors import UserError, unknown
from okdbench.core.protocol import Track
from okdbench.core.syntax import spell_assignments
from okdbench.core.yaml_files import load_yaml

AnyModel = TypeVar("AnyModel", bound=BaseModel)


#: pydantic's error type -> what to say instead of its sentence, which repeats the limits
_OUT_OF_RANGE = dict.fromkeys(
    ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"), "out of range"
) | {"literal_error": "not a choice", "enum": "not a choice"}


class RunConfig(BaseModel):
    """What to run, on which data, how long and where.

    ``setting`` reads ``MP-O`` (:class:`okdbench.core.protocol.Setting`); ``teacher`` and ``student`` are architectures;
    ``teacher_weights`` is a file, instead of a teacher trained here; ``image_size`` is in pixels;
    ``test_split`` is ``official`` for the test pictures that a challenge published, where a data set has such;
    ``hyperparameters`` are the method's own, checked by :func:`check_hyperparameters`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    method: str
    dataset: str
    setting: str
    seed: int = Field(0, ge=0)
    budget: str = "quick"
    track: Annotated[Track, Field(strict=False)] = Track.LABELLED
    teacher: str = "resnet18"
    student: str = "resnet10t"
    pretrained: bool = False
    teacher_weights: str | None = None
    image_size: int = Field(32, ge=16, le=512, multiple_of=16)
    device: str = "auto"
    precision: Literal["float32", "bfloat16"] = "float32"
    test_split: Literal["protocol", "official"] = "protocol"
    hyperparameters: dict[str, Any] = {}


def resolve(values: Mapping[str, Any], *, file: Path | None = None) -> RunConfig:
    """Join defaults, the YAML ``file`` and ``values``; the later wins, ``hyperparameters`` key by key.

    A value of None, in either place, counts as not given.

    Raises:
        UserError: an unknown or missing key, or a value that is not allowed.
    """
    given = {key: value for key, value in values.items() if value is not None}
    in_file = {key: value for key, value in (load_yaml(file) if file else {}).items() if value is not None}
    merged = {**in_file, **given}
    parts = [layer["hyperparameters"] for layer in (in_file, given) if "hyperparameters" in layer]
    if not all(isinstance(part, Mapping) for part in parts):
        raise UserError(f"{file or 'hyperparameters'}: hyperparameters are 'name: value' lines of their own")
    if parts:
        merged["hyperparameters"] = {name: value for part in parts for name, value in part.items()}
    try:
        return RunConfig.model_validate(merged)
    except ValidationError as error:
        key = str(_first(error)["loc"][0])
        source = f"{file}: " if key in in_file and key not in given else ""
        raise UserError(source + _complaint(error, RunConfig, "key", "")) from error


def validate(model: type[AnyModel], content: Mapping[str, Any], source: str) -> AnyModel:
    """``content`` as a ``model``.

    Raises:
        UserError: an unknown or missing key, or a value that is not allowed; one line that starts with ``source``.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{source}: " + _complaint(error, model, "key", "")) from error


def check_hyperparameters(
    model: type[AnyModel], budget_preset: Mapping[str, Any], given: Mapping[str, Any], source: str
) -> AnyModel:
    """A method's hyper-parameters: the model's defaults < the method's preset of the budget < ``given``.

    Args:
        model: a pydantic model that forbids extra fields.
        budget_preset: what differs from the defaults in this budget.
        given: the user's values by name.
        source: where ``given`` comes from, to begin the message with; may be empty.

    Raises:
        UserError: an unknown name, or a value that is not allowed.
    """
    try:
        return model.model_validate({**budget_preset, **given})
    except ValidationError as error:
        complaint = _complaint(error, model, "hyper-parameter", "hyper-parameter ")
        raise UserError(f"{source}: {complaint}" if source else complaint) from error


def variant_name(model: type[BaseModel], budget_preset: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    """What ``given`` changes against the defaults of the budget: ``a=1,b=true`` sorted by name, or the empty string."""
    usual = check_hyperparameters(model, budget_preset, {}, "").model_dump(mode="json")
    chosen = check_hyperparameters(model, budget_preset, given, "").model_dump(mode="json")
    return spell_assignments({name: value for name, value in chosen.items() if value != usual[name]})


def _first(error: ValidationError) -> ErrorDetails:
    """The error to tell: a misspelt name before the missing one that it was meant to be."""
    return min(error.errors(), key=lambda details: details["type"] != "extra_forbidden")


def _complaint(error: ValidationError, model: type[BaseModel], kind: str, prefix: str) -> str:
    """One of pydantic's errors in one line: the name, the value and what is allowed."""
    first = _first(error)
    path, context = first["loc"], first.get("ctx", {})
    problem = first["msg"].removeprefix("Value error, ")
    problem = problem[:1].lower() + problem[1:]
    if not path:
        return problem
    name = str(path[0])
    if first["type"] == "extra_forbidden" and len(path) == 1:
        return str(unknown(kind, name, model.model_fields))
    if first["type"] == "missing" and len(path) == 1:
        return f"{prefix}{name} is missing"
    allowed = context.get("expected") or _limits(model.model_fields[name])
    if first["type"] in _OUT_OF_RANGE:
        problem = _OUT_OF_RANGE[first["type"]]
    return f"{prefix}{name}={first['input']!r}: {problem}" + (f"; allowed {allowed}" if allowed else "")


def _limits(field: FieldInfo) -> str:
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
