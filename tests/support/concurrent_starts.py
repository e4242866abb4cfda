"""Starts one run many times at once: ``python herd.py NUMBER RUNS DATA_ROOT``.

One process imports everything and forks NUMBER times. Each fork has its own memory, signals, files and locks, and
calls ``okdbench.run`` when all are there, or as many as fit into the memory: a scout, which has a folder of its own,
shows how much one takes. Standard output gets one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import torch
from test_concurrent_starts import note_trainings, trainings

import okdbench
import okdbench.training.runner
from okdbench.training.plan import make_plan

#: a data set of its own, small enough for a thousand copies in memory
FEW = """
import numpy as np
from okdbench.data.dataset import Dataset, Sample

class Few(Dataset):
    title, licence, citation = "Few", "none", "unpublished"
    classes = ("cup", "lamp")
    domains = {"S": "studio", "P": "phone"}
    settings = ("S-P",)

    def samples(self, domain, root):
        rng = np.random.default_rng(len(domain))
        pixels = rng.integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
        return [Sample(f"{domain}/{i:02d}", i % 2, picture) for i, picture in enumerate(pixels)]
"""


#: share of the free memory that the forks may take
SHARE = 0.8


def main(number: int, runs: Path, data_root: Path) -> None:
    runs.parent.mkdir(parents=True, exist_ok=True)
    (runs.parent / "few.py").write_text(FEW)
    options = {
        "method": "kd", "dataset": str(runs.parent / "few.py"), "budget": "smoke", "device": "cpu", "image_size": 32,
        "teacher": "test_resnet", "student": "test_resnet",
    }  # fmt: skip
    torch.set_num_threads(1)
    make_plan(options, data_root=data_root)  # decodes the pictures and imports the method
    gc.collect()
    gc.freeze()  # so that no fork writes to all of the memory that it shares
    alone = partial(_run, data_root=data_root, notes=runs.parent / "scout", options=options)
    size = _most_memory(_fork(partial(alone, runs.parent / "scouted")))
    at_once = min(number, int(SHARE * _free_mib() / max(1, size)))
    began = time.monotonic()
    notes = runs.parent / "notes"
    codes = _start(number, at_once, partial(_run, runs, data_root=data_root, notes=notes, options=options))
    seen = {"started": number, "at_once": at_once, "mib_each": size, "codes": codes, "trained": trainings(notes)}
    print(json.dumps({**seen, "seconds": round(time.monotonic() - began, 1)}))


def _start(number: int, at_once: int, work: Callable[[], int]) -> Counter[int]:
    """Exit codes of ``number`` forks; ``at_once`` of them begin together, each of the others when one has ended."""
    gate, opened = os.pipe()

    def wait_and_work() -> int:
        os.close(opened)
        os.read(gate, 1)
        return work()

    alive = {_fork(wait_and_work) for _ in range(at_once)}
    os.close(opened)  # all of them read the end of the file now
    left, codes = number - at_once, Counter[int]()
    while alive:
        child, status = os.wait()
        alive.remove(child)
        codes[os.waitstatus_to_exitcode(status)] += 1
        if left:
            left -= 1
            alive.add(_fork(work))
    return codes


def _fork(work: Callable[[], int]) -> int:
    child = os.fork()
    if not child:
        os._exit(work())
    return child


def _run(runs: Path, data_root: Path, notes: Path, options: dict[str, Any]) -> int:
    note_trainings(runs, notes)
    try:
        record = okdbench.run(runs=runs, data_root=data_root, **options)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)
        return 1
    return 0 if record.status == "done" else 3


def _most_memory(child: int) -> int:
    """MiB that a process had to itself at most, by its end."""
    most = 0
    while not os.waitpid(child, os.WNOHANG)[0]:
        with suppress(OSError):  # it ends while we look
            lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            most = max(most, sum(int(line.split()[1]) for line in lines if line.startswith("Private")) // 1024)
        time.sleep(0.02)
    return most


def _free_mib() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).absolute(), Path(sys.argv[3]))
