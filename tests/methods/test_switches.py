"""Switches that restore what released code does, where no fixture holds it: each does what its text says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_task import batch, make_method, run_stages, state

from okdbench.api import Batch, Clock
from okdbench.distill.losses import batch_norm_l2


@pytest.mark.parametrize("method", ["dfad", "dfq", "zskt"])
def test_a_student_that_is_the_teacher_gives_the_adversary_no_gradient(method: str) -> None:
    for switch in (False, True):
        distiller: Any = make_method(method, {"legacy_teacher_as_student": switch})
        images = torch.rand(8, 3, 32, 32, requires_grad=True)
        terms = distiller.generator_terms(images)
        (gradient,) = torch.autograd.grad(terms["adversarial"], images)
        assert (gradient.abs().max() < 1e-6) == switch


@pytest.mark.parametrize("switch", [False, True])
def test_the_cosine_of_dfq_is_at_its_lowest_after_as_many_steps_as_there_are_iterations(switch: bool) -> None:
    distiller: Any = make_method("dfq", {"legacy_cosine_overrun": switch, "data_free_steps": 6, "warm_up": 4})
    rates = []
    update = distiller.generator.update
    distiller.generator.update = lambda loss, **options: (rates.append(rate_of(distiller)), update(loss, **options))
    run_stages(distiller)
    assert len(rates) == 4 + 6
    assert rates.index(min(rates)) == (6 if switch else 9)


def rate_of(distiller: Any) -> float:
    return distiller.generator.optimizer.param_groups[0]["lr"]


def test_double_steps_are_of_half_a_batch() -> None:
    usual, released = (
        make_method("ltr", {"data_free_steps": 3, "legacy_double_steps": switch}) for switch in (False, True)
    )
    assert [stage.steps for stage in released.stages()] == [2 * stage.steps for stage in usual.stages()]
    assert released.step_images == usual.step_images // 2  # type: ignore[attr-defined]


def test_with_statistics_of_the_batch_the_networks_see_images_of_mean_0_and_deviation_1() -> None:
    for switch in (False, True):
        distiller: Any = make_method("mosaickd", {"legacy_ood_normalisation": switch})
        bright = 0.5 + batch(0, 16, distiller.task).images / 2
        seen = distiller.task.normaliser(distiller.student_view(Batch(bright, None)))
        std, mean = torch.std_mean(seen, (0, 2, 3))
        unit = torch.allclose(mean, torch.zeros(3), atol=1e-4) and torch.allclose(std, torch.ones(3), atol=1e-3)
        assert unit == switch


def test_a_sum_over_windows_weighs_more_than_64_times_the_mean_where_there_are_more() -> None:
    losses = []
    for switch in (False, True):
        distiller: Any = make_method("mosaickd", {"legacy_patch_sum": switch}, size=48)
        distiller.set_clock(Clock(0, 1))
        images = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(1))
        windows = distiller.window_logits(images).flatten(1).shape[1]
        losses.append((distiller.generator_terms(images)["local"].item(), state(distiller.discriminator.module)))
    (mean, one), (total, other) = losses
    assert one == other
    assert windows > 64
    assert total == pytest.approx(mean * windows / 64, rel=1e-4)


def test_the_students_statistics_are_kept_away_from_and_the_pixels_not_smoothed() -> None:
    usual, released = (make_method("deepinversion", {"legacy_student_bn": switch}) for switch in (False, True))
    found = []
    for distiller in (usual, released):
        distiller.task.rng.manual_seed(1)
        distiller.round.begin(distiller.draw_labels())  # type: ignore[attr-defined]
        distiller.begin_round()  # type: ignore[attr-defined]
        distiller.view = lambda images: images  # type: ignore[attr-defined]
        found.append(distiller.terms(distiller.render()))  # type: ignore[attr-defined]
    assert found[0].keys() - found[1].keys() == {"variation"}
    images = released.render()  # type: ignore[attr-defined]
    with torch.no_grad(), released.student.eval_mode():
        own = batch_norm_l2(released.student.forward_with_features(images, "biased_bn").bn, per_layer=True)
    torch.testing.assert_close(found[1]["bn"], found[0]["bn"] - 1e-3 * own)
    assert own > 0
