"""The configuration of a run: defaults < YAML file < command line, and nothing unknown or out of range gets through.

Every complaint is a :class:`~okdbench.errors.UserError` of one line that names the file, the key and the cure.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from okdbench.errors import UserError, unknown
from okdbench.protocol import Track

AnyModel = TypeVar("AnyModel", bound=BaseModel)

#: of one range; a slip of the hand must not fill the memory
MOST_SEEDS = 10_000

#: pydantic's error type -> what to say instead of its sentence, which repeats the limits
_OUT_OF_RANGE = dict.fromkeys(
    ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of"), "out of range"
) | {"literal_error": "not a choice", "enum": "not a choice"}


class RunConfig(BaseModel):
    """What to run, on which data, how long and where.

    ``setting`` reads ``MP-O`` (:class:`okdbench.protocol.Setting`); ``teacher`` and ``student`` are architectures;
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


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars: PyYAML alone reads ``1e-3`` as text, ``no`` as a boolean and drops duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
            seen.add(key)
        return mapping

    def construct_int(self, node: yaml.ScalarNode) -> int:
        return int(node.value, 0 if node.value[:2] in ("0x", "0o") else 10)


_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), None)
_CORE_TAGS = {None, *(f"tag:yaml.org,2002:{name}" for name in (*_SCALARS, "str", "seq", "map"))}
_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _CORE_TAGS}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)


def _parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{source}: {line}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{source}: not valid YAML: {str(error).splitlines()[0]}") from error


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, by the scalar rules of YAML 1.2; an empty file is an empty mapping.

    Raises:
        UserError: unreadable, not YAML, a key that appears twice, or not a mapping; one line that starts with ``path``.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error
    content = _parse_yaml(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}


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


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs by the scalar rules of :func:`load_yaml`.

    >>> parse_assignments(["lr=1e-3", "mixed=true", "answer=no"])
    {'lr': 0.001, 'mixed': True, 'answer': 'no'}

    Raises:
        UserError: not of that form, or a key that appears twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        if not key.isidentifier() or not value:
            raise UserError(f"{text!r} is not of the form key=value, for example lr=1e-3")
        if key in values:
            raise UserError(f"{key!r} is given twice")
        values[key] = _parse_yaml(value, text)
    return values


def spell_assignments(values: Mapping[str, Any]) -> str:
    """The pairs in one word, sorted by key, each as :func:`parse_assignments` reads it.

    >>> spell_assignments({"mixed": True, "lr": 1e-3})
    'lr=0.001,mixed=true'
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ",".join(f"{key}={texts[key]}" for key in sorted(texts))


def split_methods(text: str) -> list[str]:
    """The methods in a list of them: divided at the commas that stand outside of brackets.

    >>> split_methods("kd[lr=0.1,temperature=2], finetune")
    ['kd[lr=0.1,temperature=2]', 'finetune']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method as the tables name it: its name, or path, and the hyper-parameters in brackets behind it.

    >>> parse_method("kd[lr=1e-3,betas=[0.5, 0.9]]")
    ('kd', {'lr': 0.001, 'betas': [0.5, 0.9]})
    >>> parse_method("./lab[1]/mine.py[lr=1e-3]")
    ('./lab[1]/mine.py', {'lr': 0.001})

    Raises:
        UserError: not of that form, or a key that appears twice.
    """
    match = re.fullmatch(r"(.*?\.py|[^\[]*)(?:\[(.*)\])?", text.strip())
    if match is None:
        raise UserError(f"method {text!r} is not of the form name or name[key=value,key=value]")
    return match[1].strip(), {} if match[2] is None else parse_assignments(split_methods(match[2]))


def parse_seeds(text: str) -> list[int]:
    """Read seeds and ranges of seeds; both ends of a range count.

    >>> parse_seeds("0,3,5-7")
    [0, 3, 5, 6, 7]

    Raises:
        UserError: not of that form, or a range that runs backwards.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"seeds {text!r} are not of the form 0-2 or 0,3,5-7")
        if last - first >= MOST_SEEDS:
            raise UserError(f"seeds {text!r} are more than {MOST_SEEDS}; name fewer")
        seeds += range(first, last + 1)
    return sorted(set(seeds))


def format_seeds(seeds: Iterable[int]) -> str:
    """The shortest text that :func:`parse_seeds` reads as these seeds.

    >>> format_seeds([0, 1, 2, 5])
    '0-2,5'
    """
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and runs[-1][1] == seed - 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
