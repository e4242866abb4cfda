"""FastDFKD beyond its released numbers: other ways to learn the start, the reset, and the release's schedule."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_task import make_method, state
from torch import Tensor

from okdbench.api import Clock

STEPS = 3
#: five rounds of three steps of synthesis and one of the student, without a warm-up
SIZES: dict[str, Any] = {
    "warm_up_rounds": 0,
    "rounds": 5,
    "synthesis_steps": STEPS,
    "synthesis_batch": 6,
    "reset_at": 0.0,
}


def method_of(**settings: Any) -> Any:
    return make_method("fast", {**SIZES, **settings}, images=80, batch_size=16)


def run(method: Any, start: int, stop: int) -> None:
    """Rounds from ``start`` to before ``stop``."""
    stage = method.stages()[-1]
    for step in range(start * stage.period, stop * stage.period):
        method.set_clock(Clock(step, stage.steps))
        stage.step()


def weights(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def test_reptile_moves_the_start_towards_the_end_of_a_round() -> None:
    method = method_of(meta="reptile")
    before, outer = weights(method.meta.module), []
    method.meta.optimizer.register_step_pre_hook(lambda *_: outer.append([p.grad for p in method.meta.parameters]))
    run(method, 0, 1)
    end = weights(method.images.generator)
    for gradient, (name, start) in zip(outer[0], before.items(), strict=True):
        torch.testing.assert_close(gradient, 67 * (start - end[name]), msg=name)
    # Adam's first step has the length of its learning rate, k times that of a round, against the gradient
    moved = before["seed.weight"] - weights(method.meta.module)["seed.weight"]
    assert (moved * outer[0][0] >= 0).all()
    assert moved.abs().max() == pytest.approx(STEPS * method.hp.lr_images, rel=1e-3)


@pytest.mark.parametrize("meta", ["maml", "reptile"])
def test_each_round_starts_at_the_meta_generator(meta: str) -> None:
    method = method_of(meta=meta)
    run(method, 0, 2)
    start = state(method.meta.module)
    assert state(method.images.generator) != start
    method.round_number = 2
    method.begin_round()
    assert state(method.images.generator) == start


def test_without_a_meta_generator_a_round_goes_on_where_the_last_one_ended() -> None:
    method, other = method_of(meta="none"), method_of(meta="maml")
    for each in (method, other):
        run(each, 0, 1)
    # the same first round, and none of a second optimiser
    assert state(method.images) == state(other.images)
    assert "meta generator" not in method.state
    end = state(method.images.generator)
    method.round_number = 1
    method.begin_round()
    assert state(method.images.generator) == end


@pytest.mark.parametrize("meta", ["maml", "none"])
def test_the_first_layers_start_anew_in_one_round(meta: str) -> None:
    method = method_of(meta=meta, reset_at=0.6)
    start = method.images.generator if meta == "none" else method.meta.module
    for number in range(5):
        before = weights(start)
        method.round_number = number
        method.begin_round()
        changed = [name for name, old in before.items() if not old.equal(weights(start)[name])]
        # the third of five
        assert changed == (["seed.weight", "seed.bias", "grow.0.weight"] if number == 2 else [])
    drawn = weights(start)
    assert drawn["seed.weight"].std() == pytest.approx(0.02, rel=0.05)
    assert drawn["grow.0.weight"].abs().max() < 0.1
    assert drawn["seed.bias"].count_nonzero() == 0
    # and so does the copy that makes the images
    assert state(method.images.generator) == state(start)


def rate_after(rounds: int, **settings: Any) -> float:
    """The student's learning rate after a run of so many rounds, as a share of the first."""
    method = method_of(rounds=rounds, lr_student=0.2, lr_student_end=0.02, **settings)
    run(method, 0, rounds)
    return method.learner.lr / 0.2


def test_the_releases_cosine_has_200_rounds() -> None:
    assert rate_after(5) == pytest.approx(0.1)
    # (1 + cos(pi 5 / 200)) / 2 = 0.998459
    assert rate_after(5, legacy_cosine_of_200=True) == pytest.approx(0.1 + 0.9 * 0.998459)
