"""What a step does in one operation for all tensors, against a loop over them: times and numbers of operations."""

from __future__ import annotations

import time
from collections.abc import Callable
from copy import deepcopy
from statistics import median
from typing import Any

import pytest
import torch
from support.scenes import Operations
from support.tiny_task import make_method

from okdbench.distill.losses import BatchStatistics, batch_norm_l2

Form = Callable[[], object]
CHANNELS = [64] * 5 + [128] * 5 + [256] * 5 + [512] * 5  # those of a resnet18


def statistics_of_batch_norms() -> tuple[Form, Form]:
    """The BN term and its gradient: norms of all layers together, or added up layer by layer."""
    statistics = [BatchStatistics(*torch.rand(4, channels).unbind()) for channels in CHANNELS]
    inputs = [part.requires_grad_() for layer in statistics for part in (layer.mean, layer.var)]

    def by_layer() -> object:
        means = [(s.mean - s.running_mean).square().sum() for s in statistics]
        variances = [(s.var - s.running_var).square().sum() for s in statistics]
        loss = torch.stack(means).sum().sqrt() + torch.stack(variances).sum().sqrt()
        return torch.autograd.grad(loss, inputs)

    return by_layer, lambda: torch.autograd.grad(batch_norm_l2(statistics), inputs)


def slow_generator() -> tuple[Form, Form]:
    """MAD's moving average of the generator."""
    method: Any = make_method("mad", {})
    slow = deepcopy(method.ema_generator)

    @torch.no_grad()
    def by_parameter() -> None:
        for average, new in zip(slow.parameters(), method.generator.module.parameters(), strict=True):
            average.lerp_(new, 0.05)

    return by_parameter, lambda: method.update_ema(0.95)


@pytest.mark.parametrize("forms", [statistics_of_batch_norms, slow_generator])
def test_one_operation_for_all(benchmark: Any, forms: Callable[[], tuple[Form, Form]]) -> None:
    plain, ours = forms()
    seconds: list[float] = []

    def before() -> None:
        began = time.perf_counter()
        plain()
        seconds.append(time.perf_counter() - began)

    benchmark.pedantic(ours, setup=before, rounds=200, warmup_rounds=20)
    counts = []
    for form in (plain, ours):
        with Operations() as operations:
            form()
        counts.append(operations.total)
    assert counts[1] < counts[0]
    ratio = median(seconds) / (benchmark.stats.stats.median if benchmark.enabled else 1.0)
    benchmark.extra_info |= {"ratio": round(ratio, 2), "operations before": counts[0], "operations": counts[1]}
