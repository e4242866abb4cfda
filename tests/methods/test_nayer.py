"""NAYER: the noisy layers, the given classes, and when noise and generator are drawn anew."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_task import make_method, state
from torch import Tensor

from okdbench.api import Clock

STEPS, BATCH, CLASSES = 3, 8, 3
#: four rounds of three steps of synthesis and one of the student; a batch has two sets of three classes, and two more
SIZES: dict[str, Any] = {"warm_up_rounds": 2, "rounds": 4, "synthesis_steps": STEPS, "synthesis_batch": BATCH}


def nayer(**settings: Any) -> Any:
    return make_method("nayer", {**SIZES, **settings}, images=64, batch_size=16, classes=CLASSES)


def start(method: Any, number: int) -> None:
    """Begin the round of this number."""
    method.round_number = number
    method.round.begin(method.draw_labels(), method.continues())
    method.begin_round()


def test_each_set_of_all_classes_has_a_noisy_layer_of_its_own() -> None:
    method = nayer()
    start(method, 0)
    images = method.images
    assert method.round.labels.tolist() == [0, 1, 2, 0, 1, 2, 0, 1]
    seen: list[Tensor] = []
    images.generator.seed.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    with torch.no_grad():
        images.bias.copy_(torch.randn(images.bias.shape))
        images.eval()
        made = images(method.round.labels)
        rows = images.norm(method.task.class_embeddings)
    assert made.shape == (BATCH, 3, 32, 32)
    for image, latent in enumerate(seen[0]):
        layer, label = divmod(image, CLASSES)
        torch.testing.assert_close(latent, rows[label] @ images.drawn[layer] + images.bias[layer, 0])


def test_weights_noise_and_batch_norm_learn() -> None:
    method = nayer()
    start(method, 0)
    terms = method.terms(method.render())
    assert terms.keys() == {"one_hot", "bn", "adversarial"}
    method.weighted_sum(terms).backward()
    for name, parameter in method.images.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        # a bias in front of a batch norm has no effect
        assert parameter.grad.any() or name == "generator.seed.bias", name


def test_the_warm_up_has_no_adversary() -> None:
    method = nayer()
    start(method, -1)
    assert "adversarial" not in method.terms(method.render())


def test_noise_is_drawn_in_each_round_and_the_generator_once_in_its_life() -> None:
    method = nayer(generator_life=1)
    generators, noises = [], []
    for number in range(-2, 4):
        start(method, number)
        generators.append(state(method.images.generator))
        noises.append(method.images.drawn.detach().clone())
        assert not method.images.bias.any()
    assert [generators.index(each) for each in generators] == [0, 0, 2, 2, 4, 4]
    assert all(not noise.equal(other) for i, noise in enumerate(noises) for other in noises[:i])
    assert noises[0].std().item() == pytest.approx(1, rel=0.1)


def test_a_round_of_the_release_has_ten_calls_in_the_warm_up_and_then_two() -> None:
    method = nayer(warm_up_rounds=20)
    found = []
    for method.round_number in (-20, -11, -10, -1, 0, 1, 2):
        found.append(method.released_round())
    assert found == [(0, 0), (0, 9), (1, 0), (1, 9), (2, 0), (2, 1), (3, 0)]


def test_a_generator_that_starts_anew_is_as_pytorch_makes_it() -> None:
    method = nayer(generator_life=1)
    method.images.generator.grow[0].weight.data.fill_(5.0)
    start(method, 0)
    layers = [layer for layer in method.images.modules() if getattr(layer, "weight", None) is not None]
    for layer in layers:
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm):
            assert layer.weight.eq(1).all()
            assert not layer.bias.any()
            continue
        bound = layer.weight[0].numel() ** -0.5
        assert layer.weight.abs().max() <= bound
        # of a uniform distribution
        assert layer.weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)


def kept_losses(method: Any) -> list[int]:
    """Of two rounds whose losses are 5, 4, 3 and 8, 7, 6: the step whose images each kept."""
    kept = []
    for number, losses in enumerate([(5.0, 4.0, 3.0), (8.0, 7.0, 6.0)]):
        start(method, number)
        for step, loss in enumerate(losses):
            method.keep(torch.tensor(loss), torch.full((BATCH, 3, 32, 32), float(step)))
        kept.append(int(method.round.best["images"].max()))
    return kept


def test_the_second_call_keeps_its_best_or_as_released_its_first_images() -> None:
    assert kept_losses(nayer()) == [2, 2]
    assert kept_losses(nayer(legacy_carried_best=True)) == [2, 0]


def test_a_round_puts_each_class_into_the_pool_and_the_student_learns() -> None:
    method = nayer()
    before = state(method.student)
    for stage in method.stages():
        for step in range(stage.steps):
            method.set_clock(Clock(step, stage.steps))
            stage.step()
    assert len(method.pool) == 6 * BATCH
    assert set(method.pool.sample(64, method.task.rng).labels.tolist()) == set(range(CLASSES))
    assert state(method.student) != before
