"""A step as it is against the same step with the usual layers: nearest-neighbour upsampling, whole kernels, and for LTR
PyTorch's batch norm and a graph through theta'.

Both forms take turns in one process, so that a busy machine slows both equally; the ratio of the medians is the gain.
"""

from __future__ import annotations

import time
from statistics import median
from typing import Any

import pytest
import torch
from support.scenes import SCENES, Operations, set_plain, stepper
from torch.utils.flop_counter import FlopCounterMode

WARM_UP = 2
ROUNDS = {"A64": 5, "A16": 7, "MO": 7, "LTR": 5, "DF": 15, "DA": 25, "L5": 15}


def peak() -> float:
    """GFLOP per second of a product of two square matrices in float32, here and now."""
    a, b = torch.randn(2, 1536, 1536)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * 1536**3 / min(seconds) / 1e9


@pytest.mark.parametrize("precision", ["float32", "bfloat16-targets"])
@pytest.mark.parametrize("name", SCENES)
def test_form(benchmark: Any, name: str, precision: str) -> None:
    method = SCENES[name].build()
    step = stepper(method)
    plain_seconds: list[float] = []

    def plain() -> None:
        set_plain(method, True)
        method.teacher._fast, fast = (), method.teacher._fast
        began = time.perf_counter()
        step()
        plain_seconds.append(time.perf_counter() - began)
        method.teacher._fast = fast
        set_plain(method, False)

    if precision != "float32":
        method.teacher.make_targets_fast(32)
    benchmark.pedantic(step, setup=plain, rounds=ROUNDS[name], warmup_rounds=WARM_UP)
    with Operations() as operations, FlopCounterMode(display=False) as flops:
        step()
    gflop, seconds = flops.get_total_flops() / 1e9, benchmark.stats.stats.median if benchmark.enabled else 1.0
    benchmark.extra_info |= {
        "ratio": round(median(plain_seconds[WARM_UP:] or [0.0]) / seconds, 2),
        "gflop": round(gflop, 1),
        "share_of_peak": round(gflop / seconds / peak(), 2),
        "operations": operations.total,
    }
