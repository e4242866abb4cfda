"""4Ds: what each update moves, what it reduces to, its switches, and the networks that it refuses."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from support.tiny_task import batch, make_method, state
from torch import Tensor

from okdbench.api import Batch, Clock, HyperparameterError, Losses, Track, UserError, sgd
from okdbench.distill.losses import kl
from okdbench.distill.networks.fourier import phases, transform
from okdbench.distill.optim import clone_state, cosine


def make(settings: dict[str, Any] | None = None, **task: Any) -> Any:
    """The method in the labelled track, with its student in train mode and its stage begun."""
    method: Any = make_method("4ds", settings, track=Track.LABELLED, **task)
    method.student.train()
    method.begin()
    return method


def pair(method: Any, step: int = 0) -> tuple[Tensor, Tensor]:
    """Images and labels of a step."""
    made = batch(step, method.task.batch_size, method.task)
    return made.images, made.labels


def take(method: Any, steps: int = 1, labels: Tensor | None = None) -> Losses:
    """So many steps; the losses of the last one."""
    for step in range(steps):
        method.set_clock(Clock(step, method.steps))
        images, given = pair(method, step)
        losses: Losses = method.step(Batch(images, given if labels is None else labels))
    return losses


def weights(module: torch.nn.Module) -> Tensor:
    return torch.cat([p.detach().flatten() for p in module.parameters()])


# What moves


@pytest.mark.parametrize(("teacher", "student"), [("test_resnet", "test_resnet"), ("resnet18", "wrn_16_1")])
def test_a_step_moves_adapters_student_and_what_compares_them_and_not_the_teacher(teacher: str, student: str) -> None:
    method = make(teacher=teacher, student=student)
    trained = [*method.adapted.parameters, *method.learner.parameters]
    assert {*trained} == {
        p for part in (method.adapted.module, method.student, method.distance) for p in part.parameters()
    }
    before, frozen = [p.detach().clone() for p in trained], state(method.task.teacher)
    take(method, 2)  # some branches begin with a factor of 0
    assert [p.shape for p, old in zip(trained, before, strict=True) if torch.equal(p, old)] == []
    assert state(method.task.teacher) == frozen
    assert not any(module.training for module in method.task.teacher.modules())


@pytest.mark.parametrize(("frozen", "moved"), [("adapted", "learner"), ("learner", "adapted")])
def test_each_loss_moves_its_own_network_alone(frozen: str, moved: str) -> None:
    """Without the other update a network gets the same one, and the other network stays as it is."""
    start, both, one = make(), make(), make()
    getattr(one, frozen).update = lambda _loss: None
    take(both)
    take(one)
    before, usual, now = (
        {name: weights(getattr(m, name).module) for name in (frozen, moved)} for m in (start, both, one)
    )
    assert torch.equal(now[moved], usual[moved])
    assert not torch.equal(now[moved], before[moved])
    assert torch.equal(now[frozen], before[frozen])


def test_the_teacher_changes_what_the_student_learns() -> None:
    one, other = make(), make()
    with torch.no_grad():
        other.teacher.net.get_classifier().bias[0] += 1
    take(one)
    take(other)
    assert state(one.student) != state(other.student)


# What it is


def test_losses_are_those_of_the_equations() -> None:
    method = make({"temperature": 3.0})
    images, labels = pair(method)
    student, adapted = copy.deepcopy(method.student), copy.deepcopy(method.adapted.module)
    output = student.forward_with_features(images, "stages")
    logits, target = adapted(images)
    losses = take(method)
    expected = {
        "cross_entropy": F.cross_entropy(output.logits, labels),
        "kl": kl(logits, output.logits, 3.0),
        "adapters_cross_entropy": F.cross_entropy(logits, labels),
        "adapters_kl": kl(output.logits, logits, 3.0),
    }
    own = torch.cat([F.adaptive_avg_pool2d(phases(transform(output.stages[i])), 4) for i in (1, 2)], 1)
    other = torch.cat([F.adaptive_avg_pool2d(target[i], 4) for i in (0, 1)], 1)
    # a new gate is close to a half
    assert losses.pop("phase").item() == pytest.approx(0.25 * F.mse_loss(own, other).item(), rel=0.1)
    assert {name: loss.item() for name, loss in losses.items()} == pytest.approx(
        {name: loss.item() for name, loss in expected.items()}, rel=1e-5
    )


def test_each_network_minimises_the_weighted_sum_of_its_terms() -> None:
    method, totals = make({"soft": 0.7, "phase": 0.3}), []
    for learner in (method.adapted, method.learner):
        learner.update = totals.append
    losses = take(method)
    assert [total.item() for total in totals] == pytest.approx([
        (losses["adapters_cross_entropy"] + 0.7 * losses["adapters_kl"]).item(),
        (losses["cross_entropy"] + 0.7 * losses["kl"] + 0.3 * losses["phase"]).item(),
    ])  # fmt: skip


def test_without_teacher_terms_it_is_fine_tuning() -> None:
    method = make({"soft": 0.0, "phase": 0.0, "legacy_no_decay": True})
    student = copy.deepcopy(method.student)
    optimizer = sgd(student, 0.01, weight_decay=5e-4)
    take(method, 3)
    for step in range(3):
        images, labels = pair(method, step)
        optimizer.zero_grad()
        F.cross_entropy(student(images), labels).backward()
        optimizer.step()
    assert state(method.student) == state(student)


def test_images_without_a_label_have_no_cross_entropy_and_all_other_terms() -> None:
    method = make()
    before = weights(method.student), weights(method.adapted.module)
    losses = take(method, labels=torch.full((16,), -1))
    assert losses["cross_entropy"] == losses["adapters_cross_entropy"] == 0
    assert min(losses[name].item() for name in ("kl", "adapters_kl", "phase")) > 0
    assert not torch.equal(weights(method.student), before[0])
    assert not torch.equal(weights(method.adapted.module), before[1])


def test_half_of_the_channels_are_projected() -> None:
    method = make(teacher="lenet5_bn", student="lenet5_half_bn")
    assert method.places == [-3, -2], "the last map is one pixel"
    assert [tuple(p.weight.shape[:2]) for p in method.distance.projections] == [(6, 3), (16, 8)]
    assert len(method.adapted.module.adapters) == 3
    assert not [*make().distance.projections.parameters()]


@pytest.mark.parametrize(("settings", "adapters", "places"), [
    ({}, 4, [-4, -3]), ({"depth": 2, "smallest_map": 1}, 2, [-2, -1]), ({"depth": 5, "smallest_map": 5}, 5, [-5, -4]),
])  # fmt: skip
def test_stages_are_counted_from_the_last(settings: dict[str, Any], adapters: int, places: list[int]) -> None:
    method = make(settings)
    assert (len(method.adapted.module.adapters), method.places) == (adapters, places)


# Schedules, length and switches


@pytest.mark.parametrize("constant", [False, True])
def test_learning_rates_follow_the_schedules(constant: bool) -> None:
    method = make({"legacy_no_decay": constant}, images=12 * 16)
    rates = []
    for _ in range(method.steps):
        rates.append((method.learner.lr, method.adapted.lr))
        take(method)
    decay = [1] * 4 + [0.1] * 3 + [0.01] * 3 + [0.001] * 2
    assert [rate for rate, _ in rates] == pytest.approx([0.01 * (1 if constant else share) for share in decay])
    assert [rate for _, rate in rates] == pytest.approx([1e-3 * cosine(12)(step) for step in range(12)])


def test_epochs_replace_the_budget() -> None:
    assert make({"epochs": 3}).steps == 3 * 64 // 16
    assert make(images=320).steps == 20


def test_the_switch_of_batch_norm_trains_with_statistics_of_the_batch_in_a_copy() -> None:
    method = make({"legacy_teacher_bn": True})
    shared, own = method.task.teacher, method.teacher
    before, weights_before = clone_state(shared), weights(shared)
    images, labels = pair(method)
    reference, adapted = copy.deepcopy(own), copy.deepcopy(method.adapted.module)
    adapted._classifier, adapted._layers = (reference,), tuple(reference.stage_layers()[1:])
    reference.net.train()
    logits, _ = adapted(images)
    losses = take(method)
    assert losses["adapters_cross_entropy"].item() == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-5)
    assert losses["adapters_cross_entropy"].item() != pytest.approx(
        take(make())["adapters_cross_entropy"].item(), rel=0.01
    )
    changed = {name for name, value in own.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if "running" in name or "num_batches" in name}
    assert torch.equal(weights(own), weights_before)
    assert all(torch.equal(value, before[name]) for name, value in shared.state_dict().items())
    assert not shared.net.training
    assert method.state["teacher"] is own
    assert method.task.meter.traffic()["teacher"]["backward"] == 16
    assert make().teacher is not own
    assert "teacher" not in make().state


@pytest.mark.parametrize("own_teacher", [False, True])
def test_what_is_registered_is_all_that_continues(own_teacher: bool) -> None:
    settings = {"legacy_teacher_bn": own_teacher}
    whole = make(settings)
    take(whole, 2)
    saved = {name: copy.deepcopy(part.state_dict()) for name, part in whole.state.items()}
    resumed = make(settings)
    for name, part in resumed.state.items():
        part.load_state_dict(saved[name])
    for method in (whole, resumed):
        take(method)
    assert state(resumed.student) == state(whole.student)
    assert state(resumed.adapted.module) == state(whole.adapted.module)
    assert state(resumed.teacher) == state(whole.teacher)


# Networks that it refuses


def test_a_teacher_without_feature_maps_is_refused() -> None:
    with pytest.raises(UserError, match=r"the teacher has no stages with feature maps.*choose a convolutional network"):
        make(teacher="test_vit")


@pytest.mark.parametrize(("settings", "student"), [({}, "test_vit"), ({"smallest_map": 40}, "test_resnet")])
def test_a_student_that_cannot_be_compared_needs_no_phases(settings: dict[str, Any], student: str) -> None:
    with pytest.raises(HyperparameterError, match="no stages with feature maps of") as caught:
        make(settings, student=student)
    assert caught.value.cure == {"phase": 0}
    assert "phase" not in take(make({**settings, **caught.value.cure}, student=student))
