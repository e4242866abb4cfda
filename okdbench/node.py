"""What happens on a node of a cluster: one order, one child process, and what it left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import okdbench
from okdbench import machine, pool
from okdbench.records import write_atomic

#: what comes back from a node, in this order: a record is written when everything else is there
OUTPUTS = (
    "log.txt",
    "config.yaml",
    "metrics.jsonl",
    "student.safetensors",
    "samples.npz",
    "teacher.safetensors",
    "record.json",
)
#: how long a cancelled run may take to save its state, in seconds
STOP_SECONDS = 15.0


@dataclass(frozen=True)
class Order:
    """One child for a node.

    Attributes:
        words: what follows ``okdbench``, without the folder of runs.
        folder: the child's folder, relative to the folder of runs.
        runs: the folder of runs on shared storage; empty for one on the node's own disk, named after ``owner``.
        threads: what the child may use.
        source: what the driver runs; a node with another okdbench would not be a fair one.
    """

    words: tuple[str, ...]
    folder: str
    runs: str
    owner: str
    threads: int
    source: str

    def place(self) -> Path:
        """The folder of runs where the child works."""
        return Path(self.runs or Path(tempfile.gettempdir()) / f"okdbench-{os.getuid()}-{self.owner}")


@dataclass(frozen=True)
class Ended:
    """What a child left: its exit code, and its files where storage is not shared."""

    code: int
    files: Mapping[str, bytes]


def carry_out(order: Order, names: Sequence[str], *contents: bytes) -> Ended:
    """Write what the child reads, start it, wait for it, read what it left.

    Args:
        names: files relative to the folder of runs, whose ``contents`` follow; those that are there stay.
    """
    if order.source != source():
        raise RuntimeError(f"the node has okdbench {source()}, the driver {order.source}; install the same on both")
    runs = order.place()
    for name, content in zip(names, contents, strict=True):
        if not (runs / name).exists():
            write_atomic(runs / name, content)
    folder = runs / order.folder
    child = pool.launch([*order.words, "--runs", str(runs)], folder / "log.txt", order.threads)
    return Ended(_wait(child), {} if order.runs else _read(folder))


def _wait(child: subprocess.Popen[bytes]) -> int:
    """The exit code; when the task is cancelled, the child gets a chance to save its state."""
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            return child.wait(STOP_SECONDS)
        child.kill()
        return child.wait()


def _read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS if (folder / name).is_file()}


def read_log(order: Order) -> bytes:
    """The log of a child that died with its worker; empty where it did not run."""
    log = order.place() / order.folder / "log.txt"
    return log.read_bytes() if log.is_file() else b""


def source() -> str:
    """What must be the same on all nodes."""
    return f"{okdbench.__version__} {machine.commit()}".strip()
