"""A run that is killed and rerun is bitwise equal to one that is not: real processes, real signals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from pathlib import Path

import pytest
import torch
from support.fault_injection import checkpoint_every_step
from support.fork_server import Command
from support.resumed_runs import assert_same

from okdbench.training import checkpoint

OPTIONS = (
    "run --method augkd --dataset digits --setting MO-P --budget smoke --device cpu --seed 3 --set anchor_steps=10 "
    "--set data_free_steps=6 --shots 4 --teacher test_resnet --student test_resnet"
)


def start(runs: Path, data_root: Path, *options: str) -> Command:
    words = [*OPTIONS.split(), *options, "--runs", str(runs)]
    return Command(words, data_root, data_root, checkpoint_every_step)


def finish(runs: Path, data_root: Path, *options: str) -> Path:
    done = start(runs, data_root, *options).wait()
    assert done.returncode == 0, done.stderr
    (folder,) = (path.parent for path in runs.glob("*/record.json"))
    return folder


def reached(runs: Path, stage: str) -> bool:
    logs = [*runs.glob("teachers/*/metrics.jsonl"), *runs.glob("*/metrics.jsonl")]
    return any(f'"stage": "{stage}"' in log.read_text() for log in logs)


def stop_in(stage: str, number: signal.Signals, runs: Path, data_root: Path, *options: str) -> tuple[int, str]:
    """Start the run and send the signal as soon as ``stage`` has logged a step; exit code and standard error."""
    command = start(runs, data_root, *options)
    deadline = time.monotonic() + 240
    while not reached(runs, stage) and command.running() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(command.pid, number)
    done = command.wait(60)
    return done.returncode, done.stderr


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    return finish(tmp_path_factory.mktemp("whole") / "runs", data_root)


def copy_teacher(runs: Path, whole: Path) -> None:
    """Copy the teacher of another run, to save the time of training it."""
    shutil.copytree(whole.parent / "teachers", runs / "teachers")


OTHERS = [pytest.param(stage, marks=pytest.mark.slow) for stage in ("teacher", "data-free", "mixup")]


@pytest.mark.parametrize("stage", ["anchor", *OTHERS])
def test_a_killed_run_is_resumed_bit_identically(
    stage: str, tmp_path: Path, data_root: Path, uninterrupted: Path
) -> None:
    if stage != "teacher":
        copy_teacher(tmp_path, uninterrupted)
    code, _ = stop_in(stage, signal.SIGKILL, tmp_path, data_root)
    assert code == -signal.SIGKILL, f"the run ended before it could be killed in {stage}"
    assert_same(finish(tmp_path, data_root), uninterrupted)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["bfloat16-targets", "bfloat16"])
def test_a_run_in_another_precision_is_resumed_bit_identically(
    precision: str, tmp_path: Path, data_root: Path, uninterrupted: Path
) -> None:
    for name in ("whole", "killed"):
        # Teachers are float32 in every precision.
        copy_teacher(tmp_path / name, uninterrupted)
    code, _ = stop_in("data-free", signal.SIGKILL, tmp_path / "killed", data_root, "--precision", precision)
    assert code == -signal.SIGKILL
    whole, resumed = (finish(tmp_path / name, data_root, "--precision", precision) for name in ("whole", "killed"))
    assert_same(resumed, whole)


def test_ctrl_c_says_how_to_resume_and_keeps_the_step(tmp_path: Path, data_root: Path, uninterrupted: Path) -> None:
    copy_teacher(tmp_path, uninterrupted)
    code, errors = stop_in("anchor", signal.SIGINT, tmp_path, data_root)
    assert code == 130
    assert "the same command goes on" in errors
    assert_same(finish(tmp_path, data_root), uninterrupted)


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_read_starts_the_run_over(
    tmp_path: Path, data_root: Path, uninterrupted: Path
) -> None:
    copy_teacher(tmp_path, uninterrupted)
    stop_in("anchor", signal.SIGKILL, tmp_path, data_root)
    (path,) = tmp_path.glob("*/checkpoint.pt")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert_same(finish(tmp_path, data_root), uninterrupted)


def test_a_finished_run_is_not_repeated(uninterrupted: Path, data_root: Path) -> None:
    before = (uninterrupted / "record.json").stat().st_mtime_ns
    assert finish(uninterrupted.parent, data_root) == uninterrupted
    assert (uninterrupted / "record.json").stat().st_mtime_ns == before


def test_the_record_shows_each_stage(uninterrupted: Path) -> None:
    record = json.loads((uninterrupted / "record.json").read_text())
    assert list(record["stages"]) == ["data-free", "anchor", "mixup"]


def test_what_no_network_holds_is_resumed_on_the_device_of_the_run() -> None:
    state = {"rows": torch.zeros(2), "best": {"images": [torch.zeros(3)]}, "count": 4}
    moved = checkpoint.on_device(state, torch.device("meta"))
    assert {moved["rows"].device.type, moved["best"]["images"][0].device.type} == {"meta"}
    assert moved["count"] == 4
