"""Configurations drawn from declared ranges: the same for everybody, within the ranges, spread over them."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal

import numpy as np
import pytest

from okdbench.api import BaseHyperparameters, hyper, legacy
from okdbench.core.search import draw, spell_search


class Hyperparameters(BaseHyperparameters):
    lr: float = hyper(1e-3, "", gt=0, search=(1e-4, 1e-1))
    share: float = hyper(0.5, "", ge=0, le=1, search=(0.0, 1.0))
    steps: int = hyper(5, "", ge=1, search=(1, 100))
    kind: Literal["a", "b", "c"] = hyper("a", "", search=("a", "b"))
    mean: bool = hyper(True, "", search=(True, False))
    weight: float = hyper(1.0, "", search=(0.1, 1.0), when={"kind": "b"})
    width: int = hyper(8, "")
    legacy_sum: bool = legacy("sum", "mean")


FIELDS = Hyperparameters.model_fields
USUAL = Hyperparameters().model_dump()


def drawn(count: int, seed: int = 0, **fixed: Any) -> list[dict[str, Any]]:
    return draw(Hyperparameters, USUAL, fixed, count, seed)


def test_the_first_configuration_has_the_defaults() -> None:
    assert drawn(1) == [{}]
    assert drawn(1, lr=0.1) == [{"lr": 0.1}]


def test_a_seed_gives_the_same_configurations_and_fewer_are_the_start_of_more() -> None:
    assert drawn(8) == drawn(20)[:8]
    assert drawn(8, seed=1)[1:] != drawn(8)[1:]


def test_all_values_are_allowed_and_within_their_ranges() -> None:
    for values in drawn(500)[1:]:
        Hyperparameters(**values)
        assert 1e-4 <= values["lr"] <= 1e-1
        assert 0 <= values["share"] <= 1
        assert 1 <= values["steps"] <= 100
        assert isinstance(values["steps"], int)
        assert values["kind"] in ("a", "b")
        assert not {"width", "legacy_sum"} & set(values), "only what declares a range is searched"
        assert float(f"{values['lr']:.3g}") == values["lr"], "short enough for a name"


def test_wide_positive_ranges_are_drawn_from_on_a_logarithmic_scale() -> None:
    values = drawn(2000)[1:]
    # a third in each of the three decades; whole numbers are drawn from 0.5 to 100.5, whose geometric mean is 7.1
    assert Counter(int(np.log10(v["lr"]) + 4) for v in values)[0] == pytest.approx(667, abs=80)
    assert np.median([v["steps"] for v in values]) == pytest.approx(7, abs=1)
    assert np.mean([v["share"] for v in values]) == pytest.approx(0.5, abs=0.03)
    assert Counter(v["mean"] for v in values)[True] == pytest.approx(1000, abs=100)


def test_what_is_fixed_is_in_every_configuration_and_changes_no_other_value() -> None:
    free, held = drawn(20), drawn(20, lr=0.5)
    assert [values["lr"] for values in held] == [0.5] * 20
    assert [values | {"lr": 0} for values in free[1:]] == [values | {"lr": 0} for values in held[1:]]


def test_what_has_no_effect_is_left_out() -> None:
    values = drawn(50)[1:]
    assert {"weight" in v for v in values} == {True, False}
    assert all(("weight" in v) == (v["kind"] == "b") for v in values)
    assert not any("weight" in v for v in drawn(50, kind="c"))


def test_ranges_are_spelt() -> None:
    texts = {name: spell_search(field) for name, field in FIELDS.items()}
    assert texts == {
        "lr": "0.0001 to 0.1, log", "share": "0 to 1", "steps": "1 to 100, log", "kind": "a, b",
        "mean": "True, False", "weight": "0.1 to 1", "width": "", "legacy_sum": "",
    }  # fmt: skip
