"""Precision of a step: updates are seen by the next forward pass, and only the teacher's targets change format."""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.cases import all_methods
from support.tiny_task import CPU, make_method, run_stages, untrained_classifier
from torch import nn

from okdbench import registry
from okdbench.core import devices
from okdbench.core.protocol import Track
from okdbench.distill.accounting import Meter
from okdbench.distill.networks.folding import folded
from okdbench.distill.optim import Learner, adam

Context = Callable[[], AbstractContextManager[Any]]


def stale_updates(method: str, context: Context, monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each update of two steps of each stage: whether the network's next forward pass uses older weights."""
    found: list[bool] = []
    step = Learner._step

    def checked(learner: Learner, clip: float = 0.0) -> None:
        step(learner, clip)
        layer = next((m for m in learner.module.modules() if type(m) in (nn.Linear, nn.Conv2d)), None)
        if layer is None:  # pixels
            return
        fresh = copy.deepcopy(layer).to(torch.bfloat16)
        shape = (1, layer.in_features) if isinstance(layer, nn.Linear) else (1, layer.in_channels, 9, 9)
        with torch.no_grad():
            found.append(not torch.equal(layer(torch.ones(shape)), fresh(torch.ones(shape).to(torch.bfloat16))))

    monkeypatch.setattr(Learner, "_step", checked)
    has_rounds = "synthesis_steps" in registry.load_method(method).Hyperparameters.model_fields
    # the student's first step is the second of a round
    made = make_method(method, {"synthesis_steps": 1} if has_rounds else None, track=Track.LABELLED)
    made.stages = lambda stages=made.stages: [within(stage, context) for stage in stages()]  # type: ignore[method-assign]
    run_stages(made, steps=2)
    return found


def within(stage: Any, context: Context) -> Any:
    """The stage with each step in a context of its own, as the training loop has it."""

    def step(*batches: Any) -> Any:
        with context():
            return stage.step(*batches)

    return replace(stage, step=step)


@pytest.mark.parametrize("method", all_methods("ltr"))
def test_an_update_in_bfloat16_is_seen_by_the_next_forward_pass_of_the_step(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = stale_updates(method, devices.autocast(CPU, "bfloat16"), monkeypatch)
    assert bool(found) == (method != "teacher")
    assert not any(found)


def test_autocast_with_its_cache_would_train_on_stale_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    found = stale_updates("dfad", lambda: torch.autocast("cpu", torch.bfloat16), monkeypatch)
    assert any(found)


# The teacher's targets


@pytest.mark.parametrize("name", ["test_resnet", "test_byobnet", "resnet18", "mobilenetv3_small_100", "test_vit"])
def test_a_folded_network_has_no_batch_norm_and_the_same_logits(name: str) -> None:
    net = untrained_classifier(1, name).lock().net
    before = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    made = folded(net, torch.randn(2, 3, 32, 32))
    images = torch.randn(4, 3, 32, 32)
    torch.testing.assert_close(made(images), net(images), rtol=1e-3, atol=1e-3 * float(net(images).abs().max()))
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in made.modules())
    assert all(torch.equal(tensor, before[key]) for key, tensor in net.state_dict().items())


class Shared(nn.Module):
    """A convolution that is read by a batch norm and by a sum, so that it cannot be folded."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.conv(x)
        return (self.norm(features) + features).mean((2, 3))


def test_what_cannot_be_folded_stays_as_it_is() -> None:
    net = Shared()
    net.norm.running_mean.fill_(3)  # type: ignore[union-attr]
    net.eval()
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(folded(net, images)(images), net(images))


def test_only_targets_are_in_bfloat16() -> None:
    teacher = untrained_classifier(1).lock()
    images = torch.rand(8, 3, 32, 32)
    logits = teacher(images)
    assert torch.equal(teacher.targets(images), logits)
    state = [*teacher.state_dict()]
    teacher.make_targets_fast(32)
    targets = teacher.targets(images)
    assert torch.equal(teacher(images), logits)
    assert targets.dtype == torch.float32
    assert 0 < (targets - logits).abs().max() < 0.05 * logits.abs().max()
    assert [*teacher.state_dict()] == state
    meter = Meter()
    meter.watch("teacher", teacher)
    teacher.targets(images)
    assert meter.traffic()["teacher"]["forward"] == 8


SLOW = [pytest.param(method, marks=pytest.mark.slow) for method in ("ltr", "mosaickd", "augkd")]


@pytest.mark.parametrize("method", ["dfad", "kd", *SLOW])
def test_a_method_in_each_precision_has_the_same_bits_twice_and_others_in_another(method: str) -> None:
    results = {}
    for precision in ("float32", "bfloat16-targets", "bfloat16"):
        for repetition in range(2):
            made = make_method(method, track=Track.LABELLED)
            if precision != "float32":
                made.teacher.make_targets_fast(32)
            stages = [within(stage, devices.autocast(CPU, precision)) for stage in made.stages()]
            made.stages = lambda stages=stages: stages  # type: ignore[misc]
            losses = run_stages(made, steps=2)
            # Losses too: the gradient of an L1 distance has signs alone, which rounded targets need not change.
            values = torch.tensor([value for step in losses for value in step.values()])
            results[precision, repetition] = torch.cat(
                [values, *(p.detach().flatten() for p in made.student.parameters())]
            )
        assert torch.equal(results[precision, 0], results[precision, 1])
    assert not torch.equal(results["float32", 0], results["bfloat16-targets", 0])
    assert not torch.equal(results["bfloat16", 0], results["bfloat16-targets", 0])


def test_float32_is_not_rounded_to_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True
    devices.choose("cpu")
    assert not torch.backends.cudnn.allow_tf32
    assert not torch.backends.cuda.matmul.allow_tf32


def test_learners_step_by_given_gradients() -> None:
    layer = nn.Linear(2, 1)
    learner = Learner(layer, adam(layer, 0.5), None, Meter())
    before = layer.weight.detach().clone()
    learner.update_by([torch.ones_like(layer.weight), torch.zeros_like(layer.bias)])
    assert torch.allclose(layer.weight, before - 0.5)
