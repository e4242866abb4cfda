"""CMI gives the numbers of its released code, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.parity import load, make_method, numbers, same_losses, same_tensor, same_tensors
from torch import Tensor

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("extras_cmi")
ROUNDS = STEPS = 2
#: in the order of the stored columns
TERMS = ("bn", "one_hot", "adversarial", "contrastive")
SETTINGS = {"stem": 2, "one_hot": 0.5, "projection": 4, "synthesis_steps": STEPS}


def drawn(number: int) -> list[Tensor]:
    """The noise from which the release drew the weights of a round's generator, and the latents."""
    weights = {name: w for name, w in SOURCE.group(f"cmi/generator/{number}").items() if name.endswith("weight")}
    noise = [(weight - float(weight.ndim == 1)) / 0.02 for weight in weights.values()]
    return [*noise, SOURCE[f"cmi/z/{number}"]]


def local_view(images: Tensor) -> Tensor:
    part = images[:, :, 4:28, 4:28]
    return F.interpolate(part, (32, 32), mode="bilinear", align_corners=False).flip(3)


@pytest.fixture
def method() -> Any:
    noise = [tensor for number in range(ROUNDS) for tensor in drawn(number)]
    made = make_method("cmi", SOURCE, SETTINGS, noise=noise)
    load(made.projection, SOURCE.group("cmi/head"))
    labels = [SOURCE[f"cmi/labels/{number}"] for number in range(ROUNDS)]
    made.draw_labels = lambda: labels.pop(0)
    made.view = lambda images: torch.roll(images, (2, -1), (2, 3))
    made.local_view = local_view
    return made


def test_two_rounds_are_those_of_the_release(method: Any) -> None:
    totals: list[Tensor] = []
    update = method.source.update
    method.source.update = lambda loss: (totals.append(loss.detach()), update(loss))
    for number in range(ROUNDS):
        for place in range(STEPS):
            step = number * STEPS + place
            terms = method.synthesis_step(place)
            row = SOURCE["cmi/losses"][step]
            same_losses([*(terms[name] for name in TERMS), totals[step]], row)
            local, whole = method.pairs.chunk(2, 1)
            same_tensor(local, SOURCE["cmi/local_features"][step])
            same_tensor(whole, SOURCE["cmi/global_features"][step])
            same_tensor(method.images.drawn.grad, SOURCE["cmi/grad_z"][step])
            gradients = [parameter.grad for parameter in method.projection.parameters()]
            same_tensors(gradients, {k: g[step] for k, g in SOURCE.group("cmi/grad_head").items()})
        same_tensor(method.round.best["images"], SOURCE[f"cmi/pictures/{number}"])
    same_tensor(method.bank[torch.arange(12)], SOURCE["cmi/bank"])
    assert not method.task.stored
