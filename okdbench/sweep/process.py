"""One child process and the end of its log."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path


def launch(
    words: Sequence[str],
    log: Path,
    threads: int,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``okdbench <words>`` as a child that ends with this process and appends all that it says to ``log``.

    ``threads`` holds unless ``OMP_NUM_THREADS`` is set; ``variables`` are added to the environment; ``folder`` is where
    the child is started.
    """
    # The path of this process, so that a child never finds another okdbench, in the folder that it is started from.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ, **(variables or {}), "PYTHONPATH": path}
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(['okdbench', *words])}\n".encode())
        output.flush()
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "okdbench", "--parent", str(os.getpid()), *words],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            process_group=0,  # a terminal's Ctrl-C is for the parent; the children hear of it from there, once
        )


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of ``log``; nothing while there is none, as of a job that waits for its turn on a cluster."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, log.stat().st_size - 4096))
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
