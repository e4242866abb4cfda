"""MAD gives the numbers of the paper's equations, written out a second time in float64: there is no released code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from support.parity import Record, iterate, make_method, numbers, same_tensors
from torch import Tensor

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("mad")
WARM_UP, ITERATIONS = 2, 2
CASES: dict[str, dict[str, bool]] = {"default": {}, "no_ema": {"ema": False}, "conditional": {"conditional": True}}


def mad(part: str, settings: Mapping[str, bool]) -> Any:
    """MAD with 12 images of G in its step, and 6 of each generator in a step of S."""
    usual = {"warm_up": WARM_UP, "inner_steps": 3, "balance": 20 / math.log(10)}
    noise, weights = SOURCE.group(f"{part}/noise").values(), "CG" if settings.get("conditional") else "G"
    method = make_method("mad", SOURCE, {**usual, **settings}, noise=noise, batch_size=12, generator=weights)
    if method.hp.conditional:
        use_stored_labels(method, list(SOURCE.group(f"{part}/labels").values()))
    return method


def use_stored_labels(method: Any, labels: list[Tensor]) -> None:
    """Let the method draw these classes of generated images, a batch at a time."""

    def sample_labels(count: int) -> Tensor:
        assert len(labels[0]) == count
        return labels.pop(0)

    method.sample_labels = sample_labels


@pytest.mark.parametrize("part", CASES)
def test_warm_up_and_iterations_are_those_of_the_equations(part: str) -> None:
    method = mad(part, CASES[part])
    generator, student = Record(method.generator), Record(method.learner)
    warm_up = method.stages()[0]
    for _ in range(warm_up.steps):
        warm_up.step()
    warm_up.finish()
    iterate(method, ITERATIONS)
    generator.same_as(SOURCE, part, "G", without=["grad"])
    # of the first step with an adversarial term
    same_tensors(generator.gradients[WARM_UP], SOURCE.group(f"{part}/grad_G_adversarial"))
    student.same_as(SOURCE, part, "S")
    same_tensors(list(method.ema_generator.parameters()), SOURCE.group(f"{part}/after_copy"))
    assert not method.task.stored
