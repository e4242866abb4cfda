"""A sweep on a real Ray cluster of two nodes on this machine: the same records, whichever process dies."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import ray_cluster
from support.fault_injection import print_recovery
from support.ray_cluster import Nodes, parent, pids

from okdbench.results.records import Record
from okdbench.results.store import read_record, read_records
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

ROOT = Path(__file__).parents[2]
TINY = "--datasets digits --settings MO-P --budget smoke --teacher lenet5_bn --student lenet5_half_bn --device cpu"
#: two runs that are long enough to be killed half-way
LONG = [{"anchor_steps": steps, "data_free_steps": 12} for steps in (30, 31)]
VARIANTS = [f"augkd[anchor_steps={steps},data_free_steps=12]" for steps in (30, 31)]
#: a short run and a long one: with a core for each, the long one outlasts the other
PAIR = f"finetune,{VARIANTS[0]}"
SECONDS = 800
MODULE = ("-m", "okdbench")
#: a driver whose source digest lacks the methods and data sets
OTHER_SOURCE = (
    "-c",
    "from okdbench.cli import app; from okdbench.sweep import ray_worker; "
    "ray_worker._plugins = lambda name: (); app.main()",
)

pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Nodes]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT))  # inherited by the nodes, whose workers import okdbench
        with ray_cluster.started() as made:
            yield made


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan]) -> dict[str, Record]:
    """Records of two single runs on this machine, by key."""
    runs = tmp_path_factory.mktemp("short")
    return {made.key: execute(made, runs, quiet) for made in (plan("finetune"), plan("kd"))}


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan]) -> dict[str, Record]:
    """Records of the two long runs."""
    runs = tmp_path_factory.mktemp("long")
    plans = [plan("augkd", hyperparameters=changed) for changed in LONG]
    return {made.key: execute(made, runs, quiet) for made in plans}


@pytest.fixture(scope="module")
def pair(short: dict[str, Record], long: dict[str, Record]) -> dict[str, Record]:
    """Records of the runs of ``PAIR``."""
    return dict([next(iter(short.items())), next(iter(long.items()))])


class Child(NamedTuple):
    """A run on a node: its process, the worker that started it, and the node that started the worker."""

    pid: int
    worker: int
    node: int


class Sweep:
    """``okdbench sweep --engine ray`` in a separate process."""

    def __init__(
        self, methods: str, address: str, folder: Path, data_root: Path, line: str = "", code: Sequence[str] = MODULE
    ) -> None:
        self.runs = folder / "runs"
        words = ["sweep", "--methods", methods, *shlex.split(f"{TINY} --engine ray --address {address} {line}")]
        environment = {**os.environ, "OKDBENCH_DATA": str(data_root), "PYTHONPATH": str(ROOT)}
        self.process = subprocess.Popen(
            [sys.executable, *code, *words],
            cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def end(self) -> tuple[int, str]:
        """Exit code and standard error."""
        _, errors = self.process.communicate(timeout=SECONDS)
        return self.process.returncode, errors

    def wait_for(self, condition: Callable[[], Any]) -> Any:
        """Wait until the condition is true and return its value; fails if the sweep ends before."""
        until = time.monotonic() + SECONDS
        while not (found := condition()):
            assert self.process.poll() is None, self.end()
            assert time.monotonic() < until
            time.sleep(0.02)
        return found

    def logged(self, key: str) -> int:
        """Size of the log of losses in this run's folder, in bytes."""
        log = self.runs / key / "metrics.jsonl"
        return log.stat().st_size if log.exists() else 0

    def starts(self, key: str) -> int:
        """How many children have been started for this run."""
        log = self.runs / key / "log.txt"
        return log.read_text().count("$ okdbench") if log.exists() else 0


def children(key: str) -> list[Child]:
    """The processes that are in the last stage of this run, on any node: they hold the lock of its folder."""
    found = []
    for pid in pids():
        with suppress(OSError):  # it may end meanwhile
            if b"--parent" in Path(f"/proc/{pid}/cmdline").read_bytes():
                files = [Path(os.readlink(file)) for file in Path(f"/proc/{pid}/fd").iterdir()]
                logs = [file.with_name("metrics.jsonl") for file in files if file.parts[-2:] == (key, "lock")]
                if any('"stage": "anchor"' in log.read_text() for log in logs):
                    found.append(Child(pid, parent(pid), parent(parent(pid))))
    return found


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def assert_records(runs: Path, singles: dict[str, Record]) -> None:
    found = {record.key: record for record in read_records(runs)}
    assert found.keys() == singles.keys()
    for key, single in singles.items():
        assert found[key].comparable() == single.comparable()
        for name in ("student.safetensors", "metrics.jsonl"):
            assert (runs / key / name).stat().st_size > 0
    assert [log.read_text().count("$ okdbench") for log in runs.glob("teachers/*/log.txt")] == [1]


@pytest.mark.parametrize("storage", ["", pytest.param("--shared", marks=pytest.mark.slow)])
def test_the_records_equal_those_of_one_machine(
    storage: str, cluster: Nodes, short: dict[str, Record], tmp_path: Path, data_root: Path
) -> None:
    code, errors = Sweep("finetune,kd", cluster.address, tmp_path, data_root, storage).end()
    assert code == 0, errors
    assert_records(tmp_path / "runs", short)
    assert re.findall(r"^(teacher|\[\d/2\])", errors, re.MULTILINE) == ["teacher", "[1/2]", "[2/2]"]


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["", "--shared"])
def test_a_killed_worker_costs_a_try(
    storage: str, cluster: Nodes, pair: dict[str, Record], tmp_path: Path, data_root: Path
) -> None:
    other, key = pair
    sweep = Sweep(PAIR, cluster.address, tmp_path, data_root, storage)
    (child,) = sweep.wait_for(lambda: children(key))
    assert not storage or (sweep.runs / key / "checkpoint.pt").exists(), "of the stage before"
    os.kill(child.worker, signal.SIGKILL)
    began = time.monotonic()
    sweep.wait_for(lambda: not alive(child.pid))
    sweep.wait_for(lambda: sweep.starts(key) == 2)
    print_recovery(f"killed worker, until the run's next start {storage}", time.monotonic() - began)
    sizes: list[int] = []
    sweep.wait_for(lambda: sizes.append(sweep.logged(key)) or read_record(sweep.runs / key))
    assert not storage or min(sizes) > 0, "it resumed after the stage before"
    code, errors = sweep.end()
    assert code == 0, errors
    assert_records(sweep.runs, pair)
    assert sweep.starts(key) == 2
    assert sweep.starts(other) == 1


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["", "--shared"])
def test_a_killed_node_costs_what_ran_there(
    storage: str, cluster: Nodes, long: dict[str, Record], tmp_path: Path, data_root: Path
) -> None:
    sweep = Sweep(",".join(VARIANTS), cluster.address, tmp_path, data_root, storage)
    key, child = sweep.wait_for(lambda: on_second(cluster, long))
    cluster.kill_second()
    began = time.monotonic()
    try:
        sweep.wait_for(lambda: sweep.starts(key) == 2)
        print_recovery(f"killed node, until the run's next start {storage}", time.monotonic() - began)
        code, errors = sweep.end()
    finally:
        cluster.add_second()
    assert code == 0, errors
    assert not alive(child.pid)
    assert_records(sweep.runs, long)
    assert {other: sweep.starts(other) for other in long} == {**dict.fromkeys(long, 1), key: 2}


def on_second(cluster: Nodes, keys: Iterable[str]) -> tuple[str, Child] | None:
    found = ((key, child) for key in keys for child in children(key) if child.node == cluster.second_pid)
    return next(found, None)


@pytest.mark.slow
@pytest.mark.parametrize("storage", ["", "--shared"])
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_driver_takes_its_children_along_and_the_next_one_goes_on(
    storage: str, sign: int, cluster: Nodes, short: dict[str, Record], pair: dict[str, Record], tmp_path: Path,
    data_root: Path,
) -> None:  # fmt: skip
    # with two cores, the long run starts after one of the short ones
    methods, singles = f"finetune,kd,{VARIANTS[0]}", short | pair
    sweep = Sweep(methods, cluster.address, tmp_path, data_root, storage)
    (child,) = sweep.wait_for(lambda: children(list(singles)[-1]))
    sweep.process.send_signal(sign)
    began = time.monotonic()
    sweep.process.communicate()
    done = {path: path.stat().st_mtime_ns for path in sweep.runs.glob("*/record.json")}
    assert done, "a short run is done"
    until = time.monotonic() + SECONDS
    while alive(child.pid) and time.monotonic() < until:
        time.sleep(0.02)
    assert not alive(child.pid)
    print_recovery(f"driver and signal {sign}, until the last child is gone {storage}", time.monotonic() - began)
    code, errors = Sweep(methods, cluster.address, tmp_path, data_root, storage).end()
    assert code == 0, errors
    assert f"{len(done)} of 3 runs are already done\n" in errors
    assert {path: path.stat().st_mtime_ns for path in done} == done
    assert_records(sweep.runs, singles)


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["os.getppid()", "os.getpid()"], ids=["its worker", "itself, as when memory is low"])
def test_a_run_that_always_kills_fails_and_the_rest_is_done(
    victim: str, cluster: Nodes, tmp_path: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    source = (ROOT / "okdbench" / "cli" / "templates" / "method.py").read_text()
    step = "    def step(self, batch: Batch) -> Losses:\n"
    assert step in source
    kill = f"        print('farewell', flush=True), time.sleep(2), os.kill({victim}, 9), time.sleep(60)\n"
    first = "from collections.abc import Sequence\n"
    assert first in source
    (tmp_path / "killer.py").write_text(
        source.replace(step, step + kill).replace(first, f"import os\nimport time\n{first}")
    )
    sweep = Sweep("./killer.py,finetune", cluster.address, tmp_path, data_root)
    code, errors = sweep.end()
    assert code == 1
    assert "killer digits MO-P seed 0: failed: ended early 2 times, the last time by SIGKILL" in errors
    (failed,) = (record for record in read_records(sweep.runs) if record.status == "failed")
    assert "farewell" in (failed.error or "")
    assert (sweep.runs / failed.key / "log.txt").read_text().count("farewell") == 2
    other = read_record(sweep.runs / plan("finetune").key)
    assert other is not None
    assert other.status == "done"


@pytest.mark.slow
def test_of_two_drivers_none_does_what_the_other_does(
    cluster: Nodes, pair: dict[str, Record], tmp_path: Path, data_root: Path
) -> None:
    drivers = [Sweep(PAIR, cluster.address, tmp_path, data_root) for _ in range(2)]
    for driver in drivers:
        code, errors = driver.end()
        assert code == 0, errors
    assert_records(drivers[0].runs, pair)
    assert [drivers[0].starts(key) for key in pair] == [1, 1]


@pytest.mark.slow
def test_a_node_with_another_okdbench_is_refused(cluster: Nodes, tmp_path: Path, data_root: Path) -> None:
    code, errors = Sweep("kd", cluster.address, tmp_path, data_root, code=OTHER_SOURCE).end()
    assert (code, errors.count("\n")) == (2, 1)
    assert "node 127.0.0.1 has another okdbench than this one" in errors


def test_without_a_cluster_the_error_names_the_cure(tmp_path: Path, data_root: Path) -> None:
    code, errors = Sweep("kd", "127.0.0.1:9", tmp_path, data_root).end()
    assert (code, errors.count("\n")) == (2, 1)
    assert "there is no Ray cluster at 127.0.0.1:9" in errors
    assert "ray start --head" in errors
