"""A grid on a real Ray cluster of two nodes on this machine: the same records, whatever dies on the way."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from okdbench.plan import Plan
from okdbench.progress import quiet
from okdbench.records import Record, read_records
from okdbench.runner import execute

ROOT = Path(__file__).parent.parent
TINY = "--datasets digits --settings MO-P --budget smoke --teacher test_resnet --student test_resnet --device cpu"
#: long enough to be killed in the middle
LONG = {"anchor_steps": 30, "data_free_steps": 12}
METHODS = "finetune,kd,augkd[anchor_steps=30,data_free_steps=12]"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes with a core each."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    made.add_node(num_cpus=1)
    yield made
    made.shutdown()


class Driver:
    """``okdbench sweep --engine ray`` in a process of its own."""

    def __init__(self, address: str, folder: Path, data_root: Path, line: str = "") -> None:
        self.runs = folder / "runs"
        words = ["sweep", "--methods", METHODS, *shlex.split(f"{TINY} --engine ray --address {address} {line}")]
        environment = {**os.environ, "OKDBENCH_DATA": str(data_root), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "okdbench", *words, "--runs", str(self.runs)],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(self) -> tuple[int, str]:
        _, errors = self.process.communicate(timeout=240)
        return self.process.returncode, errors


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan]) -> dict[str, Record]:
    """What single runs on this machine give."""
    runs = tmp_path_factory.mktemp("singles")
    plans = [plan("finetune"), plan("kd"), plan("augkd", hyperparameters=LONG)]
    return {made.key: execute(made, runs, quiet) for made in plans}


def is_same(runs: Path, singles: dict[str, Record]) -> None:
    found = {record.key: record for record in read_records(runs)}
    assert found.keys() == singles.keys()
    for key, single in singles.items():
        assert found[key].comparable() == single.comparable()
        assert (runs / key / "student.safetensors").stat().st_size > 0


@pytest.mark.parametrize("where", ["", "--shared"])
def test_the_records_are_those_of_one_machine(
    where: str, cluster: Any, singles: dict[str, Record], tmp_path: Path, data_root: Path
) -> None:
    code, errors = Driver(cluster.address, tmp_path, data_root, where).end()
    assert code == 0, errors
    is_same(tmp_path / "runs", singles)
    assert "teacher test_resnet digits MO-P seed 0: done" in errors
