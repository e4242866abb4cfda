"""`okdbench sweep` as a real process whose children are forks of it, which start in milliseconds."""

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
from okdbench.sweep import child_process
from support.fork_server import Command, nothing

TINY = "--datasets digits --settings MO-P --budget smoke --teacher lenet5_bn --student lenet5_half_bn --device cpu"
FORK = multiprocessing.get_context("fork")


class Forked:
    """Replaces the Popen of a child: a fork of the sweep, which has already imported everything."""

    def __init__(self, arguments: Sequence[str], log: Path, threads: int) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._process = FORK.Process(target=_child, args=(["--parent", str(os.getpid()), *arguments], log, threads))
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


def _child(arguments: list[str], log: Path, threads: int) -> None:
    os.setpgid(0, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for number in (1, 2):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
    print(f"pid {os.getpid()} threads {threads}", flush=True)
    sys.argv = ["okdbench", *arguments]
    cli.main()


def fork_children(then: Callable[[], object] = nothing) -> None:
    """Called in the process of a sweep before it starts: its children are forks from now on."""
    child_process.launch = Forked  # type: ignore[assignment]
    then()


class Sweep:
    """``okdbench sweep <line>`` with forked children; ``then`` is called in its process before the command."""

    def __init__(self, line: str, folder: Path, data_root: Path, then: Callable[[], object] = nothing) -> None:
        self.runs = folder / "runs"
        arguments = ["sweep", *shlex.split(f"{line} {TINY}")]
        self.command = Command(arguments, folder, data_root, partial(fork_children, then))

    def end(self) -> tuple[int, str, str]:
        """Exit code, standard output and standard error, after the end of the sweep."""
        result = self.command.wait()
        return result.returncode, result.stdout, result.stderr

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until the condition is true; fails if the sweep ends before."""
        deadline = time.monotonic() + 60
        while not condition():
            assert self.command.running(), self.end()
            assert time.monotonic() < deadline
            time.sleep(0.02)
