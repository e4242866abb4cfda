"""Checks of the ranges that ``okdbench tune`` draws from, which need no run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox
from okdbench.core.config import check_hyperparameters
from okdbench.core.errors import UserError
from okdbench.core.search import is_range, search_of
from okdbench.distill.method import Method


def bad_ranges(sandbox: Sandbox) -> list[Finding]:
    """Search ranges with values that no run can have, or without a default."""
    return [
        Finding(
            f"search range: {fault}",
            "its tuning is refused, or does not try values around those that the method has without it",
            "correct hyper(..., search=(lowest, highest)), or search=(choice, choice) for a Literal",
        )
        for fault in range_faults(sandbox.method)
    ]


def range_faults(method: type[Method]) -> Iterator[str]:
    """What is wrong with the search ranges of a method, a text each."""
    for name, field in method.Hyperparameters.model_fields.items():
        if values := search_of(field):
            yield from _refused(method, name, values)
            # a preset replaces the default at its budget
            usual = {"default": field.default} | {
                f"budget {budget}": preset[name] for budget, preset in method.presets.items() if name in preset
            }
            yield from (f"{name} of {where} is {value}" for where, value in usual.items() if not _has(field, value))


def _refused(method: type[Method], name: str, values: list[Any]) -> Iterator[str]:
    for value in values:
        try:
            check_hyperparameters(method.Hyperparameters, {}, {name: value}, "")
        except UserError as error:
            yield str(error)


def _has(field: FieldInfo, value: Any) -> bool:
    """Whether a value is in the search range; a range of numbers has two ends, the lower one first."""
    values = search_of(field)
    if not is_range(field):
        return value in values
    return len(values) == 2 and values[0] < values[1] and value is not None and values[0] <= value <= values[1]
