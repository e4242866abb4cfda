"""Steps of two versions of okdbench, in turns: ``python tests/benchmarks/two_versions.py OLDER NEWER``.

OLDER and NEWER are folders with a checkout each. Two processes, one of each version, make the first stage's steps of a
method alternately, so that a busy machine slows both equally. Each version has its own default hyper-parameters.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from statistics import median

#: those that have a generator, whose width the scenes set
METHODS = ("augkd", "mosaickd", "mad", "dfkd", "dfq", "dfad", "dafl", "zskt", "replay", "ltr")
WARM_UP, ROUNDS = 2, 9
#: a step for each line that comes in; answers its seconds
STEPS = """
import sys, time, torch
from support.scenes import SMALL, REPLAYED, Scene, stepper
torch.set_num_threads(1)
name = sys.argv[1]
step = stepper(Scene(name, SMALL, settings=tuple(REPLAYED.items()) if name in ("ltr", "replay") else ()).build())
for _ in sys.stdin:
    began = time.perf_counter()
    step()
    print(time.perf_counter() - began, flush=True)
"""


def compare(method: str, checkouts: Sequence[Path]) -> list[float]:
    """Median seconds of a step in each checkout."""
    children = [_child(method, checkout) for checkout in checkouts]
    rounds = [[_seconds(child) for child in children] for _ in range(WARM_UP + ROUNDS)][WARM_UP:]
    for child in children:
        child.communicate()
    return [median(seconds) for seconds in zip(*rounds, strict=True)]


def _child(method: str, checkout: Path) -> subprocess.Popen[str]:
    paths = os.pathsep.join(map(str, (checkout, checkout / "tests")))
    return subprocess.Popen(
        [sys.executable, "-c", STEPS, method],
        cwd=checkout,
        env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def _seconds(child: subprocess.Popen[str]) -> float:
    assert child.stdin
    assert child.stdout
    print(file=child.stdin, flush=True)
    return float(child.stdout.readline())


if __name__ == "__main__":
    older, newer = (Path(path).resolve() for path in sys.argv[1:])
    print("| method | steps per second, older | newer | time, newer / older |\n|---|---:|---:|---:|")
    for name in METHODS:
        before, after = compare(name, (older, newer))
        print(f"| {name} | {1 / before:.1f} | {1 / after:.1f} | {after / before:.2f} |", flush=True)
