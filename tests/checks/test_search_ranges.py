"""Search ranges: those of the bundled methods hold their defaults, and wrong ones are reported."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from okdbench import registry
from okdbench.api import BaseHyperparameters, hyper
from okdbench.checks.search_ranges import range_faults
from okdbench.core import plugins
from okdbench.core.search import search_of

#: rows that train nothing, or only what no method may
UNTUNED = {"teacher", "original", "scratch"}


@pytest.mark.parametrize("method", plugins.method_names())
def test_ranges_of_the_methods_hold_every_default(method: str) -> None:
    cls = registry.load_method(method)
    assert list(range_faults(cls)) == []
    searched = [name for name, field in cls.Hyperparameters.model_fields.items() if search_of(field)]
    assert (2 <= len(searched) <= 8) == (method not in UNTUNED)
    assert any(name.startswith("lr") for name in searched) == (method not in UNTUNED)
    assert not any(name.startswith("legacy_") for name in searched)


@pytest.mark.parametrize(
    ("kind", "default", "declared", "fault"),
    [
        (float, 0.5, {"search": (0.6, 0.9)}, "x of default is 0.5"),
        (float, 0.5, {"search": (0.9, 0.1)}, "x of default is 0.5"),
        (float, 0.5, {"search": (0.1, 0.9, 1.0)}, "x of default is 0.5"),
        (float, 0.5, {"search": (0.1, 2.0), "le": 1}, "hyper-parameter x=2.0: out of range; allowed at most 1"),
        (float, 0.5, {"search": (0.1, 0.7)}, "x of budget quick is 0.8"),
        (Literal["a", "b"], "a", {"search": ("b",)}, "x of default is a"),
    ],
)
def test_a_wrong_range_is_reported(kind: Any, default: Any, declared: dict[str, Any], fault: str) -> None:
    class Hyperparameters(BaseHyperparameters):
        x: kind = hyper(default, "", **declared)

    preset = {"quick": {"x": 0.8}} if kind is float else {}
    method: Any = type("Mine", (), {"Hyperparameters": Hyperparameters, "presets": preset})
    assert next(iter(range_faults(method))).startswith(fault) or fault in list(range_faults(method))
