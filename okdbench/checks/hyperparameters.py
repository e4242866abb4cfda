"""Checks that every hyper-parameter changes the training, by trying other values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from okdbench.checks.finding import Finding, files
from okdbench.checks.sandbox import Case, Sandbox
from okdbench.core.config import extra_of
from okdbench.core.errors import UserError
from okdbench.core.syntax import spell_assignments

#: factors to try if 1.5 times the default changes nothing
FACTORS = (10.0, 0.1, 100.0, 0.01)


def idle_settings(sandbox: Sandbox) -> list[Finding]:
    """Hyper-parameters for which no value that is tried gives another student."""
    fields = sandbox.method.Hyperparameters.model_fields
    return [finding for name, field in fields.items() for finding in _idle(sandbox, name, field)]


def needed(field: FieldInfo) -> dict[str, Any]:
    """The settings that a hyper-parameter needs to have an effect, as ``hyper(when=...)`` declares them."""
    return dict(extra_of(field).get("when") or {})


def another(value: Any, field: FieldInfo) -> Any:
    """A value of this hyper-parameter that differs from ``value`` and is within its limits."""
    # of an optional value, such as int | None, the other type tells what to try
    kinds = [kind for kind in (get_args(field.annotation) or [field.annotation]) if kind is not type(None)]
    if get_origin(field.annotation) is Literal:
        return next(choice for choice in kinds if choice != value)
    if value is None:
        return 1 if kinds == [int] else 0.5
    # before int, of which bool is a subclass
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    highest = min((getattr(limit, "le", getattr(limit, "lt", math.inf)) for limit in field.metadata), default=math.inf)
    # the product is 0 for a default of 0, so another number is tried there
    return (1.5 * value if 1.5 * value < highest else 0.5 * value) or min(0.5, highest)


def others(value: Any, field: FieldInfo) -> Iterator[Any]:
    """Values to try, near ones first; some may be out of range. Nothing for free texts."""
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


def _idle(sandbox: Sandbox, name: str, field: FieldInfo) -> list[Finding]:
    given = needed(field)
    usual = getattr(sandbox.hyperparameters(given), name)
    cases = [case for case in sandbox.cases if sandbox.run(case, given).result]
    tried: list[Any] = []
    for value in others(usual, field):
        if value == usual or value in tried:
            continue
        try:
            # refuses a value out of range before any run
            sandbox.hyperparameters({**given, name: value})
            if any(_matters(sandbox, case, given, {name: value}) for case in cases):
                return []
        except UserError:  # out of range, or refused in this combination
            continue
        tried.append(value)
    read = any(re.search(rf"hp\.{name}\b", file.read_text("utf-8", "replace")) for file in files(sandbox.method))
    # a bug of released code may be too rare for a short run, so it is enough that the method reads its switch
    excused = read and name.startswith("legacy_")
    return [_finding(sandbox, name, read, [usual, *tried])] if tried and cases and not excused else []


def _matters(sandbox: Sandbox, case: Case, given: dict[str, Any], change: dict[str, Any]) -> bool:
    """Whether this change gives another student in this case."""
    usual = sandbox.run(case, given)
    assert usual.result is not None
    try:
        result = sandbox.follow(case, usual, {**given, **change})
    except UserError:
        # the value is refused, which says nothing about its effect
        raise
    except Exception:  # Diverged, or a failure: either is an effect
        return True
    # equal in every common step; the number of steps may still differ
    return result.last != usual.result.last


def _finding(sandbox: Sandbox, name: str, read: bool, tried: list[Any]) -> Finding:
    values = ", ".join(spell_assignments({name: value}) for value in tried)
    never = "" if read else f"; no line of {files(sandbox.method)[0].name} reads self.hp.{name}"
    return Finding(
        f"the hyper-parameter {name!r} changes nothing: the student is the same, bit for bit, with {values}{never}",
        "tuning it compares the method with itself, and its rows in a table differ by name only",
        f"use self.hp.{name} in the method, or delete it; if it needs another setting, declare this: "
        f"hyper(..., when={{...}})",
    )
