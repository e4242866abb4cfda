"""Whoever waits for a lock says which, since when and whose; the lock of a killed process blocks nobody."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from okdbench.core import locks
from okdbench.core.locks import Lock, holder_file, if_free

HOLDING = """
import sys
from pathlib import Path
from okdbench.core.locks import Lock
with Lock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lock"


def other(file: Path) -> subprocess.Popen[str]:
    """Another process, which holds the lock until its standard input ends."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout
    assert process.stdout.readline() == "held\n"
    return process


def test_who_waits_says_which_lock_since_when_and_whose_process(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "AGAIN", 1.5)
    process = other(file)
    threading.Timer(3.3, process.communicate).start()
    with Lock(file):
        assert json.loads(holder_file(file).read_text())["pid"] == os.getpid()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2, "after a second, and again when AGAIN has passed"
    since = time.strftime("%Y-%m-%dT%H:", time.gmtime())
    assert lines[0].startswith(f"okdbench: waiting for the lock {file}, held since {since}")
    assert lines[0].endswith(f"by process {process.pid} on {socket.gethostname()} (-c {file})")
    assert not holder_file(file).exists()


def test_who_waits_for_less_than_a_second_says_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = other(file)
    with if_free(file) as free:
        assert not free
    threading.Timer(0.3, process.communicate).start()
    with Lock(file), if_free(file.with_name("another")) as free:
        assert free
    assert capsys.readouterr().err == ""


def test_attempts_in_a_row_are_one_wait(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process, lock = other(file), Lock(file)
    while not (said := capsys.readouterr().err):
        assert not lock.attempt()
        time.sleep(0.1)
    assert said.count("\n") == 1
    process.communicate()
    assert lock.attempt()
    lock.release()


def test_the_lock_of_a_killed_process_blocks_nobody(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = other(file)
    process.kill()
    process.wait()
    assert holder_file(file).exists()
    with if_free(file) as free:
        assert free
    assert not holder_file(file).exists()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"host": "elsewhere", "pid": 1}, "by process 1 on elsewhere (run); if that process has ended, remove {}"),
        ({"pid": 2**22 + 1}, "which has ended; unless a process that it started goes on, remove {}"),
        ({"command": "\x1b[31m"}, "(\\x1b[31m)"),
        (None, "held by a process that has not said who it is"),
    ],
    ids=["another host", "ended", "hostile", "unknown"],
)
def test_a_lock_that_nobody_may_hold_names_itself_and_the_cure(
    file: Path, content: dict[str, object] | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    process = other(file)
    usual = {"pid": process.pid, "host": socket.gethostname(), "since": "2026", "command": "run"}
    holder_file(file).write_text(json.dumps(content and usual | content))
    Lock(file).attempt(1.1)
    assert said.format(file) in capsys.readouterr().err
    # The cure works although the lock is held.
    file.unlink()
    with Lock(file):
        assert process.poll() is None
    process.communicate()
