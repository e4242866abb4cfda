"""Rounds of synthesis: what the pool keeps, which images a round keeps, and how a round is resumed in its middle."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from support.tiny_task import CPU, make_method, state

from okdbench import registry
from okdbench.api import Clock, HyperparameterError
from okdbench.core import plugins
from okdbench.core.protocol import BUDGETS
from okdbench.distill.pool import Pool
from okdbench.distill.synthesis import Round, Synthesis

METHODS = [name for name in plugins.method_names() if issubclass(registry.load_method(name), Synthesis)]
#: of two rounds, each with three steps of synthesis and two of the student; images 0 to 5 fill a pool of twelve by half
SIZES: dict[str, Any] = {"rounds": 2, "synthesis_steps": 3, "synthesis_batch": 6, "pool_size": 12}
PERIOD = 5
STOPS = ("synthesis", "half pool", "training", "second round")


def method_of(name: str, **settings: Any) -> Any:
    return make_method(name, {**SIZES, **settings}, images=64, batch_size=16)


def run(method: Any, start: int, stop: int) -> None:
    """Some steps of the main stage."""
    stage = method.stages()[-1]
    method.student.train()
    for step in range(start, stop):
        method.set_clock(Clock(step, stage.steps))
        stage.step()


# Pool


def filled(count: int, capacity: int = 4) -> Pool:
    """A pool to which ``count`` images were added one by one; image i is i / 255 and of class i."""
    pool = Pool(capacity, 1, 2, CPU)
    for number in range(count):
        pool.add(torch.full((1, 1, 2, 2), number / 255), torch.tensor([number]))
    return pool


@pytest.mark.parametrize(("count", "kept"), [(0, []), (1, [0]), (4, [0, 1, 2, 3]), (6, [2, 3, 4, 5])])
def test_a_pool_keeps_the_newest_images(count: int, kept: list[int]) -> None:
    pool = filled(count)
    assert len(pool) == len(kept)
    assert (pool.newest(9)[:, 0, 0, 0] * 255).round().int().tolist() == kept
    drawn = pool.sample(64, torch.Generator().manual_seed(0))
    assert set(drawn.labels.tolist()) == (set(kept) or {0})
    assert ((drawn.images[:, 0, 0, 0] * 255).round().long() == drawn.labels).all()


def test_more_images_than_it_holds_leave_the_last() -> None:
    pool = Pool(4, 1, 2, CPU)
    pool.add(torch.arange(7.0).div(255).view(7, 1, 1, 1).expand(7, 1, 2, 2), torch.arange(7))
    assert (pool.newest(4)[:, 0, 0, 0] * 255).round().int().tolist() == [3, 4, 5, 6]


def test_a_pool_holds_copies() -> None:
    pool, images = Pool(2, 1, 2, CPU), torch.ones(1, 1, 2, 2)
    pool.add(images, torch.tensor([0]))
    images.zero_()
    assert pool.newest(1).min() == 1


@pytest.mark.parametrize("count", [0, 3, 6])
def test_a_pool_is_restored_and_goes_on(count: int) -> None:
    pool, other = filled(count), Pool(4, 1, 2, CPU)
    other.load_state_dict(pool.state_dict())
    for each in (pool, other):
        each.add(torch.full((1, 1, 2, 2), 9 / 255), torch.tensor([9]))
    assert other.newest(4).equal(pool.newest(4))


def test_the_file_of_a_pool_is_as_large_as_what_is_in_it() -> None:
    sizes = []
    for capacity in (4, 40_000):
        file = io.BytesIO()
        torch.save(filled(3, capacity).state_dict(), file)
        sizes.append(file.tell())
    assert sizes[1] < sizes[0] + 100


# Rounds


def test_the_tensors_of_the_lowest_loss_are_kept() -> None:
    one = Round()
    one.begin(torch.arange(2))
    for loss in (3.0, 1.0, 2.0):
        one.offer(torch.tensor(loss), {"images": torch.tensor([loss])})
    assert one.best["images"].tolist() == [1.0]
    one.offer(torch.tensor(9.0), {"images": torch.tensor([9.0])}, always=True)
    assert one.best["images"].tolist() == [9.0]


@pytest.mark.parametrize("name", METHODS)
def test_rounds_share_the_budget(name: str) -> None:
    method = method_of(name)
    assert method.stages()[-1].steps == 2 * PERIOD
    run(method, 0, 2 * PERIOD)
    assert method.task.meter.learned("student") == 64
    assert len(method.pool) == 12


@pytest.mark.parametrize("name", METHODS)
def test_a_round_may_have_a_number_of_steps_of_its_own(name: str) -> None:
    method = method_of(name, student_steps=7)
    assert method.stages()[-1].steps == 2 * (3 + 7)
    assert method.images_learned(method.hp, BUDGETS["quick"]) == 2 * 7 * BUDGETS["quick"].batch_size


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("stop", [1, pytest.param(3, marks=pytest.mark.slow), 4, PERIOD + 1], ids=STOPS)
def test_a_round_is_resumed_in_its_middle(name: str, stop: int) -> None:
    whole, before, after = (method_of(name) for _ in range(3))
    run(whole, 0, 2 * PERIOD)
    run(before, 0, stop)
    file = io.BytesIO()
    torch.save({part: stored.state_dict() for part, stored in before.state.items()}, file)
    file.seek(0)
    for part, content in torch.load(file, weights_only=True).items():
        after.state[part].load_state_dict(content)
    after.task.rng.set_state(before.task.rng.get_state())
    run(after, stop, 2 * PERIOD)
    assert state(after.student) == state(whole.student)
    assert after.pool.newest(12).equal(whole.pool.newest(12))


@pytest.mark.parametrize("name", METHODS)
def test_a_teacher_without_batch_norm_is_refused(name: str) -> None:
    with pytest.raises(HyperparameterError, match="no batch-norm statistics to match; it takes bn=0"):
        make_method(name, SIZES, teacher="test_vit")


@torch.no_grad()
def agree_less_surely(method: Any) -> None:
    """Make the student choose the teacher's classes with half of its logits: some divergences are 0 elsewhere."""
    method.student.load_state_dict(method.teacher.state_dict())
    for parameter in method.student.net.get_classifier().parameters():
        parameter.mul_(0.5)


@pytest.mark.parametrize("name", METHODS)
def test_every_term_moves_what_is_optimised(name: str) -> None:
    method = method_of(name, adversarial=1.0)
    run(method, 0, PERIOD)
    agree_less_surely(method)
    method.round.begin(method.draw_labels())
    method.begin_round()
    terms = method.terms(method.render())
    assert {"bn", "one_hot", "adversarial"} <= terms.keys()
    for term, value in terms.items():
        gradients = torch.autograd.grad(value, method.source.parameters, retain_graph=True, allow_unused=True)
        assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), term
