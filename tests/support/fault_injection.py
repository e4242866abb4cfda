"""Faults that are injected into a real process at a chosen moment, and a run small enough to test all of them."""

from __future__ import annotations

import ctypes
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from multiprocessing.connection import Connection
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any, Protocol

import okdbench.training.loss_log
import okdbench.training.runner
from support.fork_server import CONTEXT, Command

#: three stages, one of which generates samples that the run keeps
SMALL = (
    "run --method augkd --dataset digits --setting MO-P --budget smoke --device cpu --seed 3 --set anchor_steps=6 "
    "--set data_free_steps=4 --teacher test_resnet --student test_resnet"
)
#: files of a run and of its teacher, without locks
RUN_FILES = {"config.yaml", "metrics.jsonl", "checkpoint.pt", "student.safetensors", "samples.npz", "record.json"}
TEACHER_FILES = {
    f"teacher/{name}" for name in ("metrics.jsonl", "checkpoint.pt", "training.json", "teacher.safetensors")
}
#: seconds that a child may take while many others run
TIMEOUT = 3000.0


def print_recovery(fault: str, seconds: float) -> None:
    """Print a duration for ``docs/reliability.md``; shown by ``pytest -s``."""
    print(f"\nrecovery: {fault}: {seconds:.1f} s")


def checkpoint_every_step() -> None:
    """Write a checkpoint after every step instead of every 20 seconds, and nothing at a time that the load decides."""
    okdbench.training.runner.CHECKPOINT_SECONDS = 0.0
    okdbench.training.loss_log.FLUSH_SECONDS = float("inf")


def on_write(runs: Path, react: Callable[[str], None]) -> None:
    """Call ``react`` with the name of each file below ``runs`` that this process, or a fork, opens for writing.

    A temporary file has the name of its final file; names of a teacher's files begin with ``teacher/``.
    """

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or isinstance(arguments[0], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        if path.is_relative_to(runs):
            name = re.sub(r"\.\d+\.tmp$", "", path.name)
            react(f"teacher/{name}" if path.parent.parent.name == "teachers" else name)

    sys.addaudithook(watch)


def inject_once(runs: Path, spare: frozenset[str], skip: int, note: Path, fault: Callable[[], None]) -> None:
    """Call ``fault`` once, when a file is opened for writing.

    Args:
        runs: folder of the files.
        spare: names at which the fault does not happen.
        skip: how many other files to let pass before.
        note: file that receives the name at which the fault has happened.
        fault: what happens.
    """
    remaining = [skip]

    def react(name: str) -> None:
        if name not in spare and remaining:
            remaining[0] -= 1
            if remaining[0] < 0:
                remaining.clear()
                note.write_text(name)
                fault()

    on_write(runs, react)


class Disk(Protocol):
    """A folder for runs whose disk can be made full; child processes receive a copy of this object."""

    name: str
    folder: Path

    def fill(self) -> None:
        """Fill the disk, for the calling process."""

    def free(self) -> None:
        """Free the space again."""


class Tmpfs:
    """A separate file system in memory, filled to its last page by one file."""

    name = "full file system"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        status = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, status.f_bavail * status.f_frsize)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


class SizeLimit:
    """The kernel's limit on the size of a file, set to zero in the child; needs no privileges."""

    name = "file-size limit"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """Nothing to do: the limit has ended with the child."""


@contextmanager
def open_disk(folder: Path, kind: type[Tmpfs] | type[SizeLimit] | None = None) -> Iterator[Disk | None]:
    """A disk of this kind, or None if it is not possible; without a kind, a file system if possible, else a limit."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256m", "none", str(folder)]
    mounted = kind is not SizeLimit and not subprocess.run(words, check=False, capture_output=True).returncode
    try:
        yield Tmpfs(folder) if mounted else None if kind is Tmpfs else SizeLimit(folder)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def drop_capabilities() -> None:
    """Drop the capabilities with which root ignores permissions, so that read-only files are read-only."""
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    ctypes.CDLL(None).capset(version, (ctypes.c_uint32 * 6)())


def run_command(
    words: str, folder: Path, data_root: Path, before: Callable[[], object] = checkpoint_every_step
) -> CompletedProcess[str]:
    """Run ``okdbench <words>`` in a separate process.

    Standard error goes through a pipe, because a process that cannot write files cannot write it to one.

    Args:
        words: the command line after ``okdbench``.
        folder: working directory.
        data_root: folder of data sets and caches.
        before: is called in the process before the command.
    """
    reader, writer = CONTEXT.Pipe(duplex=False)
    command = Command(words.split(), folder, data_root, partial(_redirect_errors, writer, before))
    writer.close()
    done = command.wait(TIMEOUT)
    errors = b""
    while part := os.read(reader.fileno(), 65536):  # until all writers are closed
        errors += part
    return CompletedProcess(words, done.returncode, done.stdout, errors.decode())


def _redirect_errors(writer: Connection, before: Callable[[], object]) -> None:
    os.dup2(writer.fileno(), 2)
    writer.close()
    before()


@cache
def reference_run(folder: Path, data_root: Path) -> Path:
    """The folder of the small run without any fault, made once below ``folder``."""
    runs = folder / "reference"
    done = run_command(f"{SMALL} --runs {runs}", folder, data_root)
    assert done.returncode == 0, done.stderr
    return only_run(runs)


def only_run(runs: Path) -> Path:
    """The folder of the only run with a record."""
    (record,) = runs.glob("*/record.json")
    return record.parent
