"""Search ranges that the hyper-parameters of a method declare, and configurations drawn from them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from random import Random
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from okdbench.core.config import extra_of, type_of

#: a range of positive numbers whose ends have a larger ratio is searched on a logarithmic scale
DECADE = 10
#: significant digits of a drawn number: short names, and no bit that differs between machines
DIGITS = 3


def search_of(field: FieldInfo) -> list[Any]:
    """The two ends of a range of numbers, or the choices; nothing for a hyper-parameter that is not searched."""
    return extra_of(field).get("search") or []


def is_range(field: FieldInfo) -> bool:
    """Whether a searched hyper-parameter has a range of numbers, and not a list of choices."""
    return type_of(field) in (int, float)


def is_logarithmic(low: float, high: float) -> bool:
    """Whether a range is searched on a logarithmic scale: it is positive and wider than a decade."""
    return low > 0 and high / low > DECADE


def spell_search(field: FieldInfo) -> str:
    """A search range in words: ``0.0001 to 0.01, log``, ``adam, sgd``, or nothing."""
    values = search_of(field)
    if not values or not is_range(field):
        return ", ".join(map(str, values))
    return f"{values[0]:g} to {values[1]:g}" + (", log" if is_logarithmic(*values) else "")


def draw(
    model: type[BaseModel], usual: Mapping[str, Any], fixed: Mapping[str, Any], count: int, seed: int
) -> list[dict[str, Any]]:
    """Configurations to try; the first has no drawn value, and a smaller ``count`` gives the start of a larger one's.

    Args:
        model: the hyper-parameters of a method.
        usual: the values of all hyper-parameters in the first configuration.
        fixed: those that the user chose, which are in every configuration and never drawn.
        count: number of configurations, at least 1.
        seed: of the draws.
    """
    rng, found = Random(seed), [dict(fixed)]
    while len(found) < count:
        # Every range is drawn from, also for what is left out below, so that the others do not depend on it.
        drawn = {name: _value(field, rng) for name, field in model.model_fields.items() if search_of(field)}
        values = {**usual, **drawn, **fixed}
        needed = {name: extra_of(field).get("when") or {} for name, field in model.model_fields.items()}
        matters = {name for name, when in needed.items() if all(values[key] == value for key, value in when.items())}
        found.append({name: value for name, value in drawn.items() if name in matters} | dict(fixed))
    return found


def _value(field: FieldInfo, rng: Random) -> Any:
    values = search_of(field)
    if not is_range(field):
        return rng.choice(values)
    low, high = values
    # half a step beyond the ends of whole numbers, so that rounding makes the ends no rarer than their neighbours
    margin = 0.5 if type_of(field) is int else 0.0
    ends = low - margin, high + margin
    value = math.exp(rng.uniform(*map(math.log, ends))) if is_logarithmic(low, high) else rng.uniform(*ends)
    rounded = round(value) if margin else float(f"{value:.{DIGITS}g}")
    return min(max(rounded, low), high)
