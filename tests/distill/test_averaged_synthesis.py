"""The average of batch-norm statistics over rounds, and the student's learning rate of methods that have it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from support.tiny_task import make_method
from torch import Tensor

from okdbench import registry
from okdbench.api import Clock
from okdbench.core import plugins
from okdbench.distill.averaged_synthesis import AveragedSynthesis, StatisticsAverage
from okdbench.distill.losses import batch_norm_l2
from okdbench.distill.networks.wrapper import BatchStatistics

METHODS = [name for name in plugins.method_names() if issubclass(registry.load_method(name), AveragedSynthesis)]
RUNNING = torch.zeros(2), torch.ones(2)


def layer(mean: float, var: float) -> BatchStatistics:
    """Statistics of a layer of two channels."""
    return BatchStatistics(torch.full((2,), float(mean)), torch.full((2,), float(var)), *RUNNING)


def numbers(statistics: list[BatchStatistics]) -> list[float]:
    """Mean and variance of the first channel of each layer."""
    return [round(float(tensor[0]), 4) for layer in statistics for tensor in (layer.mean, layer.var)]


def test_the_average_moves_once_for_each_update() -> None:
    average = StatisticsAverage(0.9)
    assert numbers(average.blend([layer(1, 2), layer(3, 4)])) == [1, 2, 3, 4]
    assert numbers(average.blend([layer(5, 6), layer(7, 8)])) == [5, 6, 7, 8]
    average.update()
    # 0.9 of the last statistics, and a tenth of the batch's
    assert numbers(average.blend([layer(0, 0), layer(10, 20)])) == [4.5, 5.4, 7.3, 9.2]
    average.update()
    assert numbers(average.blend([layer(4.5, 5.4), layer(7.3, 9.2)])) == [4.5, 5.4, 7.3, 9.2]


def test_a_restored_average_goes_on() -> None:
    first, other = StatisticsAverage(0.5), StatisticsAverage(0.5)
    first.blend([layer(1, 2)])
    first.update()
    other.load_state_dict(first.state_dict())
    assert numbers(other.blend([layer(3, 4)])) == [2, 3]


def test_the_gradient_reaches_the_batch_alone() -> None:
    average, mean = StatisticsAverage(0.75), torch.ones(2, requires_grad=True)
    average.blend([BatchStatistics(mean, torch.ones(2), *RUNNING)])
    average.update()
    (blended,) = average.blend([BatchStatistics(mean, torch.ones(2), *RUNNING)])
    blended.mean.sum().backward()  # type: ignore[no-untyped-call]
    assert mean.grad is not None
    assert mean.grad.tolist() == [0.25, 0.25]
    assert not any(tensor.requires_grad for tensor in average.state_dict()["average"])


def rounds(method: Any) -> list[float]:
    """The student's learning rate at each of its updates in a whole main stage."""
    rates = []
    method.learner.optimizer.register_step_pre_hook(lambda *_: rates.append(method.learner.lr))
    stage = method.stages()[-1]
    for step in range(stage.steps):
        method.set_clock(Clock(step, stage.steps))
        stage.step()
    return rates


def bn_terms(method: Any) -> list[tuple[Tensor, Tensor]]:
    """In each step of synthesis, the term of the method and the one without an average."""
    found, term = [], method.bn_term

    def both(statistics: list[BatchStatistics]) -> Tensor:
        own = term(statistics)
        found.append((own.detach(), batch_norm_l2(statistics, per_layer=True).detach()))
        return own

    method.bn_term = both
    rounds(method)
    return found


@pytest.mark.parametrize("name", METHODS)
def test_the_average_counts_from_the_second_round_on(name: str) -> None:
    settings = {"rounds": 2, "synthesis_steps": 2}
    terms = bn_terms(make_method(name, settings))
    assert [float(own) == pytest.approx(float(plain)) for own, plain in terms] == [True, True, False, False]
    assert all(own.equal(plain) for own, plain in bn_terms(make_method(name, {**settings, "bn_momentum": 0.0})))


@pytest.mark.parametrize("name", METHODS)
def test_the_students_cosine_ends_above_zero(name: str) -> None:
    rates = rounds(make_method(name, {"rounds": 2, "synthesis_steps": 1, "lr_student_end": 0.1}, images=64))
    # a half cosine from 0.2 to 0.1 over four updates, of which the last has three quarters behind it
    assert rates == pytest.approx([0.2, 0.1853553, 0.15, 0.1146447])
