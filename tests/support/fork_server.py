"""Real processes that start fast: a server loads torch and timm once, and forks for each command."""

from __future__ import annotations

import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from subprocess import CompletedProcess

import torch

import okdbench.sweep.sequential
import okdbench.sweep.sweep  # noqa: F401 - what the server loads, so that its forks need not
from okdbench.cli import app as cli

HERE = Path(__file__).parent
CONTEXT = multiprocessing.get_context("forkserver")

torch.set_num_threads(1)


def serve() -> None:
    """Start the server if it is not running."""
    # In Python 3.11 the server does not inherit sys.path, but needs it to find this file.
    before = os.environ.get("PYTHONPATH", "")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE.parent), str(HERE.parents[1]), before])
    try:
        CONTEXT.set_forkserver_preload([__name__])
        forkserver.ensure_running()
    finally:
        os.environ["PYTHONPATH"] = before


def nothing() -> None:
    """The default of ``before``: no preparation."""


class Command:
    """``okdbench <words>`` in its own process.

    ``before`` runs in that process before the command: a top-level function of a module, or a partial of one.
    """

    def __init__(self, words: list[str], folder: Path, data_root: Path, before: Callable[[], object] = nothing) -> None:
        serve()
        self._out = Path(tempfile.mkdtemp(dir=data_root))
        self.words = words
        self._process = CONTEXT.Process(target=_enter, args=(words, folder, data_root, self._out, before))
        self._process.start()
        self.pid = self._process.pid or 0

    def running(self) -> bool:
        return self._process.is_alive()

    def wait(self, seconds: float = 240) -> CompletedProcess[str]:
        """Exit code (minus the signal's number when it was killed), standard output and standard error."""
        self._process.join(seconds)
        if self._process.exitcode is None:
            self._process.kill()
            raise TimeoutError(f"okdbench {' '.join(self.words)}")
        stdout, stderr = ((self._out / name).read_text() for name in ("stdout", "stderr"))
        return CompletedProcess(self.words, self._process.exitcode, stdout, stderr)


def _enter(words: list[str], folder: Path, data_root: Path, out: Path, before: Callable[[], object]) -> None:
    for number, name in enumerate(("stdout", "stderr"), start=1):
        os.dup2(os.open(out / name, os.O_WRONLY | os.O_CREAT), number)
    os.chdir(folder)
    os.environ["OKDBENCH_DATA"] = str(data_root)
    before()
    sys.argv = ["okdbench", *words]
    cli.main()
