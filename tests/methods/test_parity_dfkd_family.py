"""DAFL, ZSKT, DFAD and DFQ give the numbers of their released code, in float64, on images of okdbench's generator."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
import torch
from support.parity import Record, generate_in_eval_mode, iterate, make_method, numbers
from torch import Tensor

from okdbench.distill.networks.wrapper import BatchStatistics

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("dfkd_family")
ITERATIONS = 2


def check(method: Any, part: str, run: Callable[[], None]) -> None:
    """Assert that the updates of G and S are those of a part."""
    generator, student = Record(method.generator), Record(method.learner)
    run()
    generator.same_as(SOURCE, part, "G")
    student.same_as(SOURCE, part, "S")
    assert not method.task.stored


def test_iterations_of_dafl_are_those_of_the_release() -> None:
    method = make_method("dafl", SOURCE, {"balance": 5 / math.log(10)}, noise=SOURCE["dafl/noise"])
    check(method, "dafl", lambda: iterate(method, ITERATIONS))


def generate_for_each_step(method: Any) -> None:
    """Declared in the card: the release generates the same images in each step of S, which the running means follow."""
    generate = method.generate
    method.generate = lambda z: [generate(z) for _ in range(method.hp.inner_steps)][-1]


MEAN_REDUCTION = {"legacy_mean_reduction": True}
TRAIN_MODE = {"legacy_student_train_mode": True}


@pytest.mark.parametrize(
    ("part", "settings"),
    [
        ("zskt", MEAN_REDUCTION | TRAIN_MODE),
        ("zskt_plain", MEAN_REDUCTION | TRAIN_MODE | {"attention": 0.0, "inner_steps": 7}),
        ("zskt_eval", MEAN_REDUCTION),
    ],
)
def test_iterations_of_zskt_are_those_of_the_release(part: str, settings: Mapping[str, Any]) -> None:
    # the release draws a third noise, which it does not use
    method = make_method("zskt", SOURCE, settings, noise=SOURCE[f"{part}/noise"][:ITERATIONS])
    generate_for_each_step(method)
    check(method, part, lambda: iterate(method, ITERATIONS))


@pytest.mark.parametrize("part", ["dfad", "dfad_eval"])
def test_steps_of_dfad_are_those_of_the_release(part: str) -> None:
    method = make_method("dfad", SOURCE, noise=SOURCE[f"{part}/noise"])
    if part == "dfad":
        # the release leaves the student in train mode in G's step; dfad has no switch for it
        method.adversary_logits = method.student

    def run() -> None:
        # declared in the card: the release's generator follows the student
        for _ in range(ITERATIONS):
            for _ in range(method.hp.inner_steps):
                method.student_step()
            method.generator_step(method.generator.module(method.noise()))

    check(method, part, run)


def biased_kl(statistics: Sequence[BatchStatistics], counts: Sequence[int]) -> Tensor:
    """DFQ's batch-norm term with biased variances and without an epsilon; a count is that of a channel's values."""
    total = torch.zeros(())
    for (mean, unbiased, running_mean, running_var), count in zip(statistics, counts, strict=True):
        var = unbiased * (count - 1) / count
        ratio = var / running_var
        total = total + 0.5 * ((mean - running_mean).square() / running_var + ratio - ratio.log() - 1).sum()
    return total


@pytest.mark.parametrize("part", ["dfq", "dfq_train"])
def test_iterations_of_dfq_are_those_of_the_re_implementation(part: str) -> None:
    method = make_method("dfq", SOURCE, {"warm_up": ITERATIONS}, noise=SOURCE[f"{part}/noise"])
    # declared in the card: Nesterov's momentum, biased variances, and no epsilon
    method.learner.optimizer.param_groups[0]["nesterov"] = True
    method.priors["bn"] = lambda output: biased_kl(output.bn, [6 * 16 * 16, 6 * 8 * 8])
    if part == "dfq":
        generate_in_eval_mode(method)

    def run() -> None:
        for _ in range(method.hp.warm_up):
            method.prior_step()
        iterate(method, ITERATIONS)

    check(method, part, run)
