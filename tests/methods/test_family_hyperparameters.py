"""The data-free methods: every hyper-parameter changes what the student learns."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from support.tiny_task import DATA_FREE, another, make_method, trained

from okdbench import registry
from okdbench.checks.hyperparameters import needed
from okdbench.core.protocol import Track

#: values that have an effect within a run of a few iterations
VISIBLE = {
    "receptive_field": 22, "capacity": 1, "pushes": 1, "norm_bound": 5.0, "clip": 1e-3, "data_free_steps": 1,
    "adversary": "kl",
}  # fmt: skip
LABELLED: dict[str, Any] = {"track": Track.LABELLED, "images": 480, "size": 16}
#: has an effect only if a probability is exactly 0; a test below covers it
RARE = {("mosaickd", "legacy_entropy_rank")}
#: those that it declares itself; the slow test of every method tries the inherited ones too
KEYS = [(m, key) for m in DATA_FREE for key in registry.load_method(m).Hyperparameters.__annotations__]
INHERITED = [("dfkd", key) for key in registry.load_method("dfkd").Hyperparameters.model_fields]
#: read outside of the method, by what divides the budget
OUTSIDE = {"data_free_share"}


@pytest.mark.parametrize(
    ("method", "key"),
    [
        # one method has all of the shared ones, and its own
        pytest.param(*pair, marks=() if pair[0] == "dfkd" else pytest.mark.slow)
        for pair in dict.fromkeys(KEYS + INHERITED)
        if pair not in RARE and pair[1] not in OUTSIDE
    ],
)
def test_every_hyperparameter_changes_the_training(method: str, key: str) -> None:
    field = registry.load_method(method).Hyperparameters.model_fields[key]
    value, student = reference(method, tuple(sorted(needed(field).items())))
    changed = VISIBLE.get(key, another(value[key], field))
    assert student != trained(method, {**needed(field), key: changed}, **LABELLED)


@cache
def reference(method: str, settings: tuple[tuple[str, Any], ...]) -> tuple[dict[str, Any], str]:
    """Hyper-parameters and trained student without a change, shared by many keys."""
    return make_method(method, dict(settings), **LABELLED).hp.model_dump(), trained(method, dict(settings), **LABELLED)
