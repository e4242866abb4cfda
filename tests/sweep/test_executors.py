"""Executors without a cluster: children divided among GPUs, options, and the tasks of an array job."""

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
from okdbench.sweep import executors
from okdbench.sweep.executors import CpuExecutor, Executor, ExecutorOptions, GpuExecutor, child_limit, open_executor
from okdbench.sweep.jobs import RunJob, refuse_unshared_files
from okdbench.sweep.ray_handle import store_output
from okdbench.sweep.scheduler import Child, Job
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_file

ROOT = Path(__file__).parents[2]
TINY = "--budget smoke --teacher lenet5_bn --student lenet5_half_bn --device cpu"

SECONDS = 600

#: code that a child runs first: it prints which GPUs it sees, and waits while there is a file called stay
STARTUP = """
import os, pathlib, sys, time
if "--parent" in sys.orig_argv:
    print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), "threads", os.environ.get("OMP_NUM_THREADS"), flush=True)
    while pathlib.Path("stay").exists():
        time.sleep(0.02)
    os._exit(0)
"""


@pytest.fixture
def waiting_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A working directory in which every child prints its GPUs and waits."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "sitecustomize.py").write_text(STARTUP)
    monkeypatch.syspath_prepend(tmp_path / "code")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "stay").touch()
    yield tmp_path
    (tmp_path / "stay").unlink(missing_ok=True)


def gpus_seen(folder: Path, name: str) -> str:
    """The line that the child with this log has printed; waits for it."""
    deadline = time.monotonic() + 60
    while not (found := re.findall(r"^sees (.*)$", (folder / name).read_text(), re.MULTILINE)):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return str(found[0])


def start(executor: Executor, folder: Path, name: str) -> Child:
    return executor.start(Job(name, ["--version"], folder / name))


def test_children_are_divided_among_the_gpus(waiting_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "available_cores", lambda: 12)
    executor = GpuExecutor(["3", "5"], 2)
    assert executor.slots == 4
    children = [start(executor, waiting_folder, f"{index}.txt") for index in range(4)]
    assert [gpus_seen(waiting_folder, f"{index}.txt") for index in range(4)] == [
        f"{gpu} threads 3" for gpu in (3, 5, 3, 5)
    ]
    children[1].kill()
    children[1].wait()
    late = start(executor, waiting_folder, "late.txt")
    assert gpus_seen(waiting_folder, "late.txt") == "5 threads 3", "the GPU with a free slot"
    (waiting_folder / "stay").unlink()
    assert [child.wait(60) for child in (children[0], *children[2:], late)] == [0, 0, 0, 0]


def test_a_machine_with_gpus_has_a_child_on_each(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def opened(options: ExecutorOptions) -> tuple[list[str], int, int]:
        with open_executor(options, tmp_path, {"auto"}) as executor:
            assert isinstance(executor, GpuExecutor)
            return executor.gpus, executor.jobs_per_gpu, child_limit(options, executor)

    assert opened(ExecutorOptions()) == (["0", "1"], 1, 2)
    assert opened(ExecutorOptions(jobs_per_gpu=3)) == (["0", "1"], 3, 6)
    assert opened(ExecutorOptions(jobs=3)) == (["0", "1"], 2, 3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert opened(ExecutorOptions()) == (["4", "7"], 1, 2)
    with open_executor(ExecutorOptions(), tmp_path, {"auto", "cpu"}) as executor:
        assert isinstance(executor, CpuExecutor)


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
    "--gpus-per-run 1.5 --engine ray": "allowed 0 to 1, or a whole number",
    "--gpus-per-run -1 --engine ray": "out of range",
    "--shared": "--shared is for a cluster; add --engine ray",
    "--engine ray --jobs-per-gpu 2": "use --gpus-per-run",
    "--dry-run --slurm array.sh": "--dry-run writes nothing",
    "--budget smoke --slurm file/array.sh": "choose another with --slurm",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_invalid_options_end_in_one_line_with_the_cure(line: str, tmp_path: Path, data_root: Path) -> None:
    words = ["sweep", "--methods", "kd", "--datasets", "digits", *line.split()]
    (tmp_path / "file").touch()
    result = Command(words, tmp_path, data_root).wait()
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert MISTAKES[line] in result.stderr
    assert not (tmp_path / "runs").exists()


def run_job(folder: Path, **config: str) -> RunJob:
    options = {"method": "kd", "dataset": "digits", "setting": "MO-P"} | config
    return RunJob("run", [], folder / "log.txt", config=RunConfig(**options), runs=folder, data_root=folder)


@pytest.mark.parametrize(
    "config",
    [{"dataset": "shop.yaml"}, {"dataset": "./mine.py"}, {"method": "../mine.py"}, {"teacher_weights": "../w.pt"}],
)
def test_files_that_nodes_do_not_get_are_refused(config: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=re.escape(f"{next(iter(config.values()))}: nodes lack this file; use --shared")
    ):
        refuse_unshared_files([run_job(tmp_path), run_job(tmp_path, **config)])


def test_files_that_nodes_get_are_accepted(tmp_path: Path) -> None:
    files = {"method": "./mine.py", "dataset": "/shared/shop.yaml", "teacher_weights": "weights/w.pt"}
    refuse_unshared_files([run_job(tmp_path), run_job(tmp_path, **files)])


@pytest.mark.slow
@pytest.mark.timeout(2 * SECONDS)
def test_the_tasks_of_an_array_job_are_the_runs(tmp_path: Path, data_root: Path, plan: Callable[..., Plan]) -> None:
    done = execute(plan("teacher"), tmp_path / "runs", quiet)
    for trained in tmp_path.glob("runs/teachers/*/teacher.safetensors"):
        trained.unlink()
    line = f"sweep --methods teacher,finetune,kd --datasets digits --settings MO-P {TINY} --slurm array.sh"
    script = Command(line.split(), tmp_path, data_root).wait()
    assert (script.returncode, script.stderr) == (0, "")
    assert script.stdout == "wrote array.sh: 2 tasks; next: sbatch array.sh\n"
    assert "#SBATCH --array=0-1\n" in (tmp_path / "array.sh").read_text(), "the finished run is left out"
    (tmp_path / "okdbench").write_text(f'#!/bin/sh\nexec "{sys.executable}" -P -m okdbench "$@"\n')
    (tmp_path / "okdbench").chmod(0o755)
    weights = teacher_file(tmp_path / "runs" / "teachers", plan("kd"))
    tasks = [run_task(tmp_path, data_root, index) for index in (0, 1)]
    while not weights.exists() and any(task.poll() is None for task in tasks):
        time.sleep(0.02)
    first = weights.stat()
    errors = [task.communicate(timeout=SECONDS)[1] for task in tasks]
    assert [task.returncode for task in tasks] == [0, 0], errors
    found = {record.key: record.status for record in read_records(tmp_path / "runs")}
    assert found == dict.fromkeys([done.key, plan("finetune").key, plan("kd").key], "done")
    assert (weights.stat().st_ino, weights.stat().st_mtime_ns) == (first.st_ino, first.st_mtime_ns), "trained once"


def run_task(folder: Path, data_root: Path, index: int) -> subprocess.Popen[str]:
    """A task of the array job, started in another folder, like Slurm does."""
    variables = {"SLURM_ARRAY_TASK_ID": str(index), "PATH": f"{folder}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(
        ["bash", str(folder / "array.sh")], cwd=data_root, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def test_a_node_can_write_nothing_but_the_files_of_its_run(tmp_path: Path, plan: Callable[..., Plan]) -> None:
    made = execute(plan("teacher"), tmp_path / "elsewhere", quiet)
    write_record(tmp_path, made)
    sound = (tmp_path / "record.json").read_bytes()
    folder = tmp_path / "runs" / made.key
    for name in ("../record.json", str(tmp_path / "abs.txt"), "checkpoint.pt", "lock", "log.txt/../x", ""):
        store_output(folder, name, b"hostile")
    for content in (b"hostile", b"{}", sound[:-50], sound.replace(made.key.encode(), b"../another", 1)):
        store_output(folder, "record.json", content)
    assert [path.name for path in folder.iterdir()] == ["log.txt"]
    assert (folder / "log.txt").read_text().count("rejected") == 10
    assert (tmp_path / "record.json").read_bytes() == sound
    store_output(folder, "record.json", sound)
    assert read_record(folder) == made
