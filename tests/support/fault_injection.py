"""Faults that strike a real process at a chosen moment, and a run small enough to meet all of them."""

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

import okdbench.training.runner
from support.fork_server import CONTEXT, Command

#: three stages, one of which makes pictures that the run keeps
SMALL = (
    "run --method augkd --dataset digits --setting MO-P --budget smoke --device cpu --seed 3 --set anchor_steps=6 "
    "--set data_free_steps=4 --teacher test_resnet --student test_resnet"
)
#: what a run writes, in its own folder and in its teacher's, beside locks
RUN_FILES = {"config.yaml", "metrics.jsonl", "checkpoint.pt", "student.safetensors", "samples.npz", "record.json"}
TEACHER_FILES = {
    f"teacher/{name}" for name in ("metrics.jsonl", "checkpoint.pt", "training.json", "teacher.safetensors")
}
#: how long a child may take where many others are at work
PATIENCE = 3000.0


def told(fault: str, seconds: float) -> None:
    """Print what ``docs/reliability.md`` says; seen with ``pytest -s``."""
    print(f"\nrecovery: {fault}: {seconds:.1f} s")


def eager() -> None:
    """Keep the state after every step instead of every 20 seconds."""
    okdbench.training.runner.CHECKPOINT_SECONDS = 0.0


def on_write(runs: Path, react: Callable[[str], None]) -> None:
    """Call ``react`` with the name of each file below ``runs`` that this process, or a fork, opens for writing.

    A temporary file goes by the name that it will get; those of a teacher begin with ``teacher/``.
    """

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or isinstance(arguments[0], int) or not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        path = Path(os.path.abspath(os.fsdecode(arguments[0])))
        if path.is_relative_to(runs):
            name = re.sub(r"\.\d+\.tmp$", "", path.name)
            react(f"teacher/{name}" if path.parent.parent.name == "teachers" else name)

    sys.addaudithook(watch)


def strike(runs: Path, spare: frozenset[str], skip: int, note: Path, fault: Callable[[], None]) -> None:
    """Let ``fault`` happen once, when a file is opened for writing.

    It is the first one whose name is not among ``spare``, after ``skip`` others; its name is left in ``note``.
    """
    waits = [skip]

    def react(name: str) -> None:
        if name not in spare and waits:
            waits[0] -= 1
            if waits[0] < 0:
                waits.clear()
                note.write_text(name)
                fault()

    on_write(runs, react)


class Disk(Protocol):
    """A place for runs that can be full; a child process gets a copy of it."""

    name: str
    folder: Path

    def fill(self) -> None:
        """Take all room away from the process that calls it."""

    def free(self) -> None:
        """Make room again."""


class Tmpfs:
    """A file system of its own in memory, filled by a file to its last page."""

    name = "full file system"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        room = os.statvfs(self.folder)
        with self._ballast.open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, room.f_bavail * room.f_frsize)

    def free(self) -> None:
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.folder / "ballast"


class SizeLimit:
    """The kernel's limit of a file's size, set to nothing in the child; it needs no privileges."""

    name = "file-size limit"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def fill(self) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))

    def free(self) -> None:
        """Nothing to do: the limit ended with the child."""


@contextmanager
def open_disk(folder: Path, kind: type[Tmpfs] | type[SizeLimit] | None = None) -> Iterator[Disk | None]:
    """A disk of that kind; of the best kind there is without one, and None where the kind is not to be had."""
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256m", "none", str(folder)]
    mounted = kind is not SizeLimit and not subprocess.run(words, check=False, capture_output=True).returncode
    try:
        yield Tmpfs(folder) if mounted else None if kind is Tmpfs else SizeLimit(folder)
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)


def obey_permissions() -> None:
    """Give up what lets root write anywhere; the owner of a file is then bound by its permissions as anybody is."""
    version = (ctypes.c_uint32 * 2)(0x20080522, 0)
    ctypes.CDLL(None).capset(version, (ctypes.c_uint32 * 6)())


def do(words: str, folder: Path, data_root: Path, before: Callable[[], object] = eager) -> CompletedProcess[str]:
    """``okdbench <words>`` in a process of its own, with what it says on standard error.

    That goes through a pipe, because a process that may write no file cannot say so in one.
    """
    reader, writer = CONTEXT.Pipe(duplex=False)
    command = Command(words.split(), folder, data_root, partial(_speak, writer, before))
    writer.close()
    done = command.wait(PATIENCE)
    said = b""
    while part := os.read(reader.fileno(), 65536):
        said += part
    return CompletedProcess(words, done.returncode, done.stdout, said.decode())


def _speak(writer: Connection, before: Callable[[], object]) -> None:
    os.dup2(writer.fileno(), 2)
    writer.close()
    before()


@cache
def untouched(folder: Path, data_root: Path) -> Path:
    """The folder of the small run that nothing happened to, made once below ``folder``."""
    runs = folder / "untouched"
    done = do(f"{SMALL} --runs {runs}", folder, data_root)
    assert done.returncode == 0, done.stderr
    return run_in(runs)


def run_in(runs: Path) -> Path:
    """The folder of the only run that is done."""
    (record,) = runs.glob("*/record.json")
    return record.parent
