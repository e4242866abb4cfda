"""`okdbench sweep` as a real process whose children are forks of it."""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from okdbench.cli import app as cli
from okdbench.sweep import process
from support.fork_server import Command, nothing

TINY = "--datasets digits --settings MO-P --budget smoke --teacher test_resnet --student test_resnet --device cpu"
FORK = multiprocessing.get_context("fork")


class Forked:
    """Stands for the Popen of a child, without seconds of imports: a fork of the sweep, which has them behind it."""

    def __init__(self, words: Sequence[str], log: Path, threads: int) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = FORK.Process(target=_child, args=(["--parent", str(os.getpid()), *words], log, threads))
        self._process.start()

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> None:
        self._process.join(timeout)
        if self._process.exitcode is None:
            raise subprocess.TimeoutExpired("okdbench", timeout or 0)

    def send_signal(self, number: int) -> None:
        os.kill(self._process.pid or 0, number)

    def kill(self) -> None:
        self._process.kill()


def _child(words: list[str], log: Path, threads: int) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    print(f"pid {os.getpid()} threads {threads}", flush=True)
    sys.argv = ["okdbench", *words]
    cli.main()


def fork_children(then: Callable[[], object] = nothing) -> None:
    """Run in the sweep before it starts: its children are forks from now on."""
    process.launch = Forked  # type: ignore[assignment]
    then()


class Sweep:
    """``okdbench sweep <line>`` with forked children, and what the test may know of it."""

    def __init__(self, line: str, folder: Path, data_root: Path, then: Callable[[], object] = nothing) -> None:
        self.runs = folder / "runs"
        words = ["sweep", *shlex.split(f"{line} {TINY}")]
        self.command = Command(words, folder, data_root, partial(fork_children, then))

    def end(self) -> tuple[int, str, str]:
        result = self.command.wait()
        return result.returncode, result.stdout, result.stderr

    def wait_for(self, what: Callable[[], object]) -> None:
        until = time.monotonic() + 60
        while not what():
            assert self.command.running(), self.end()
            assert time.monotonic() < until
            time.sleep(0.02)
