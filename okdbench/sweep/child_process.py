"""Starts one ``okdbench`` command as a child process, and reads the end of its log."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

#: Settings of the allocator of glibc, by which memory stays with the process. By default each large array is mapped
#: anew, which costs a page fault for every 4 kB of it. Other systems ignore them.
ALLOCATOR = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}


def launch(
    arguments: Sequence[str],
    log: Path,
    threads: int,
    variables: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start ``okdbench <arguments>`` as a child that ends with this process.

    Args:
        arguments: the command line after ``okdbench``.
        log: the file to which standard output and standard error are appended; its folder is created.
        threads: number of CPU threads, unless ``OMP_NUM_THREADS`` is set.
        variables: environment variables to add.
        folder: working directory of the child; None for the current one.
    """
    # The module path of this process, so that no other okdbench in the child's working directory is imported.
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    # The later win: a user's OMP_NUM_THREADS over the share, and nothing over this PYTHONPATH.
    usual = {"OMP_NUM_THREADS": str(threads), **ALLOCATOR}
    environment = {**usual, **os.environ, **(variables or {}), "PYTHONPATH": path}
    log.parent.mkdir(parents=True, exist_ok=True)
    # appended, so that a retry keeps what the child before it has printed
    with log.open("ab") as output:
        output.write(f"$ {shlex.join(['okdbench', *arguments])}\n".encode())
        # the child writes to the same file without this buffer, so the command would otherwise stand below its output
        output.flush()
        # -P, because -m would search for okdbench in the working directory first
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "okdbench", "--parent", str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            process_group=0,  # Ctrl-C in a terminal reaches the parent only, which interrupts each child once
        )


def tail(log: Path, lines: int = 20) -> str:
    """The last lines of ``log``; empty without a log, for example while a job waits for a slot on a cluster."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        # 4 kB are enough for 20 lines, and a log may have gigabytes
        file.seek(max(0, log.stat().st_size - 4096))
        # the cut at 4 kB may be inside a character of several bytes
        text = file.read().decode(errors="replace")
    return "\n".join(text.splitlines()[-lines:])
