"""DeepInversion gives the numbers of CMI's code, which trains a student with it, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.parity import make_method, numbers, same_losses, same_tensor
from torch import Tensor

from okdbench.api import Clock

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("extras_cmi")
STEPS = 3
#: weight of each term, in the order of the stored columns
TERMS = {"bn": 10.0, "one_hot": 1.0, "adversarial": 1.0, "variation": 1e-3, "l2": 0.01}


def views() -> list[Any]:
    """The stored view of each step, as a function of images."""
    moves = zip(SOURCE["deepinversion/rolls"].tolist(), SOURCE["deepinversion/flip"].tolist(), strict=True)
    return [lambda x, m=move, f=flip: torch.roll(x, m, (2, 3)).flip(3) if f > 0.5 else torch.roll(x, m, (2, 3))
            for move, flip in moves]  # fmt: skip


def test_a_round_is_that_of_cmis_code() -> None:
    settings = {**TERMS, "synthesis_steps": STEPS, "legacy_clamped_js": True, "legacy_best_is_last": True}
    method = make_method("deepinversion", SOURCE, settings, noise=[SOURCE["deepinversion/pixels"]])
    method.draw_labels = lambda: SOURCE["deepinversion/labels"]
    moves, totals = views(), []
    method.view = lambda images: moves.pop(0)(images)
    update = method.source.update

    def recorded(loss: Tensor) -> None:
        totals.append(loss.detach())
        update(loss)
        if len(totals) == 1:
            same_tensor(method.source.parameters[0].grad, SOURCE["deepinversion/grad"])

    method.source.update = recorded
    for step in range(STEPS):
        method.set_clock(Clock(step, STEPS))
        terms = method.round_step()
        row = SOURCE["deepinversion/losses"][step]
        same_losses([terms[name] for name in TERMS], row[:-1])
        same_losses(totals[-1:], row[-1:])
    same_tensor(method.round.best["images"], SOURCE["deepinversion/result"], tolerance=1e-6)
    # The pool keeps bytes.
    assert (method.pool.newest(6) - SOURCE["deepinversion/result"]).abs().max() <= 0.5 / 255 + 1e-6
    assert not method.task.stored
