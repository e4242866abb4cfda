"""AuG-KD: effects of hyper-parameters and legacy switches, and the student's budget."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from support.augkd_steps import (
    BATCH_SIZE,
    SPLIT_SIZE,
    STAGES,
    Start,
    make_teacher,
    record_updates,
    run_stage,
    trial_factory,
)
from support.tiny_task import another
from torch.optim.lr_scheduler import ConstantLR, CosineAnnealingLR, LRScheduler

from okdbench.core.errors import UserError
from okdbench.distill.optim import clone_state
from okdbench.methods.augkd import AuGKD
from okdbench.training.plan import Plan
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint

SWITCHES = {
    "legacy_self_kd",
    "legacy_unnormalised_real",
    "legacy_inv_sum",
    "legacy_mask",
    "legacy_ckpt_rule",
    "legacy_sched",
}


@pytest.fixture(scope="module")
def start(plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> Start:
    return trial_factory(plan(), make_teacher(plan()), tmp_path_factory)


# learning rates


def rates(trial: Trial) -> dict[str, list[float]]:
    """The learning rate of every update of a whole run, divided by the learner's hyper-parameter."""
    method, hp = trial.method, trial.method.hp
    learners = {name: getattr(method, name) for name in ("generator", "encoder", "learner", "anchor", "mixup_learner")}
    recorded = {name: record_updates(learner)[1] for name, learner in learners.items()}
    for stage in STAGES:
        run_stage(trial, stage, None)
    base = {"generator": hp.lr_generator, "encoder": hp.lr_encoder, "anchor": hp.lr_anchor}
    return {name: [lr / base.get(name, hp.lr_student) for lr in values] for name, values in recorded.items()}


def half_cosine(updates: int) -> list[float]:
    return [0.5 * (1 + math.cos(math.pi * i / updates)) for i in range(updates)]


def of_pytorch(scheduler: type[LRScheduler], updates: int, **settings: Any) -> list[float]:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    schedule = scheduler(optimizer, **settings)
    values = []
    for _ in range(updates):
        values.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return values


def test_learning_rates_fall_to_0_over_all_updates_and_stage_3_is_constant(start: Start) -> None:
    trial = start(anchor_steps=7)
    learning_rates = rates(trial)
    assert {name: len(values) for name, values in learning_rates.items()} == {
        "generator": 3, "encoder": 6, "learner": 6, "anchor": 7, "mixup_learner": 9
    }  # fmt: skip
    for name in ("generator", "encoder", "learner", "anchor"):
        assert learning_rates[name] == pytest.approx(half_cosine(len(learning_rates[name])))
        assert getattr(trial.method, name).lr == pytest.approx(0, abs=1e-12)
    assert learning_rates["mixup_learner"] == pytest.approx([1.0] * 9)


def test_legacy_sched_restores_the_learning_rates_of_the_release(start: Start) -> None:
    learning_rates = rates(start(anchor_steps=12, legacy_sched=True))
    assert learning_rates["generator"] == pytest.approx(half_cosine(3))
    assert learning_rates["learner"] == pytest.approx(half_cosine(6))
    assert learning_rates["encoder"] == pytest.approx([1.0] * 6)
    assert learning_rates["mixup_learner"] == pytest.approx(of_pytorch(ConstantLR, 9))
    assert learning_rates["mixup_learner"] == pytest.approx([1 / 3] * 5 + [1.0] * 4)
    epochs = 12 * BATCH_SIZE // SPLIT_SIZE
    assert learning_rates["anchor"] == pytest.approx(of_pytorch(CosineAnnealingLR, 12, T_max=epochs), abs=1e-6)
    assert learning_rates["anchor"][epochs] == pytest.approx(0, abs=1e-6)
    assert learning_rates["anchor"][2 * epochs] == pytest.approx(1)


def test_legacy_sched_is_the_full_cosine_for_the_anchor_with_one_batch_per_epoch(start: Start) -> None:
    trial = start(batch_size=SPLIT_SIZE, anchor_steps=12, legacy_sched=True)
    assert rates(trial)["anchor"] == pytest.approx(half_cosine(12))


# hyper-parameters


def whole_run(trial: Trial) -> dict[tuple[str, str], list[float]]:
    """Run all stages; (stage, term) -> its values."""
    values: dict[tuple[str, str], list[float]] = {}
    for stage in STAGES:
        for losses in run_stage(trial, stage, None):
            for term, value in losses.items():
                values.setdefault((stage, term), []).append(value)
    return values


ANCHOR = {("anchor", term) for term in ("uncertainty", "invariance", "anchor_ce")}
MIXUP = {("mixup", term) for term in ("cross_entropy", "kl")}
ENCODER = {("data-free", term) for term in ("latent_regression", "prior")}


def test_the_switches_are_those_of_the_card_and_off(start: Start) -> None:
    fields = AuGKD.Hyperparameters.model_fields
    assert {name for name in fields if name.startswith("legacy_")} == SWITCHES
    assert {deviation.switch for deviation in AuGKD.deviations()} - {""} == SWITCHES
    hp = start().method.hp
    assert not any(getattr(hp, name) for name in SWITCHES)


#: with these, stage 2 has no effect on stage 3
NO_ANCHOR = {"use_anchor": False, "anchor_steps": 8}


@pytest.fixture(scope="module")
def without(start: Start) -> dict[tuple[str, str], list[float]]:
    return whole_run(start(**NO_ANCHOR))


@pytest.mark.parametrize(
    ("switch", "affected"),
    [
        ("legacy_self_kd", MIXUP),
        ("legacy_unnormalised_real", MIXUP),
        ("legacy_inv_sum", ANCHOR),
        ("legacy_mask", ANCHOR),
        ("legacy_sched", ENCODER | ANCHOR | MIXUP),
    ],
)
def test_a_switch_affects_its_own_stage_and_no_other(
    start: Start, without: dict[tuple[str, str], list[float]], switch: str, affected: set[tuple[str, str]]
) -> None:
    switched = whole_run(start(**NO_ANCHOR, **{switch: True}))
    assert without.keys() == switched.keys()
    assert {term for term in without if without[term] != switched[term]} == affected


def test_legacy_ckpt_rule_leaves_the_losses_of_stage_1_alone(
    start: Start, without: dict[tuple[str, str], list[float]]
) -> None:
    switched = whole_run(start(**NO_ANCHOR, legacy_ckpt_rule=True))
    assert [term for term in without if term[0] == "data-free" and without[term] != switched[term]] == []


#: these have an effect only if an earlier state has a better score; test_augkd_stages.py covers it
CHECKPOINT_RULES = {"keep", "candidates", "legacy_ckpt_rule"}


#: the mask term has a gradient of constant size, so the target has to move to the other side of the first mask
FAR = {"rho": 0.75}


def trained(trial: Trial) -> str:
    whole_run(trial)
    return fingerprint(clone_state(trial.method.student))


@pytest.fixture(scope="module")
def reference(start: Start) -> str:
    return trained(start())


def test_a_run_is_reproducible(start: Start, reference: str) -> None:
    assert trained(start()) == reference


@pytest.mark.slow
@pytest.mark.parametrize("key", sorted(AuGKD.Hyperparameters.model_fields.keys() - CHECKPOINT_RULES))
def test_every_hyperparameter_reaches_the_student(start: Start, reference: str, key: str) -> None:
    value = getattr(start().method.hp, key)
    changed = FAR.get(key, another(value, AuGKD.Hyperparameters.model_fields[key]))
    assert trained(start(**{key: changed})) != reference, f"{key}={changed} instead of {value} changes nothing"


# cost


@pytest.mark.parametrize("settings", [{}, {"kd_on": "mixed_only"}, {"data_free_share": 0.8, "inner_steps": 5}], ids=str)
@pytest.mark.parametrize("images", [150, 133])
def test_the_student_learns_from_almost_its_budget_and_no_more(
    start: Start, settings: dict[str, Any], images: int
) -> None:
    trial = start(student_images=images, anchor_steps=1, **settings)
    trial.run()
    assert images - BATCH_SIZE < trial.meter.learned("student") <= images


def test_the_meter_counts_each_stage(start: Start) -> None:
    trial = start()
    counts = []
    for stage in STAGES:
        run_stage(trial, stage, None)
        counts.append(trial.meter.traffic()["student"])
    assert [stage["learned"] for stage in counts] == [3 * 2 * 8, 48, 48 + 9 * 8]
    assert [stage["backward"] for stage in counts] == [48 + 3 * 8, 72, 72 + 72]
    assert [stage["forward"] for stage in counts] == [72, 72, 144]
    assert trial.meter.traffic()["teacher"]["learned"] == 0


# refusals


def test_a_teacher_without_batch_norm_is_refused_unless_its_term_is_off(
    start: Start, plan: Callable[..., Plan]
) -> None:
    other = make_teacher(plan(), "test_convnext")
    with pytest.raises(UserError, match="no batch-norm statistics to match; it takes bn=0"):
        start(other)
    (losses,) = run_stage(start(other, bn=0), "data-free")
    assert {"adversarial", "disagreement"} < losses.keys()
    assert "bn" not in losses
