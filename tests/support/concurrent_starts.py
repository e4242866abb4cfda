"""Starts one run many times at once: ``python concurrent_starts.py NUMBER RUNS DATA_ROOT``.

One process imports everything and forks NUMBER times. Each fork has its own memory, signals, files and locks, and
calls ``okdbench.run`` as soon as all forks exist, or as many as fit into the memory: a first fork with a folder of its
own measures how much one needs. The result is one line of JSON on standard output.
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

import okdbench
import okdbench.training.runner
from okdbench.training.plan import make_plan
from support.fault_injection import on_write

#: a data set that is small enough for a thousand copies in memory
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
        return [Sample(f"{domain}/{i:02d}", i % 2, image) for i, image in enumerate(pixels)]
"""

#: share of the free memory that the forks may take
SHARE = 0.8


def note_trainings(runs: Path, notes: Path) -> None:
    """Create a file for each folder in which this process, or a fork of it, trains: only training writes the log."""
    notes.mkdir(exist_ok=True)

    def react(name: str) -> None:
        if name.endswith("metrics.jsonl"):
            (notes / f"{name.replace('/', '-')} {os.getpid()}").touch()

    on_write(runs, react)


def trainings(notes: Path) -> Counter[str]:
    """How many processes have trained a run, and how many a teacher."""
    return Counter("teacher" if note.name.startswith("teacher") else "run" for note in notes.iterdir())


def main(number: int, runs: Path, data_root: Path) -> None:
    runs.parent.mkdir(parents=True, exist_ok=True)
    (runs.parent / "few.py").write_text(FEW)
    options = {
        "method": "kd", "dataset": str(runs.parent / "few.py"), "budget": "smoke", "device": "cpu", "image_size": 32,
        "teacher": "lenet5_bn", "student": "lenet5_half_bn",
    }  # fmt: skip
    torch.set_num_threads(1)
    make_plan(options, data_root=data_root)  # decodes the images and imports the method
    gc.collect()
    gc.freeze()  # a collection in a fork would write to all shared pages, and so copy them
    first = partial(_run, data_root=data_root, notes=runs.parent / "first notes", options=options)
    size = _peak_memory(_fork(partial(first, runs.parent / "first runs")))
    at_once = min(number, int(SHARE * _free_mib() / max(1, size)))
    began = time.monotonic()
    notes = runs.parent / "notes"
    codes = _start(number, at_once, partial(_run, runs, data_root=data_root, notes=notes, options=options))
    seen = {"started": number, "at_once": at_once, "mib_each": size, "codes": codes, "trained": trainings(notes)}
    print(json.dumps({**seen, "seconds": round(time.monotonic() - began, 1)}))


def _start(number: int, at_once: int, work: Callable[[], int]) -> Counter[int]:
    """Exit codes of ``number`` forks; ``at_once`` of them start together, each other one when a fork has ended."""
    gate, opener = os.pipe()

    def wait_and_work() -> int:
        os.close(opener)
        os.read(gate, 1)
        return work()

    alive = {_fork(wait_and_work) for _ in range(at_once)}
    os.close(opener)  # all forks read the end of the file now
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


def _peak_memory(child: int) -> int:
    """Peak of the private memory of a process in MiB, until its end."""
    peak = 0
    while not os.waitpid(child, os.WNOHANG)[0]:
        with suppress(OSError):  # it may end meanwhile
            lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            peak = max(peak, sum(int(line.split()[1]) for line in lines if line.startswith("Private")) // 1024)
        time.sleep(0.02)
    return peak


def _free_mib() -> int:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("MemAvailable"))


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).absolute(), Path(sys.argv[3]))
