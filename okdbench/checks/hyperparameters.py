"""Hyper-parameters: values to try, and whether each changes what is trained."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from okdbench.checks.finding import Finding, files
from okdbench.checks.sandbox import Sandbox
from okdbench.core.errors import UserError
from okdbench.core.protocol import Track
from okdbench.core.syntax import spell_assignments

#: factors that take a number away from its default when half as much again shows nothing
FACTORS = (10.0, 0.1, 100.0, 0.01)


def idle_settings(bench: Sandbox) -> list[Finding]:
    """The hyper-parameters that change no student, whatever is tried."""
    fields = bench.method.Hyperparameters.model_fields
    return [finding for name, field in fields.items() for finding in _idle(bench, name, field)]


def needed(field: FieldInfo) -> dict[str, Any]:
    """The settings without which a hyper-parameter has no effect, as it was declared."""
    extra: Any = field.json_schema_extra
    return dict(extra.get("when") or {}) if isinstance(extra, dict) else {}


def another(value: Any, field: FieldInfo) -> Any:
    """A value of this hyper-parameter that differs from ``value`` and keeps its limits."""
    kinds = [kind for kind in (get_args(field.annotation) or [field.annotation]) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in kinds if choice != value)
    if value is None:
        return 1 if kinds == [int] else 0.5
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    highest = min((getattr(limit, "le", getattr(limit, "lt", math.inf)) for limit in field.metadata), default=math.inf)
    return (1.5 * value if 1.5 * value < highest else 0.5 * value) or min(0.5, highest)


def others(value: Any, field: FieldInfo) -> Iterator[Any]:
    """Values to try, near ones first; some may be out of range. Nothing for kinds that nobody can guess."""
    if isinstance(value, (tuple, list)):
        yield from (type(value)(factor * part for part in value) for factor in (0.5, 1.5))
    elif not isinstance(value, str) or get_origin(field.annotation) is Literal:
        yield another(value, field)
    if get_origin(field.annotation) is Literal:
        yield from (choice for choice in get_args(field.annotation) if choice != value)
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield from (type(value)(factor * value) for factor in FACTORS)
        limits = [getattr(limit, name) for limit in field.metadata for name in ("ge", "le") if hasattr(limit, name)]
        yield from (type(value)(end) for end in (0, 1, *limits) if abs(end) <= 1000)


def _idle(bench: Sandbox, name: str, field: FieldInfo) -> list[Finding]:
    given = needed(field)
    usual = getattr(bench.hyperparameters(given), name)
    tracks = [track for track in bench.tracks if bench.run(track, given).result]
    tried: list[Any] = []
    for value in others(usual, field):
        if value == usual or value in tried:
            continue
        try:
            bench.hyperparameters({**given, name: value})
            if any(_matters(bench, track, given, {name: value}) for track in tracks):
                return []
        except UserError:  # out of range, or refused in this combination
            continue
        tried.append(value)
    read = any(re.search(rf"hp\.{name}\b", file.read_text("utf-8", "replace")) for file in files(bench.method))
    # a fault of released code may be too rare for a short run, so its switch only has to be read
    excused = read and name.startswith("legacy_")
    return [_finding(bench, name, read, [usual, *tried])] if tried and tracks and not excused else []


def _matters(bench: Sandbox, track: Track, given: dict[str, Any], change: dict[str, Any]) -> bool:
    """Whether the student of this track is another one with this change."""
    usual = bench.run(track, given)
    assert usual.result is not None
    try:
        result = bench.follow(track, usual, {**given, **change})
    except UserError:
        raise
    except Exception:  # it left the usual path, or failed: either is an effect
        return True
    return result.last != usual.result.last


def _finding(bench: Sandbox, name: str, read: bool, tried: list[Any]) -> Finding:
    values = ", ".join(spell_assignments({name: value}) for value in tried)
    never = "" if read else f"; no line of {files(bench.method)[0].name} reads self.hp.{name}"
    return Finding(
        f"the hyper-parameter {name!r} changes nothing: the student is the same, bit for bit, with {values}{never}",
        "whoever tunes it compares a method with itself, and its rows in a table differ in name only",
        f"use self.hp.{name} where it belongs, or delete it; if it needs another setting, declare that: "
        f"hyper(..., when={{...}})",
    )
