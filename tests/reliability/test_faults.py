"""Kills, read-only folders and clocks that go backwards: rerunning the command gives bitwise equal results."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from support.fault_injection import (
    SMALL,
    TIMEOUT,
    checkpoint_every_step,
    drop_capabilities,
    on_write,
    only_run,
    print_recovery,
    reference_run,
    run_command,
)
from support.resumed_runs import DRIVER, assert_same
from support.sweep_process import Sweep

from okdbench.results.store import read_record, write_record
from okdbench.training.plan import Plan

HERE = Path(__file__).parent
KILLS, BATCHES = 50, 5

#: C source of a wall clock that goes back by one hour at every reading
CLOCK = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    static int readings;
    if (!real) real = (int (*)(clockid_t, struct timespec *)) dlsym(RTLD_NEXT, "clock_gettime");
    int code = real(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec -= 3600L * __atomic_add_fetch(&readings, 1, __ATOMIC_RELAXED);
    return code;
}
"""


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    return reference_run(tmp_path_factory.getbasetemp(), data_root)


def start(runs: Path, data_root: Path, **variables: str) -> subprocess.Popen[str]:
    """Start the small run in a new interpreter, with a checkpoint after every step."""
    words = [sys.executable, "-c", DRIVER, *SMALL.split(), "--runs", str(runs), "--data-root", str(data_root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    _, errors = process.communicate(timeout=TIMEOUT)
    assert process.returncode == 0, errors
    return errors


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_bits(
    batch: int, tmp_path: Path, reference: Path, data_root: Path
) -> None:
    """Moments are uniform over the whole life of the process, including its imports."""
    began = time.monotonic()
    finish(start(tmp_path / "reference", data_root))
    length = time.monotonic() - began
    rng, extra = random.Random(batch), []
    for number in range(KILLS // BATCHES):
        runs, moment, began = tmp_path / str(number), rng.uniform(0, length), time.monotonic()
        process = start(runs, data_root)
        time.sleep(moment)
        process.kill()
        process.communicate()
        files = sorted(path.name for path in runs.glob("*/*") if path.parent.name != "teachers")
        print(f"seed {batch}, kill {number} after {moment:.2f} of {length:.2f} s: {process.returncode}, {files}")
        finish(start(runs, data_root))
        extra.append(time.monotonic() - began - length)
        assert_same(only_run(runs), reference)
    print_recovery(f"{len(extra)} kills at random, on average", sum(extra) / len(extra))
    print_recovery(f"{len(extra)} kills at random, at most", max(extra))


def make_read_only(runs: Path) -> None:
    """Make the folder and everything below it read-only."""
    for path in (runs, *runs.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def make_writable(runs: Path) -> None:
    runs.chmod(0o755)
    for path in runs.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def unprivileged() -> None:
    checkpoint_every_step()
    drop_capabilities()


def die_at(runs: Path, name: str) -> None:
    """Kill this process when it opens the file for writing."""
    checkpoint_every_step()
    on_write(runs, lambda written: os.kill(os.getpid(), signal.SIGKILL) if written == name else None)


@pytest.mark.slow
def test_a_folder_that_can_only_be_read_loses_nothing(tmp_path: Path, reference: Path, data_root: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(reference.parent / "teachers", runs / "teachers")
    words = f"{SMALL} --runs {runs}"
    killed = run_command(words, tmp_path, data_root, partial(die_at, runs, "student.safetensors"))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    before = {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()}
    make_read_only(runs)
    try:
        refused = run_command(words, tmp_path, data_root, unprivileged)
        assert refused.returncode == 2, refused.stderr
        assert "Permission denied; choose another with --runs" in refused.stderr.splitlines()[-1]
        assert "Traceback" not in refused.stderr
        assert {path: path.read_bytes() for path in runs.rglob("*") if path.is_file()} == before
    finally:
        make_writable(runs)
    began = time.monotonic()
    assert run_command(words, tmp_path, data_root).returncode == 0
    print_recovery("read-only folder", time.monotonic() - began)
    assert_same(only_run(runs), reference)
    make_read_only(runs)
    try:
        read = run_command(words, tmp_path, data_root, unprivileged)
        assert read.returncode == 0, "a finished run can be read from there"
    finally:
        make_writable(runs)


@pytest.mark.parametrize("name", ["record.json", pytest.param("teacher/teacher.safetensors", marks=pytest.mark.slow)])
def test_the_checkpoint_of_what_is_done_goes_even_when_its_process_was_killed_before(
    name: str, tmp_path: Path, reference: Path, data_root: Path
) -> None:
    """As if the process had died between its last file and the removal of the checkpoint."""
    runs = tmp_path / "runs"
    shutil.copytree(reference.parent, runs)
    folder = only_run(runs) if name == "record.json" else next((runs / "teachers").iterdir())
    (folder / "checkpoint.pt").write_bytes(b"left by a kill")
    if name != "record.json":
        (only_run(runs) / "record.json").unlink()
    assert run_command(f"{SMALL} --runs {runs}", tmp_path, data_root).returncode == 0
    assert not (folder / "checkpoint.pt").exists()
    assert_same(only_run(runs), reference)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(not shutil.which("cc"), reason="replacing the clock of a process needs a C compiler")
def test_a_clock_that_goes_backwards_changes_no_bit(tmp_path: Path, reference: Path, data_root: Path) -> None:
    """The clock function of the C library is replaced when the program is loaded; file times come from the kernel."""
    (tmp_path / "clock.c").write_text(CLOCK)
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(tmp_path / "clock.c"), "-ldl"], check=True)
    runs = tmp_path / "runs"
    process = start(runs, data_root, LD_PRELOAD=str(library))
    while not list(runs.glob("*/checkpoint.pt")) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    began = time.monotonic()
    finish(start(runs, data_root, LD_PRELOAD=str(library)))
    print_recovery("clock going backwards, and a kill", time.monotonic() - began)
    assert_same(only_run(runs), reference)
    ours, theirs = read_record(only_run(runs)), read_record(reference)
    assert ours is not None
    assert theirs is not None
    assert ours.environment["finished"] < theirs.environment["finished"], "the clock did not go back"
    assert ours.cost.seconds > 0


def test_a_failure_from_the_future_is_tried_again(
    tmp_path: Path, reference: Path, data_root: Path, plan: Callable[..., Plan]
) -> None:
    """The clock was wrong when the record was written, so the file is newer than everything that follows."""
    folder = tmp_path / "runs" / plan("kd", seed=3).key
    finished = read_record(reference)
    assert finished is not None
    write_record(folder, finished.model_copy(update={"status": "failed", "error": "then", "selected": None}))
    tomorrow = time.time() + 86_400
    os.utime(folder / "record.json", (tomorrow, tomorrow))
    code, _, stderr = Sweep("--methods kd --seeds 3 --jobs 1", tmp_path, data_root).end()
    assert code == 0, stderr
    record = read_record(folder)
    assert record is not None
    assert record.status == "done"


def test_the_documentation_names_tests_that_exist() -> None:
    page = (HERE.parents[1] / "docs" / "reliability.md").read_text()
    tests = "".join(path.read_text() for path in HERE.parent.rglob("test_*.py"))
    named = re.findall(r"`(test_\w+)`", page)
    assert len(named) > 10
    assert [name for name in named if f"def {name}(" not in tests] == []
