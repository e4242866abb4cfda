"""AuG-KD: the networks and terms that each stage trains, the effect of the teacher, and the end of stage 1."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from support.augkd_steps import (
    STAGES,
    Start,
    close,
    make_teacher,
    mean_kl,
    networks,
    record_forwards,
    run_stage,
    trial_factory,
)
from torch import Tensor

from okdbench.api import Clock, Losses
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.training.plan import Plan
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint


@pytest.fixture(scope="module")
def teacher(plan: Callable[..., Plan]) -> ClassifierWrapper:
    return make_teacher(plan())


@pytest.fixture(scope="module")
def start(plan: Callable[..., Plan], teacher: ClassifierWrapper, tmp_path_factory: pytest.TempPathFactory) -> Start:
    return trial_factory(plan(), teacher, tmp_path_factory)


# the networks that a stage trains


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_trains_its_own_networks_and_leaves_the_others_unchanged(start: Start, stage: str) -> None:
    trial = start()
    before = {name: clone_state(net) for name, net in networks(trial).items()}
    run_stage(trial, stage, 2)
    changed = {
        name
        for name, net in networks(trial).items()
        if any(not torch.equal(value, before[name][key]) for key, value in net.state_dict().items())
    }
    with_gradient = {name for name, net in networks(trial).items() if any(p.grad is not None for p in net.parameters())}
    assert changed == with_gradient == STAGES[stage]


def test_the_generators_step_changes_no_weight_of_the_student(start: Start) -> None:
    trial = start()
    weights = [p.detach().clone() for p in trial.method.student.parameters()]
    method = trial.method
    method.generator_step(method.generator.module(method.noise()))
    assert all(p.grad is None for p in trial.method.student.parameters())
    assert all(torch.equal(p, old) for p, old in zip(trial.method.student.parameters(), weights, strict=True))


def test_the_teacher_is_bit_unchanged_after_each_stage(start: Start) -> None:
    trial = start(keep="lowest_kl")
    before = clone_state(trial.method.teacher)
    assert any("running_var" in name for name in before)
    for stage in STAGES:
        run_stage(trial, stage, None)
        assert all(torch.equal(value, before[name]) for name, value in trial.method.teacher.state_dict().items())
        assert not trial.method.teacher.training


def gradient(trial: Trial, stage: str, network: str) -> Tensor:
    """The gradient of ``network`` in the first step of ``stage``."""
    run_stage(trial, stage)
    return torch.cat([p.grad.flatten() for p in networks(trial)[network].parameters() if p.grad is not None])


NO_TERM = {"adversarial": 0, "one_hot": 0, "balance": 0, "bn": 0}


@pytest.mark.parametrize(
    ("stage", "network", "settings"),
    [
        *(("data-free", "generator", NO_TERM | {term: 1}) for term in NO_TERM),
        ("data-free", "generator", NO_TERM | {"bn": 1, "bn_per_layer": True}),
        ("data-free", "student", {}),
        ("data-free", "encoder", {"prior": 0}),
        ("anchor", "anchor", {"invariance": 0, "anchor_ce": 0}),
        ("anchor", "anchor", {"invariance": 0, "anchor_ce": 0, "uncertainty": "max_softmax"}),
        ("mixup", "student", {"hard_weight": 1}),
        ("mixup", "student", {"hard_weight": 0}),
        ("mixup", "student", {"hard_weight": 0, "kd_on": "mixed_only"}),
    ],
    ids=str,
)
def test_each_term_alone_has_a_gradient(start: Start, stage: str, network: str, settings: dict[str, Any]) -> None:
    assert gradient(start(inner_steps=1, **settings), stage, network).norm() > 1e-4


def test_without_any_term_the_generator_is_not_trained(start: Start) -> None:
    trial = start(**NO_TERM)
    before = fingerprint(dict(trial.method.generator.module.named_parameters()))
    run_stage(trial, "data-free")
    assert fingerprint(dict(trial.method.generator.module.named_parameters())) == before


@pytest.mark.parametrize(
    ("stage", "network", "weight"),
    [("data-free", "encoder", "prior"), ("anchor", "anchor", "invariance"), ("anchor", "anchor", "anchor_ce")],
)
def test_a_weight_scales_the_gradient_of_its_term(start: Start, stage: str, network: str, weight: str) -> None:
    none, one, two = (gradient(start(inner_steps=1, **{weight: w}), stage, network) for w in (0.0, 1.0, 2.0))
    assert (one - none).norm() > 1e-3
    torch.testing.assert_close(two - none, 2 * (one - none), rtol=1e-2, atol=1e-3 * float((one - none).norm()))


# the effect of the teacher


def perturbed(teacher: ClassifierWrapper) -> ClassifierWrapper:
    other = copy.deepcopy(teacher)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in other.parameters():
            p.mul_(1 + 0.1 * torch.randn(p.shape, generator=generator))
    return other


@pytest.mark.parametrize(
    ("stage", "term"),
    [("data-free", "disagreement"), ("anchor", "uncertainty"), ("anchor", "anchor_ce"), ("mixup", "kl")],
)
def test_another_teacher_changes_the_loss_of_every_stage(
    start: Start, teacher: ClassifierWrapper, stage: str, term: str
) -> None:
    one, other = (run_stage(start(one_teacher), stage)[0][term] for one_teacher in (teacher, perturbed(teacher)))
    assert one != close(other)


def test_stage_3_starts_with_a_distance_to_the_teacher(start: Start) -> None:
    trial = start()
    for stage in ("data-free", "anchor"):
        run_stage(trial, stage, None)
    assert run_stage(trial, "mixup")[0]["kl"] > 0.01


def test_legacy_self_kd_leaves_the_teacher_out_of_stage_3(start: Start, teacher: ClassifierWrapper) -> None:
    students = []
    for one_teacher in (teacher, perturbed(teacher)):
        trial = start(one_teacher, legacy_self_kd=True)
        queries = record_forwards(trial.method.teacher)
        for losses in run_stage(trial, "mixup", 3):
            assert losses["kl"] == pytest.approx(0, abs=1e-4)  # no dropout: the student agrees with itself
            assert losses["cross_entropy"] > 0.1
        assert not queries
        students.append(fingerprint(clone_state(trial.method.student)))
    assert students[0] == students[1]


# the mask


@pytest.mark.parametrize("rho", [0.25, 0.6])
def test_the_mask_term_alone_brings_the_mask_to_1_minus_rho(start: Start, rho: float) -> None:
    method = start(rho=rho, anchor_steps=300, lr_anchor=1e-2).method
    mask = train_mask(method, 300)
    assert mask.mean().item() == pytest.approx(1 - rho, abs=0.03)
    assert mask.min() > 0
    assert mask.max() < 1


def test_the_mask_of_the_release_cannot_reach_1_minus_rho(start: Start) -> None:
    mask = train_mask(start(rho=0.25, anchor_steps=200, lr_anchor=1e-2, legacy_mask=True).method, 200)
    assert mask.min() == 0
    assert mask.max() < 1 / 3
    assert mask.mean() < 0.3


def train_mask(method: Any, steps: int) -> Tensor:
    """The mask in eval mode after updates on the mask term alone."""
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        z, labels = torch.randn(64, 100, generator=generator), torch.randint(10, (64,), generator=generator)
        _, mask = method.anchor.module(z, labels)
        method.anchor.update((mask.sum(1) - 100 * (1 - method.hp.rho)).abs().mean())
    with torch.no_grad():
        return method.anchor.module.eval()(torch.zeros(10, 100), torch.arange(10))[1]


# the end of stage 1


@pytest.mark.parametrize("rule", [{}, {"keep": "lowest_kl"}, {"legacy_ckpt_rule": True}], ids=str)
def test_stage_1_ends_with_the_last_state_or_that_of_the_checkpoint_rule(start: Start, rule: dict[str, Any]) -> None:
    trial = start(data_free_steps=4, lr_generator=1e-6, lr_student=1e-6, lr_encoder=1e-6, **rule)
    method = trial.method
    disagreement, loss, states = [], [], []
    student_step = method.student_step

    def with_another_bias() -> Losses:
        """Make the second state the best student and the third the worst."""
        losses = student_step()
        with torch.no_grad():
            images = method.generator.module(method.fixed_latents[0])
            unlikely = method.teacher(images).softmax(1).mean(0).argmin()
            method.student.net.get_classifier().bias[unlikely] = (6, -1, 20, 5)[method.clock.step]
        return losses

    method.student_step = with_another_bias
    for step in range(4):
        method.clock = Clock(step, 4)
        method.iteration()
        predictions, terms = evaluated(method)
        disagreement.append(np.mean([mean_kl(method.teacher(x), y) for x, y in predictions]))
        loss.append(np.mean(terms))
        states.append(all_weights(trial))
    method.stages()[0].finish()

    expected = int(np.argmin(disagreement)) if "keep" in rule else int(np.argmin(loss)) if rule else 3
    assert expected == (1 if "keep" in rule else 2 if rule else 3)
    assert len(set(states)) == 4
    assert all_weights(trial) == states[expected]


@torch.no_grad()
def evaluated(method: Any) -> tuple[list[tuple[Tensor, Tensor]], list[float]]:
    """Images of the fixed latents with the student's logits, and the generator's losses, all in eval mode."""
    generator = copy.deepcopy(method.generator.module).eval()
    images = [generator(z) for z in method.fixed_latents]
    with method.student.eval_mode():
        losses = [method.weighted_sum(method.generator_terms(x)).item() for x in images]
        return [(x, method.student(x)) for x in images], losses


def all_weights(trial: Trial) -> tuple[str, ...]:
    return tuple(fingerprint(clone_state(networks(trial)[name])) for name in ("generator", "encoder", "student"))


def test_the_checkpoint_rule_changes_nothing_but_the_cost(start: Start) -> None:
    without, scored = start(), start(keep="lowest_kl")
    for trial in (without, scored):
        run_stage(trial, "data-free", 2)
    assert all_weights(without) == all_weights(scored)
    assert scored.method.student.training
    assert scored.method.generator.module.training
    costs = [trial.meter.traffic()["student"] for trial in (without, scored)]
    assert costs[0]["learned"] == costs[1]["learned"]
    assert costs[0]["forward"] < costs[1]["forward"]
