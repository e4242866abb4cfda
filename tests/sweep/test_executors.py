"""Where children run without a cluster: divided among GPUs, or as the tasks of an array job."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.fork_server import Command

from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.results.store import read_record, read_records, write_record
from okdbench.sweep import executors as hosts
from okdbench.sweep import ray_handle as remote
from okdbench.sweep.executors import Cores, ExecutorOptions, Gpus, open_executor
from okdbench.sweep.jobs import RunJob, refuse_left_behind
from okdbench.sweep.scheduler import Child, Job
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_file

ROOT = Path(__file__).parents[2]
TINY = "--budget smoke --teacher test_resnet --student test_resnet --device cpu"

SECONDS = 600

#: what a child does before anything else: it says which GPUs it sees, and stays while there is a file called stay
GREETING = """
import os, pathlib, sys, time
if "--parent" in sys.orig_argv:
    print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), "threads", os.environ.get("OMP_NUM_THREADS"), flush=True)
    while pathlib.Path("stay").exists():
        time.sleep(0.02)
    os._exit(0)
"""


@pytest.fixture
def greeted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder in which the children of this process greet and stay."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(GREETING)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stay").touch()
    yield tmp_path
    (tmp_path / "stay").unlink(missing_ok=True)


def greeting(folder: Path, name: str) -> str:
    """What the child of this name has said, once it has."""
    until = time.monotonic() + 60
    while not (found := re.findall(r"^sees (.*)$", (folder / name).read_text(), re.MULTILINE)):
        assert time.monotonic() < until
        time.sleep(0.02)
    return str(found[0])


def start(host: hosts.Executor, folder: Path, name: str) -> Child:
    return host.start(Job(name, ["--version"], folder / name))


def test_children_are_divided_among_the_gpus(greeted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "cores", lambda: 12)
    host = Gpus(["3", "5"], 2)
    assert host.places == 4
    children = [start(host, greeted, f"{index}.txt") for index in range(4)]
    assert [greeting(greeted, f"{index}.txt") for index in range(4)] == [f"{gpu} threads 3" for gpu in (3, 5, 3, 5)]
    children[1].kill()
    children[1].wait()
    late = start(host, greeted, "late.txt")
    assert greeting(greeted, "late.txt") == "5 threads 3", "where there is room again"
    (greeted / "stay").unlink()
    assert [child.wait(60) for child in (children[0], *children[2:], late)] == [0, 0, 0, 0]


def test_a_machine_with_gpus_has_a_child_on_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def opened(engine: ExecutorOptions) -> tuple[list[str], int, int]:
        with open_executor(engine, tmp_path, {"auto"}) as host:
            assert isinstance(host, Gpus)
            return host.names, host.jobs_per_gpu, hosts.limit(engine, host)

    assert opened(ExecutorOptions()) == (["0", "1"], 1, 2)
    assert opened(ExecutorOptions(jobs_per_gpu=3)) == (["0", "1"], 3, 6)
    assert opened(ExecutorOptions(jobs=3)) == (["0", "1"], 2, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert opened(ExecutorOptions()) == (["4", "7"], 1, 2)
    with open_executor(ExecutorOptions(), tmp_path, {"auto", "cpu"}) as host:
        assert isinstance(host, Cores)


def test_without_a_gpu_there_is_nothing_to_divide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 0)
    with (
        pytest.raises(UserError, match="use --jobs"),
        open_executor(ExecutorOptions(jobs_per_gpu=1), tmp_path, {"auto"}),
    ):
        pass


MISTAKES = {
    "--engine rays": "did you mean 'ray'",
    "--jobs-per-gpu 0": "--jobs-per-gpu 0: out of range",
    "--cpus-per-run 0": "--cpus-per-run 0: out of range",
    "--gpus-per-run 1.5 --engine ray": "a part of one, or whole ones",
    "--gpus-per-run -1 --engine ray": "out of range",
    "--shared": "--shared is for a cluster; add --engine ray",
    "--engine ray --jobs-per-gpu 2": "use --gpus-per-run",
    "--dry-run --slurm array.sh": "--dry-run writes nothing",
    "--budget smoke --slurm file/array.sh": "choose another with --slurm",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_options_that_do_not_go_together_end_in_advice(line: str, tmp_path: Path, data_root: Path) -> None:
    words = ["sweep", "--methods", "kd", "--datasets", "digits", *line.split()]
    (tmp_path / "file").touch()
    result = Command(words, tmp_path, data_root).wait()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert MISTAKES[line] in result.stderr
    assert not (tmp_path / "runs").exists()


def cell(folder: Path, **config: str) -> RunJob:
    options = {"method": "kd", "dataset": "digits", "setting": "MO-P"} | config
    return RunJob("cell", [], folder / "log.txt", config=RunConfig(**options), runs=folder, data_root=folder)


@pytest.mark.parametrize(
    "config",
    [{"dataset": "shop.yaml"}, {"dataset": "./mine.py"}, {"method": "../mine.py"}, {"teacher_weights": "../w.pt"}],
)
def test_files_that_do_not_travel_are_refused(config: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=re.escape(f"{next(iter(config.values()))}: nodes lack this file; use --shared")
    ):
        refuse_left_behind([cell(tmp_path), cell(tmp_path, **config)])


def test_other_files_travel(tmp_path: Path) -> None:
    files = {"method": "./mine.py", "dataset": "/shared/shop.yaml", "teacher_weights": "weights/w.pt"}
    refuse_left_behind([cell(tmp_path), cell(tmp_path, **files)])


@pytest.mark.timeout(2 * SECONDS)
def test_the_tasks_of_an_array_job_are_the_runs(tmp_path: Path, data_root: Path, plan: Callable[..., Plan]) -> None:
    done = execute(plan("teacher"), tmp_path / "runs", quiet)
    for trained in tmp_path.glob("runs/teachers/*/teacher.safetensors"):
        trained.unlink()
    line = f"sweep --methods teacher,finetune,kd --datasets digits --settings MO-P {TINY} --slurm array.sh"
    script = Command(line.split(), tmp_path, data_root).wait()
    assert (script.returncode, script.stderr) == (0, "")
    assert script.stdout == "wrote array.sh: 2 tasks; next: sbatch array.sh\n"
    assert "#SBATCH --array=0-1\n" in (tmp_path / "array.sh").read_text(), "what is done is left out"
    (tmp_path / "okdbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m okdbench "$@"\n')
    (tmp_path / "okdbench").chmod(0o755)
    weights = teacher_file(tmp_path / "runs" / "teachers", plan("kd").config, plan("kd").splits)
    tasks = [run_task(tmp_path, data_root, index) for index in (0, 1)]
    while not weights.exists() and any(task.poll() is None for task in tasks):
        time.sleep(0.02)
    first = weights.stat()
    said = [task.communicate(timeout=SECONDS)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], said
    found = {record.key: record.status for record in read_records(tmp_path / "runs")}
    assert found == dict.fromkeys([done.key, plan("finetune").key, plan("kd").key], "done")
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns), "trained once"


def run_task(folder: Path, data_root: Path, index: int) -> subprocess.Popen[str]:
    """A task of the array job, started elsewhere, as Slurm would start it."""
    own = {"SLURM_ARRAY_TASK_ID": str(index), "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        ["bash", str(folder / "array.sh")], cwd=data_root, env={**os.environ, "OMP_NUM_THREADS": "1", **own}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_node_can_write_nothing_but_the_files_of_its_run(tmp_path: Path, plan: Callable[..., Plan]) -> None:
    made = execute(plan("teacher"), tmp_path / "elsewhere", quiet)
    write_record(tmp_path, made)
    sound = (tmp_path / "record.json").read_bytes()
    folder = tmp_path / "runs" / made.key
    for name in ("../record.json", str(tmp_path / "abs.txt"), "checkpoint.pt", "lock", "log.txt/../x", ""):
        remote.keep(folder, name, b"evil")
    for content in (b"evil", b"{}", sound[:-50], sound.replace(made.key.encode(), b"../another", 1)):
        remote.keep(folder, "record.json", content)
    assert [path.name for path in folder.iterdir()] == ["log.txt"]
    assert (folder / "log.txt").read_text().count("thrown away") == 10
    assert (tmp_path / "record.json").read_bytes() == sound
    remote.keep(folder, "record.json", sound)
    assert read_record(folder) == made
