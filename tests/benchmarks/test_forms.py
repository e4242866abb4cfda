"""A step as it is against the same step without what makes it cheap: all savings together, and each of them alone.

Both forms take turns in one process, so that a busy machine slows both equally; the ratio of the medians is the gain.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Collection
from pathlib import Path
from statistics import median
from typing import Any

import pytest
import torch
from support.scenes import SAVINGS, SCENES, Operations, savings_of, set_plain, stepper
from support.tiny_task import CPU
from torch.utils.flop_counter import FlopCounterMode

from okdbench.api import Losses, Method
from okdbench.core import devices

WARM_UP = 2
ROUNDS = {"A64": 5, "A16": 7, "MO": 7, "LTR": 5, "LTR1": 5, "DF": 15, "DA": 25, "L5": 15}
TESTS = Path(__file__).parents[1]


def peak() -> float:
    """GFLOP per second of a product of two square matrices in float32, here and now."""
    a, b = torch.randn(2, 1536, 1536)
    seconds = []
    for _ in range(5):
        began = time.perf_counter()
        a @ b
        seconds.append(time.perf_counter() - began)
    return 2 * 1536**3 / min(seconds) / 1e9


def compare(
    benchmark: Any, name: str, method: Method, savings: Collection[str], precision: str = "float32"
) -> Callable[[], Losses]:
    """Benchmark the step of a scene, each round after one in float32 without these savings; the step."""
    step, autocast = stepper(method), devices.autocast(CPU, precision)
    plain_seconds: list[float] = []
    if precision != "float32":
        method.teacher.make_targets_fast(method.task.image_size)

    def plain() -> None:
        set_plain(method, savings)
        method.teacher._fast, fast = (), method.teacher._fast
        began = time.perf_counter()
        step()
        plain_seconds.append(time.perf_counter() - began)
        method.teacher._fast = fast
        set_plain(method, ())

    def ours() -> Losses:
        with autocast():
            return step()

    benchmark.pedantic(ours, setup=plain, rounds=ROUNDS[name], warmup_rounds=WARM_UP)
    seconds = benchmark.stats.stats.median if benchmark.enabled else 1.0
    benchmark.extra_info["ratio"] = round(median(plain_seconds[WARM_UP:] or [0.0]) / seconds, 2)
    return ours


@pytest.mark.parametrize("precision", ["float32", "bfloat16-targets", "bfloat16"])
@pytest.mark.parametrize("name", SCENES)
def test_all_savings(benchmark: Any, name: str, precision: str) -> None:
    step = compare(benchmark, name, SCENES[name].build(), SAVINGS, precision)
    with Operations() as operations, FlopCounterMode(display=False) as flops:
        step()
    gflop, seconds = flops.get_total_flops() / 1e9, benchmark.stats.stats.median if benchmark.enabled else 1.0
    benchmark.extra_info |= {
        "gflop": round(gflop, 1),
        "share_of_peak": round(gflop / seconds / peak(), 2),
        "operations": operations.total,
    }


@pytest.mark.parametrize("saving", SAVINGS)
@pytest.mark.parametrize("name", SCENES)
def test_one_saving(benchmark: Any, name: str, saving: str) -> None:
    method = SCENES[name].build()
    if saving not in savings_of(method):
        pytest.skip("its networks have no such layer")
    compare(benchmark, name, method, [saving])


@pytest.mark.parametrize("name", SCENES)
def test_peak_memory(benchmark: Any, name: str) -> None:
    def child(plain: bool) -> float:
        code = f"from support.scenes import peak_memory; print(peak_memory({name!r}, {plain}))"
        return float(subprocess.check_output([sys.executable, "-c", code], cwd=TESTS, text=True))

    ours = benchmark.pedantic(child, args=(False,), rounds=1)
    benchmark.extra_info |= {"MiB": round(ours), "plain": round(child(True))}
