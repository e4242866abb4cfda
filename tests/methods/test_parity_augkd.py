"""AuG-KD, plain distillation and fine-tuning give the numbers of AuG-KD's released code, in float64."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from support import parity
from support.parity import Record, begin, load, make_method, numbers, same_tensor, same_tensors, state
from torch import Tensor

from okdbench.api import Clock
from okdbench.distill.losses import (
    batch_norm_l2,
    class_imbalance,
    energy,
    gaussian_prior,
    kl,
    least_confidence,
    one_hotness,
)
from okdbench.distill.networks.anchor import AnchorNet
from okdbench.distill.networks.generators import Encoder, Generator, sample
from okdbench.distill.networks.wrapper import BatchStatistics

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("augkd")
#: biases that batch norm takes away: their gradients are rounding errors, which Adam turns into steps. The gradient of
#: embed_data.bias is the largest, so that the running mean of the batch norm behind it follows its steps
DEAD_E = ("embed_data.bias", "encoder.5.0.bias", "encoder.0.running_mean")
DEAD_A = [f"{name}.bias" for name in ("embed_class", "mask.0", "mask.1", "mask.2", "module.1", "module.4", "module.7")]
T = TypeVar("T")

same_losses = partial(parity.same_losses, tolerance=1e-10)
same_loss = partial(parity.same_loss, tolerance=1e-10)
same_output = partial(same_tensor, tolerance=1e-10)


def label_last(layers: Sequence[T]) -> list[T]:
    """Weight and bias of the encoder's label layer and of its image layer, exchanged: the release has labels first."""
    return [*layers[2:4], *layers[:2], *layers[4:]]


def encoder_group(prefix: str) -> dict[str, Tensor]:
    return dict(label_last(list(SOURCE.group(prefix).items())))


def augkd(settings: Mapping[str, Any], noise: Sequence[Tensor] = ()) -> Any:
    """AuG-KD with the weights of the start."""
    monitor = SOURCE["stage1/monitor_z"].view(10, parity.BATCH_SIZE, -1)
    method = make_method("augkd", SOURCE, settings, noise=[monitor, *noise])
    load(method.encoder.module, encoder_group("E"))
    load(method.anchor.module, SOURCE.group("A"))
    return method


# Networks


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_networks_have_the_outputs_of_the_release(mode: str) -> None:
    generator, encoder, anchor = Generator(8, 32, 4), Encoder(8, 32, 5, 4), AnchorNet(8, 5, third_range=True)
    load(generator, SOURCE.group("G"))
    load(encoder, encoder_group("E"))
    load(anchor, SOURCE.group("A"))
    for net in (generator, encoder, anchor):
        net.train(mode == "train")
    mean, log_var = encoder(SOURCE["net/images"], SOURCE["net/labels"])
    moved, mask = anchor(SOURCE["net/z"], SOURCE["net/labels"])
    same_tensor(generator(SOURCE["net/z"]), SOURCE[f"net/G_{mode}"])
    same_output(mean, SOURCE[f"net/E_{mode}/mean"])
    same_output(log_var, SOURCE[f"net/E_{mode}/log_var"])
    same_output(sample(mean, log_var, SOURCE["net/epsilon"]), SOURCE[f"net/E_{mode}/z"])
    same_output(moved, SOURCE[f"net/A_{mode}/anchor"])
    same_output(mask, SOURCE[f"net/A_{mode}/mask"])


# Losses


def logits() -> tuple[Tensor, Tensor]:
    """The logits of teacher and student."""
    return tuple(SOURCE[f"losses/{name}"].clone().requires_grad_() for name in "ts")  # type: ignore[return-value]


def test_the_generators_loss_and_its_gradients_are_those_of_the_release() -> None:
    t, s = logits()
    mean, var = (SOURCE[f"losses/bn_{name}"].clone().requires_grad_() for name in ("mean", "var"))
    running = (SOURCE["losses/bn_running_mean"], SOURCE["losses/bn_running_var"])
    # two layers, of 6 and 8 channels
    layers = [BatchStatistics(*parts) for parts in zip(*(x.split([6, 8]) for x in (mean, var, *running)), strict=True)]
    loss = -kl(t, s) + one_hotness(t) + 20 / math.log(10) * class_imbalance(t) + batch_norm_l2(layers)
    same_loss(loss, {"t": t, "s": s, "bn_mean": mean, "bn_var": var}, SOURCE, "losses/decoder")


@pytest.mark.parametrize("temperature", [1, 10])
def test_the_divergence_and_its_gradients_are_those_of_the_release(temperature: int) -> None:
    t, s = logits()
    same_loss(kl(t, s, temperature), {"t": t, "s": s}, SOURCE, f"losses/kl_tau{temperature}")


def test_the_losses_of_encoder_anchor_and_student_are_those_of_the_release() -> None:
    t, s = logits()
    labels, mask = SOURCE["losses/labels"], SOURCE["losses/mask"]
    z, z_hat, mean, log_var = (SOURCE[f"losses/enc_{name}"] for name in ("z", "z_hat", "mean", "log_var"))
    encoder = (z_hat - z).square().sum(1).mean() + 2.5e-4 * gaussian_prior(mean, log_var)
    # summed over the batch, with the mask's target of one sample
    anchor = energy(t).sum() + (mask.sum() - 8 * 0.75).abs() + 0.1 * F.cross_entropy(t, labels, reduction="sum")
    distill = 0.5 * F.cross_entropy(s, labels) + 0.5 * kl(t, s, 10)
    for name, loss in {"encoder": encoder, "anchor": anchor, "distill": distill}.items():
        same_loss(loss, {}, SOURCE, f"losses/{name}")
    same_losses(list(energy(t)), SOURCE["losses/energy"])
    same_losses(list(least_confidence(t)), SOURCE["losses/max_softmax"])


# Stage 1


def test_iterations_of_stage_1_are_those_of_the_release() -> None:
    settings = {"balance": 20 / math.log(10), "legacy_ckpt_rule": True}
    method = augkd(settings, list(SOURCE["stage1/noise"]))
    learners = {"G": method.generator, "S": method.learner, "E": method.encoder}
    records = {name: Record(learner) for name, learner in learners.items()}
    iterate_and_score(method)
    for name, record in records.items():
        group, dead = (encoder_group, DEAD_E) if name == "E" else (SOURCE.group, ())
        same_losses(record.losses, SOURCE[f"stage1/loss_{name}"])
        same_tensors(record.gradients[0], group(f"stage1/grad_{name}"), dead)
        same_tensors(state(learners[name].module), group(f"stage1/after_{name}"), dead)
    assert not method.task.stored


def iterate_and_score(method: Any) -> None:
    """Two iterations that are not evaluated, so that the only score is that of the state after them."""
    parity.iterate(method, 2, start=1)
    assert method.best.score == math.inf
    method.evaluate_snapshot()
    same_losses([method.best.score], SOURCE["stage1/checkpoint_score"].view(1))


# Stages 2 and 3

RELEASED_2 = {"legacy_inv_sum": True, "legacy_mask": True, "legacy_sched": True, "sample_latents": True}
RELEASED_3 = {
    "legacy_self_kd": True,
    "legacy_unnormalised_real": True,
    "legacy_mask": True,
    "legacy_sched": True,
    "sample_latents": True,
}


@pytest.mark.parametrize(("part", "settings"), [("stage2", RELEASED_2), ("stage2_default", {})])
def test_steps_of_stage_2_are_those_of_the_release(part: str, settings: dict[str, bool]) -> None:
    noise = list(SOURCE["stage2/epsilon"]) if settings else []
    method = augkd({"anchor_steps": 6, **settings}, noise)
    record, stage = Record(method.anchor), begin(method, "anchor")
    for batch in SOURCE.batches("stage2") * 3:
        stage.step(batch)
    same_losses(record.losses, SOURCE[f"{part}/loss"])
    same_losses(record.rates, SOURCE["stage2/lr"] if settings else cosine(1e-3, 6))
    same_tensors(record.gradients[0], SOURCE.group(f"{part}/grad_A"), DEAD_A)
    same_tensors(state(method.anchor.module), SOURCE.group(f"{part}/after_A"), DEAD_A)
    assert not method.task.stored


def cosine(rate: float, steps: int) -> Tensor:
    return rate * (1 + torch.cos(math.pi * torch.arange(steps) / steps)) / 2


@pytest.mark.parametrize(("part", "settings"), [("stage3", RELEASED_3), ("stage3_default", {})])
def test_steps_of_stage_3_are_those_of_the_release(part: str, settings: dict[str, bool]) -> None:
    # f is 1 in the last epoch: no image is generated, and no noise is drawn
    noise = list(SOURCE["stage3/epsilon"][:6]) if settings else []
    method = augkd(settings, noise)
    record, stage = Record(method.mixup_learner), begin(method, "mixup")
    for epoch, f in enumerate(SOURCE["stage3/f"]):
        # the release's f changes once in an epoch
        method.set_clock(Clock(epoch, 4))
        same_losses([method.mixing_factor()], f.view(1))
        for batch in SOURCE.batches("stage3"):
            stage.step(batch)
    same_losses(record.losses, SOURCE[f"{part}/loss"])
    same_losses(record.rates, SOURCE["stage3/lr"] if settings else torch.full((8,), 1e-3))
    same_tensors(record.gradients[0], SOURCE.group(f"{part}/grad_S"))
    same_tensors(state(method.student), SOURCE.group(f"{part}/after_S"))
    assert not method.task.stored


# Baselines


@pytest.mark.parametrize(("name", "learner"), [("kd", lambda m: m.learner), ("finetune", lambda m: m.tuning._learner)])
def test_steps_of_the_baselines_are_those_of_the_release(name: str, learner: Callable[[Any], Any]) -> None:
    method = make_method(name, SOURCE)
    record, (stage,) = Record(learner(method)), method.stages()
    for batch in SOURCE.batches("baselines") * 2:
        stage.step(batch)
    same_losses(record.losses, SOURCE[f"baselines/{name}/loss"])
    same_tensors(record.gradients[0], SOURCE.group(f"baselines/{name}/grad_S"))
    same_tensors(state(method.student), SOURCE.group(f"baselines/{name}/after_S"))
