"""Many processes with one folder: exactly one of them trains a run, and all of them succeed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.concurrent_starts import note_trainings, trainings
from support.fault_injection import TIMEOUT, print_recovery
from support.fork_server import Command
from support.sweep_process import Sweep

from okdbench.results.store import read_record, read_records
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

HERE = Path(__file__).parent
TINY = "--dataset digits --setting MO-P --budget smoke --teacher lenet5_bn --student lenet5_half_bn --device cpu"


@pytest.mark.slow
def test_of_eight_starts_one_trains(tmp_path: Path, data_root: Path, plan: Callable[..., Plan]) -> None:
    notes, words = tmp_path / "notes", f"run --method kd {TINY} --runs runs".split()
    before = partial(note_trainings, tmp_path / "runs", notes)
    began = time.monotonic()
    commands = [Command(words, tmp_path, data_root, before) for _ in range(8)]
    ended = [command.wait(TIMEOUT) for command in commands]
    print_recovery("eight starts of one run", time.monotonic() - began)
    assert [done.returncode for done in ended] == [0] * 8, [done.stderr for done in ended]
    assert trainings(notes) == {"run": 1, "teacher": 1}
    assert len({done.stdout for done in ended}) == 1, "all print the same table"
    single = execute(plan("kd"), tmp_path / "single", quiet)
    (record,) = read_records(tmp_path / "runs")
    assert record.comparable() == single.comparable()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_of_a_thousand_starts_one_trains(tmp_path: Path, data_root: Path) -> None:
    """The processes are forks of one that has imported everything, as many at a time as fit into the memory."""
    words = [
        sys.executable,
        str(HERE.parent / "support" / "concurrent_starts.py"),
        "1000",
        str(tmp_path / "runs"),
        str(data_root),
    ]
    path = os.pathsep.join([str(HERE.parent), str(HERE.parents[1])])
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    assert done.returncode == 0, done.stderr[-2000:]
    seen = json.loads(done.stdout)
    print(seen)
    assert seen["started"] == 1000
    assert seen["at_once"] >= 100, "this machine has too little memory for the test"
    assert seen["codes"] == {"0": 1000}
    assert seen["trained"] == {"run": 1, "teacher": 1}
    print_recovery(f"a thousand starts of one run, {seen['at_once']} at a time", seen["seconds"])
    (record,) = read_records(tmp_path / "runs")
    assert record.status == "done"


@pytest.mark.slow
def test_two_drivers_share_a_folder(tmp_path: Path, data_root: Path, plan: Callable[..., Plan]) -> None:
    notes = tmp_path / "notes"
    line = "--methods finetune,kd --seeds 0-1 --jobs 1"
    before = partial(note_trainings, tmp_path / "runs", notes)
    drivers = [Sweep(line, tmp_path, data_root, before) for _ in range(2)]
    for driver in drivers:
        done = driver.command.wait(TIMEOUT)
        assert done.returncode == 0, done.stderr
        assert "[4/4]" in done.stderr or "runs are already done" in done.stderr
        assert "failed" not in done.stderr
    assert trainings(notes) == {"run": 4, "teacher": 2}
    keys = {plan(method, seed=seed).key for method in ("finetune", "kd") for seed in (0, 1)}
    assert {record.key for record in read_records(tmp_path / "runs") if record.status == "done"} == keys
    assert all(read_record(tmp_path / "runs" / key) for key in keys)
