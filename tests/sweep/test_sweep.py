"""Sweeps: the same records as single runs, whichever process dies, and no child that outlives its sweep."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import mean

import pytest
from support.fork_server import Command
from support.sweep_process import TINY, Sweep

import okdbench.methods
from okdbench.core.protocol import BUDGETS
from okdbench.core.units import spell_seconds
from okdbench.results.records import Record
from okdbench.results.store import read_record, read_records
from okdbench.sweep import child_process
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import read_trainings, teacher_file

ROOT = Path(__file__).parents[2]
#: a run that is long enough to be killed half-way
LONG = {"anchor_steps": 30, "data_free_steps": 12}
VARIANT = "augkd[anchor_steps=30,data_free_steps=12]"
METHODS = f"finetune,kd,{VARIANT}"


def add_methods(folder: Path) -> None:
    okdbench.methods.__path__ = [*okdbench.methods.__path__, str(folder)]


def children(folder: Path) -> list[int]:
    """The process id of every child that was started for this run or teacher, in order."""
    log = folder / "log.txt"
    return [int(pid) for pid in re.findall(r"^pid (\d+)", log.read_text(), re.MULTILINE)] if log.exists() else []


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture(scope="module")
def singles(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan]) -> tuple[Path, dict[str, Record]]:
    """Single runs to compare with: their folder, and the records by key."""
    runs = tmp_path_factory.mktemp("singles")
    plans = [
        plan("finetune"),
        plan("kd"),
        plan("kd", track="label-free"),
        plan("augkd", hyperparameters=LONG),
    ]
    return runs, {made.key: execute(made, runs, quiet) for made in plans}


@pytest.fixture
def trained_teacher(tmp_path: Path, singles: tuple[Path, dict[str, Record]]) -> Path:
    """A folder with a trained teacher and no runs."""
    (tmp_path / "runs").mkdir()
    subprocess.run(["cp", "-r", str(singles[0] / "teachers"), str(tmp_path / "runs")], check=True)
    return tmp_path


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> tuple[Sweep, str, str]:
    folder = tmp_path_factory.mktemp("swept")
    sweep = Sweep(f"--methods '{METHODS}' --tracks labelled,label-free --jobs 2", folder, data_root)
    code, stdout, stderr = sweep.end()
    assert code == 0, stderr
    return sweep, stdout, stderr


def test_a_sweep_gives_the_records_of_single_runs(
    swept: tuple[Sweep, str, str], singles: tuple[Path, dict[str, Record]]
) -> None:
    sweep, stdout, stderr = swept
    for key, single in singles[1].items():
        record = read_record(sweep.runs / key)
        assert record is not None
        assert record.comparable() == single.comparable()
        assert len(children(sweep.runs / key)) == 1
    assert len(list(sweep.runs.glob("*/record.json"))) == 4, "two methods are not in the label-free track"
    assert [len(children(folder)) for folder in sweep.runs.glob("teachers/*")] == [1]
    lines = stderr.splitlines()
    assert lines[0] == "teacher lenet5_bn digits MO-P seed 0: done"
    assert [line[:5] for line in lines[1:]] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert re.search(r"^\[./4\] kd digits MO-P seed 0 label-free: [\d.]+ % in \d+ s$", stderr, re.MULTILINE)
    assert f"{VARIANT} digits MO-P seed 0: " in stderr
    assert "finetune" in stdout


def test_a_second_sweep_starts_nothing(swept: tuple[Sweep, str, str], data_root: Path) -> None:
    runs = swept[0].runs
    before = {path: path.stat().st_mtime_ns for path in [*runs.rglob("log.txt"), *runs.glob("*/record.json")]}
    again = Sweep(f"--methods '{METHODS}' --tracks labelled,label-free", runs.parent, data_root)
    code, stdout, stderr = again.end()
    assert (code, stderr) == (0, "4 of 4 runs are already done\n")
    assert "finetune" in stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_variant_in_brackets_is_the_run_with_its_assignments(swept: tuple[Sweep, str, str], data_root: Path) -> None:
    folder = swept[0].runs.parent
    before = sorted(folder.glob("runs/*/record.json"))
    options = TINY.replace("--datasets", "--dataset").replace("--settings", "--setting").split()
    variant = "augkd[data_free_steps=12,anchor_steps=30]"
    result = Command(["run", "--method", variant, "--set", "anchor_steps=5", *options], folder, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert sorted(folder.glob("runs/*/record.json")) == before, "the same key, so nothing is run"


def test_a_dry_run_lists_what_is_missing(swept: tuple[Sweep, str, str], data_root: Path) -> None:
    line = "--methods 'kd,kd[temperature=10],kd[temperature=4]' --seeds 0-1 --dry-run"
    plan = Sweep(f"{line} --jobs 1", swept[0].runs.parent, data_root)
    code, stdout, stderr = plan.end()
    assert (code, stderr) == (0, "")
    assert [" ".join(line.split()) for line in stdout.splitlines()[2:7]] == [
        "done kd digits MO-P seed 0",
        "missing kd[temperature=4.0] digits MO-P seed 0",
        "missing kd digits MO-P seed 1",
        "missing kd[temperature=4.0] digits MO-P seed 1",
        "4 cells: 1 done, 3 missing",
    ]
    assert re.fullmatch(
        r"teachers missing: 1\ntime left with 1 at a time: \d+ s, from finished runs\n", stdout.split("missing\n")[-1]
    )


def test_the_time_left_is_estimated_from_another_budget(swept: tuple[Sweep, str, str], data_root: Path) -> None:
    """The images of budget quick, with the seconds per image of budget smoke."""
    runs = swept[0].runs
    run = mean(record.cost.seconds for record in read_records(runs) if record.method == "kd")
    (training,) = read_trainings(runs / "teachers")
    line = f"sweep --methods kd --dry-run --jobs 4 {TINY.replace('smoke', 'quick')}"
    result = Command(shlex.split(line), runs.parent, data_root).wait()
    smoke, quick = BUDGETS["smoke"], BUDGETS["quick"]
    left = spell_seconds(
        run * quick.student_images / smoke.student_images
        + training.seconds * quick.teacher_images / smoke.teacher_images
    )
    assert result.stdout.endswith(f"time left with 4 at a time: {left}, from finished runs\n"), result.stderr


def test_a_child_that_is_killed_once_is_tried_again(
    trained_teacher: Path, data_root: Path, plan: Callable[..., Plan], singles: tuple[Path, dict[str, Record]]
) -> None:
    key = plan("augkd", hyperparameters=LONG).key
    sweep = Sweep(f"--methods {VARIANT} --jobs 1", trained_teacher, data_root)
    sweep.wait_for((sweep.runs / key / "metrics.jsonl").exists)
    os.kill(children(sweep.runs / key)[0], signal.SIGKILL)
    code, _, stderr = sweep.end()
    assert code == 0, stderr
    assert len(children(sweep.runs / key)) == 2
    record = read_record(sweep.runs / key)
    assert record is not None
    assert record.comparable() == singles[1][key].comparable()


def kill_all(sweep: Sweep, folder: Path) -> None:
    """Kill every child of this run as soon as it appears, until the sweep ends."""
    killed: set[int] = set()
    while sweep.command.running():
        for pid in set(children(folder)) - killed:
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        time.sleep(0.01)


def test_a_child_that_always_dies_fails_and_the_other_runs_are_done(
    trained_teacher: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    key = plan("kd").key
    sweep = Sweep("--methods kd,finetune --jobs 2", trained_teacher, data_root)
    kill_all(sweep, sweep.runs / key)
    code, stdout, stderr = sweep.end()
    assert code == 1
    assert "kd digits MO-P seed 0: failed: ended early 2 times, the last time by SIGKILL" in stderr
    assert "finetune digits MO-P seed 0: " in stderr
    assert "finetune" in stdout
    failed, other = read_record(sweep.runs / key), read_record(sweep.runs / plan("finetune").key)
    assert failed is not None
    assert failed.status == "failed"
    assert f"pid {children(sweep.runs / key)[-1]}" in (failed.error or ""), "the tail of the log"
    assert other is not None
    assert other.status == "done"


def test_runs_fail_with_their_teacher(tmp_path: Path, data_root: Path, plan: Callable[..., Plan]) -> None:
    made = plan("kd")
    sweep = Sweep("--methods kd,finetune --jobs 1", tmp_path, data_root)
    kill_all(sweep, teacher_file(sweep.runs / "teachers", made).parent)
    code, _, stderr = sweep.end()
    assert code == 1
    assert len(stderr.splitlines()) == 3
    record = read_record(sweep.runs / made.key)
    assert record is not None
    assert "teacher lenet5_bn digits MO-P seed 0 failed: ended early 2 times" in (record.error or "")
    assert not children(sweep.runs / made.key)


def test_a_run_that_fails_by_itself_is_tried_by_the_next_sweep_only(trained_teacher: Path, data_root: Path) -> None:
    source = (ROOT / "methods" / "finetune.py").read_text().replace("self.tuning = ", "self.tuning = 1 / 0 or ")
    (trained_teacher / "broken.py").write_text(source)
    for sweeps in (1, 2):
        sweep = Sweep("--methods broken --jobs 1", trained_teacher, data_root, partial(add_methods, trained_teacher))
        code, _, stderr = sweep.end()
        assert code == 1
        assert "[1/1] broken digits MO-P seed 0: failed: ZeroDivisionError: division by zero (runs/" in stderr
        (log,) = sweep.runs.glob("*/log.txt")
        assert len(children(log.parent)) == sweeps


def test_a_killed_sweep_takes_its_children_along(
    trained_teacher: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    folders = [trained_teacher / "runs" / plan("augkd", hyperparameters=changed).key for changed in ({}, LONG)]
    sweep = Sweep(f"--methods augkd,{VARIANT} --jobs 2", trained_teacher, data_root)
    sweep.wait_for(lambda: all(children(folder) for folder in folders))
    sweep.wait_for((folders[0] / "metrics.jsonl").exists)
    pids = [children(folder)[0] for folder in folders]
    assert all(alive(pid) for pid in pids)
    os.kill(sweep.command.pid, signal.SIGKILL)
    sweep.end()
    deadline = time.monotonic() + 5
    while any(alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not [pid for pid in pids if alive(pid)]
    assert not list(trained_teacher.glob("runs/*/record.json"))


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_an_interrupted_sweep_resumes(
    number: signal.Signals,
    trained_teacher: Path,
    data_root: Path,
    plan: Callable[..., Plan],
    singles: tuple[Path, dict[str, Record]],
) -> None:
    key = plan("augkd", hyperparameters=LONG).key
    sweep = Sweep(f"--methods {VARIANT} --jobs 1", trained_teacher, data_root)
    sweep.wait_for((sweep.runs / key / "metrics.jsonl").exists)
    os.kill(sweep.command.pid, number)
    code, _, stderr = sweep.end()
    assert (code, stderr) == (130, "okdbench: interrupted; the same command goes on from where it stopped\n")
    assert not alive(children(sweep.runs / key)[0])
    assert "the same command goes on" in (sweep.runs / key / "log.txt").read_text(), "the child has saved its state"
    assert (sweep.runs / key / "checkpoint.pt").exists()
    code, _, stderr = Sweep(f"--methods {VARIANT} --jobs 1", trained_teacher, data_root).end()
    assert code == 0, stderr
    record = read_record(sweep.runs / key)
    assert record is not None
    assert record.comparable() == singles[1][key].comparable()


def test_children_are_processes_of_their_own(trained_teacher: Path, data_root: Path) -> None:
    (trained_teacher / "okdbench").mkdir()
    (trained_teacher / "okdbench" / "__init__.py").write_text("raise ImportError('another okdbench')")
    environment = {**os.environ, "OKDBENCH_DATA": str(data_root), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-P", "-m", "okdbench", "sweep", "--methods", "finetune", *TINY.split(), "--jobs", "2"]
    result = subprocess.run(words, cwd=trained_teacher, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "[1/1] finetune digits MO-P seed 0: " in result.stderr
    (log,) = trained_teacher.glob("runs/*/log.txt")
    assert log.read_text().startswith("$ okdbench run --method finetune --dataset digits --setting MO-P")


def test_cores_are_divided_unless_the_user_sets_the_threads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(child_process.subprocess, "Popen", lambda *_args, env, **_rest: started.append(env))
    for value in ("3", None):
        monkeypatch.setenv("OMP_NUM_THREADS", value) if value else monkeypatch.delenv("OMP_NUM_THREADS")
        child_process.launch(["run"], tmp_path / "log.txt", 8)
    assert [environment["OMP_NUM_THREADS"] for environment in started] == ["3", "8"]


def test_children_keep_their_memory_unless_the_user_sets_the_allocator(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(child_process.subprocess, "Popen", lambda *_args, env, **_rest: started.append(env))
    monkeypatch.setenv("MALLOC_TOP_PAD_", "7")
    child_process.launch(["run"], tmp_path / "log.txt", 1)
    assert started[0]["MALLOC_MMAP_MAX_"] == "0"
    assert started[0]["MALLOC_TOP_PAD_"] == "7"
