"""Starts one run many times at once: ``python herd.py NUMBER RUNS DATA_ROOT``.

One process imports everything and forks NUMBER times. Each fork has its own memory, signals, files and locks, and calls
``okdbench.run`` when all are there. Standard output gets one line of JSON.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import sys
import time
from collections import Counter
from pathlib import Path

import torch
from test_together import note_trainings, trainings

import okdbench
import okdbench.commands
from okdbench.plan import make_plan

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
    gc.freeze()
    notes = runs.parent / "notes"
    gate, opened = os.pipe()
    children = []
    for _ in range(number):
        if not (child := os.fork()):
            os.close(opened)
            os._exit(_child(gate, runs, data_root, notes, options))
        children.append(child)
    at_once = sum(_alive(child) for child in children)
    began = time.monotonic()
    os.close(opened)  # all of them read the end of the file now
    sizes = _memory(children)
    codes = Counter(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    seconds = time.monotonic() - began
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(
        json.dumps(
            {
                "started": number,
                "at_once": at_once,
                "codes": codes,
                "trained": trainings(notes),
                "seconds": round(seconds, 1),
                "largest_mib": round(memory),
                "own_mib": sizes,
            }
        )
    )


def _child(gate: int, runs: Path, data_root: Path, notes: Path, options: dict[str, object]) -> int:
    note_trainings(runs, notes)
    os.read(gate, 1)
    try:
        record = okdbench.run(runs=runs, data_root=data_root, **options)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0 if record.status == "done" else 3


def _alive(child: int) -> bool:
    return "\nState:\tZ" not in Path(f"/proc/{child}/status").read_text()


def _memory(children: list[int]) -> list[int]:
    """MiB that some of the children have to themselves, the most of a few looks."""
    most = dict.fromkeys(children[:: max(1, len(children) // 5)], 0)
    for _ in range(20):
        for child in most:
            try:
                lines = Path(f"/proc/{child}/smaps_rollup").read_text().splitlines()
            except OSError:
                continue
            own = sum(int(line.split()[1]) for line in lines if line.startswith(("Private_Dirty", "Private_Clean")))
            most[child] = max(most[child], own // 1024)
        time.sleep(0.5)
    return list(most.values())


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]).absolute(), Path(sys.argv[3]))
