"""CMI's contrast and its memory: what learns through it, what is drawn, and what the release does when it is full."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
import torch
from support.tiny_task import make_method, untrained_classifier
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from okdbench.api import Batch, Clock, HyperparameterError
from okdbench.distill.losses import kl

STEPS, BATCH = 3, 6
SIZES: dict[str, Any] = {"rounds": 4, "synthesis_steps": STEPS, "synthesis_batch": BATCH, "pool_size": BATCH}


def cmi(**settings: Any) -> Any:
    """CMI with four rounds of three steps of synthesis and one of the student; the pool has the newest images alone."""
    return make_method("cmi", {**SIZES, **settings}, images=64, batch_size=16)


def synthesise(method: Any, rounds: int) -> list[list[Tensor]]:
    """The images of each step of some rounds, as the pool would have them."""
    made: list[list[Tensor]] = []
    terms = method.terms

    def recorded(images: Tensor) -> Any:
        made[-1].append((images.detach() * 255).round() / 255)
        return terms(images)

    method.terms = recorded
    for _ in range(rounds):
        made.append([])
        for place in range(STEPS):
            losses = method.synthesis_step(place)
            assert all(loss.isfinite() for loss in losses.values())
    return made


@pytest.mark.parametrize("temperature", [1.0, 20.0])
def test_the_student_learns_from_the_pool_at_the_temperature(temperature: float) -> None:
    method = cmi(temperature=temperature)
    synthesise(method, 1)
    drawn: list[Batch] = []
    method.task = replace(method.task, augmentation=frozenset())
    sample = method.pool.sample
    method.pool.sample = lambda *given: drawn.append(made := sample(*given)) or made
    student = copy.deepcopy(method.student)
    loss = method.distillation_step()["disagreement"]
    (batch,) = drawn
    expected = kl(method.teacher(batch.images), student(batch.images), temperature)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


# Contrast


def gradients(method: Any, loss: Tensor) -> list[Tensor | None]:
    parameters = [method.images.drawn, method.images.generator.seed.weight, method.projection[0].weight]
    return list(torch.autograd.grad(loss, parameters, allow_unused=True))


def test_images_and_projection_learn_from_the_part_alone() -> None:
    method = cmi()
    synthesise(method, 1)
    assert all(gradient.any() for gradient in gradients(method, method.terms(method.render())["contrastive"]))
    part = method.local_view
    method.local_view = lambda images: part(images.detach())
    latents, weights, projection = gradients(method, method.terms(method.render())["contrastive"])
    assert latents is None
    assert weights is None
    assert projection is not None
    assert projection.any()


def test_images_that_differ_have_a_lower_contrast_than_equal_ones() -> None:
    method = cmi()
    images = torch.rand(BATCH, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    method.view = method.local_view = lambda x: x
    method.round.begin(method.draw_labels())
    different, equal = (method.terms(x)["contrastive"] for x in (images, images[:1].expand_as(images)))
    assert different < equal
    # All cosines are 1, so each image is as likely as any other.
    assert equal.item() == pytest.approx(torch.tensor(float(BATCH)).log().item(), abs=1e-4)


def test_without_its_weight_there_is_no_contrast() -> None:
    method = cmi(contrastive=0)
    synthesise(method, 1)
    assert "contrastive" not in method.terms(method.render())
    assert not {"bank", "projection"} & method.state.keys()
    assert method.task.meter.traffic()["teacher"]["forward"] == (STEPS + 1) * BATCH


def test_another_generator_each_round_and_one_projection_for_all() -> None:
    method = cmi()
    synthesise(method, 1)
    before = [p.detach().clone() for p in method.images.parameters()]
    moments = method.source.optimizer.state
    assert set(moments) == set(method.source.parameters)
    method.begin_round()
    assert set(moments) == set(method.projection.parameters())
    for old, new in zip(before, method.images.parameters(), strict=True):
        assert not torch.equal(old, new)
    assert method.images.generator.grow[2].weight.std().item() == pytest.approx(0.02, rel=0.2)


def test_a_network_without_batch_norm_is_taken_with_what_the_refusal_names() -> None:
    with pytest.raises(HyperparameterError) as refused:
        make_method("cmi", SIZES, teacher="test_vit")
    method: Any = make_method("cmi", {**SIZES, **refused.value.cure}, teacher="test_vit")
    method.student = untrained_classifier(2, "test_vit")
    assert set(method.synthesis_step(0)) == {"one_hot", "adversarial"}


# Memory


@pytest.mark.parametrize(("negatives", "counts"), [(4096, [0, 6, 12, 15]), (7, [0, 6, 7, 7])])
def test_features_are_drawn_once_each_and_from_filled_rows(negatives: int, counts: list[int]) -> None:
    method = cmi(negatives=negatives, bank_size=15)
    for round_, count in enumerate(counts):
        drawn = method.remembered()
        assert len(drawn) == len(drawn.unique(dim=0)) == count
        assert drawn.any(1).all()
        synthesise(method, 1)
        # The features of the kept images, which are those of the lowest loss.
        newest = method.bank[torch.arange(BATCH * round_, BATCH * (round_ + 1)) % 15]
        assert newest.equal(method.round.best["pairs"])


def test_a_memory_is_no_larger_than_what_all_rounds_make() -> None:
    assert cmi(bank_size=40_960, warm_up_rounds=2).bank.capacity == 6 * BATCH
    assert cmi(bank_size=10).bank.capacity == 10


def test_rounds_in_bfloat16_fill_the_memory() -> None:
    method = cmi()
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        synthesise(method, 2)
    assert method.bank[torch.arange(2 * BATCH)].any(1).all()


@pytest.mark.parametrize("steps", [1, pytest.param(STEPS, marks=pytest.mark.slow)])
def test_rounds_with_a_memory_read_no_value(steps: int) -> None:
    method = cmi(bank_size=2 * BATCH, synthesis_steps=steps)
    with FakeTensorMode(allow_non_fake_inputs=True):
        stage = method.stages()[-1]
        for step in range(stage.steps):
            method.set_clock(Clock(step, stage.steps))
            stage.step()
    assert method.bank.added == 4 * BATCH


# The release


def test_a_mean_over_no_image_is_nan_and_leaves_the_gradient_of_the_others() -> None:
    """Why the release keeps a round's first images and still goes on: its loss, over the images of the batch alone."""
    losses = torch.rand(BATCH, requires_grad=True)
    loss = losses[:BATCH].mean() + losses[BATCH:].mean()
    assert loss.isnan()
    assert torch.autograd.grad(loss, losses)[0].tolist() == pytest.approx([1 / BATCH] * BATCH)


def test_the_switch_restores_the_round_in_which_the_memory_is_exactly_full() -> None:
    full = 2
    size = full * BATCH
    runs = [cmi(bank_size=size, negatives=size, legacy_empty_contrast=switch) for switch in (False, True)]
    with_memory, without = (synthesise(method, full) for method in runs)
    assert all(a.equal(b) for a, b in zip(with_memory[-1], without[-1], strict=True))
    assert [len(method.remembered()) for method in runs] == [size, 0]
    ours, theirs = runs
    # A loss that falls, so that the best images are the last.
    losses = [torch.tensor(float(STEPS - place)) for place in range(2 * STEPS)]
    for method in runs:
        falling = iter(losses)
        method.weighted_sum = lambda terms, falling=falling: next(falling) + 0 * torch.stack([*terms.values()]).sum()
    ((*_, last),), ((first, *_),) = synthesise(ours, 1), synthesise(theirs, 1)
    assert ours.pool.newest(BATCH).equal(last)
    assert theirs.pool.newest(BATCH).equal(first)
    # The next round draws from the full memory, and keeps its best images.
    assert len(theirs.remembered()) == size
    ((*_, last),) = synthesise(theirs, 1)
    assert theirs.pool.newest(BATCH).equal(last)


def test_the_gradient_of_that_round_is_of_its_images_alone() -> None:
    method = cmi(bank_size=BATCH, legacy_empty_contrast=True)
    synthesise(method, 1)
    assert len(method.bank) == BATCH
    method.terms(method.render())
    alone = method.contrast(method.pairs)
    found = method.contrast(torch.cat([method.pairs, method.remembered()]))
    assert found.equal(alone)
