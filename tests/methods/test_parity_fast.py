"""FastDFKD gives the numbers of its authors' code: rounds, the outer step and the average of statistics, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.parity import load, make_method, numbers, same_losses, same_tensor, same_tensors, state
from torch import Tensor

from okdbench.api import Clock

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("extras_fast")
ROUNDS, STEPS = 3, 2
#: weight of each term, in the order of the stored columns
TERMS = {"bn": 10.0, "one_hot": 0.5, "adversarial": 1.33}
SETTINGS = {**TERMS, "synthesis_steps": STEPS, "lr_images": 5e-3, "lr_latents": 0.015, "bn_momentum": 0.9, "stem": 2,
            "reset_at": 0.0}  # fmt: skip


def made(settings: dict[str, Any]) -> Any:
    """The method with the stored weights, latents, classes and view."""
    part = [f"round/{number}" for number in range(ROUNDS)]
    method = make_method("fast", SOURCE, {**SETTINGS, **settings}, noise=[SOURCE[f"{key}/z"] for key in part])
    load(method.meta.module, SOURCE.group("meta"))
    labels = [SOURCE[f"{key}/labels"] for key in part]
    method.draw_labels = lambda: labels.pop(0)
    method.view = lambda images: torch.roll(images, (2, -1), (2, 3))
    return method


def synthesise(method: Any) -> list[tuple[int, dict[str, Tensor]]]:
    """All steps of synthesis, without those of the student: the round's number and the terms of each."""
    found = []
    for stage in method.stages():
        for step in range(stage.steps):
            if stage.name == "warm-up" or step % stage.period < STEPS:
                method.set_clock(Clock(step, stage.steps))
                terms = stage.step()
                found.append((method.round_number, terms))
    return found


@pytest.mark.parametrize(
    ("warm_up", "legacy"),
    [(1, False), pytest.param(2, True, id="as released, which counts rounds from 1")],
)
def test_three_rounds_are_those_of_the_authors_code(warm_up: int, legacy: bool) -> None:
    settings = {"warm_up_rounds": warm_up, "rounds": ROUNDS - warm_up, "legacy_early_adversary": legacy}
    method = made(settings)
    outer, latents, totals, pictures = [], [], [], []
    hook = method.meta.optimizer.register_step_pre_hook
    hook(lambda *_: outer.append([p.grad.clone() for p in method.meta.parameters]))
    method.source.optimizer.register_step_pre_hook(lambda *_: latents.append(method.images.drawn.grad.clone()))
    update, add = method.source.update, method.pool.add
    method.source.update = lambda loss: (totals.append(loss.detach()), update(loss))
    method.pool.add = lambda images, labels: (pictures.append(images), add(images, labels))

    for step, (_, terms) in enumerate(synthesise(method)):
        row = SOURCE["losses"][step]
        same_losses([terms.get(name, torch.zeros(())) for name in TERMS], row[:-1])
        same_losses(totals[step : step + 1], row[-1:])
        same_tensor(latents[step], SOURCE["grad_z"][step])
    for number in range(ROUNDS):
        same_tensors(outer[number], SOURCE.group(f"round/{number}/outer_grad"))
        same_tensor(pictures[number], SOURCE[f"round/{number}/pictures"])
    same_tensors(method.meta.parameters, SOURCE.group("round/2/after"))
    assert not method.task.stored


def test_the_meta_generator_keeps_its_running_statistics() -> None:
    method = made({"warm_up_rounds": 1, "rounds": 2})
    synthesise(method)
    stored = SOURCE.group("meta")
    for (name, expected), own in zip(stored.items(), state(method.meta.module), strict=True):
        assert own.equal(expected) == ("running" in name), name


@pytest.mark.parametrize(("legacy", "numbers"), [(False, [0, 0]), (True, [-1, -1, 0, 0])])
def test_the_adversary_joins_after_the_warm_up(legacy: bool, numbers: list[int]) -> None:
    method = made({"warm_up_rounds": 2, "rounds": 1, "legacy_early_adversary": legacy})
    assert [number for number, terms in synthesise(method) if "adversarial" in terms] == numbers
