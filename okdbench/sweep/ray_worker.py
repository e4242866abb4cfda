"""What happens on a node of a cluster: one order, one child process, and what it says and leaves behind."""

from __future__ import annotations

import hashlib
import importlib
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import okdbench
from okdbench.core.files import write_atomic
from okdbench.sweep import process

LOG = "log.txt"
#: what a child may leave; weights of a teacher and a record come last, so that everything else is there by then
OUTPUTS = (
    "config.yaml",
    "metrics.jsonl",
    "student.safetensors",
    "samples.npz",
    "training.json",
    "teacher.safetensors",
    "record.json",
)
#: how often the child's log is looked at
POLL_SECONDS = 0.2
#: how long a node that cannot begin holds its place, lest it draw every job that others could do
PAUSE_SECONDS = 30.0

#: a piece of the log, or the whole of another file, with its name; at last the exit code
Part = tuple[str, bytes] | int


@dataclass(frozen=True)
class WorkerTask:
    """One child for a node.

    Attributes:
        words: what follows ``okdbench``.
        place: the folder on shared storage where the child is started; empty for a new one on the node's own disk.
        folder: where its log and its outputs are, from that folder.
        threads: how many the child may use.
        source: the driver's :func:`source`.
    """

    words: tuple[str, ...]
    place: str
    folder: str
    threads: int
    source: str


def carry_out(order: WorkerTask, names: Sequence[str], *contents: bytes) -> Iterator[Part]:
    """Start the child of ``order``; tell what it says meanwhile and, where storage is not shared, what it has left.

    Args:
        names: files that the child reads, from the folder where it is started; their ``contents`` follow.

    Raises:
        RuntimeError: this node's okdbench is not the driver's, or it does not see the shared folder.
        OSError: its disk is full, say.
    """
    try:
        yield from _carry_out(order, names, contents)
    except Exception:
        time.sleep(PAUSE_SECONDS)
        raise


def _carry_out(order: WorkerTask, names: Sequence[str], contents: Sequence[bytes]) -> Iterator[Part]:
    if order.source != source():
        raise RuntimeError(f"the node has another okdbench ({okdbench.__version__}); install the driver's on all nodes")
    if order.place and not Path(order.folder).is_dir():
        raise RuntimeError(f"the node does not see {order.folder}; mount it there, or leave out --shared")
    with tempfile.TemporaryDirectory(prefix="okdbench-") as own:
        place = Path(order.place or own)
        for name, content in zip(names, contents, strict=True):
            write_atomic(place / name, content)
        folder = place / order.folder
        with _running(order, place, folder / LOG) as child:
            for piece in _follow(child, folder / LOG):
                if piece and not order.place:
                    yield LOG, piece
        for name in () if order.place else OUTPUTS:
            if (folder / name).is_file():
                yield name, (folder / name).read_bytes()
        yield child.returncode


@contextmanager
def _running(order: WorkerTask, place: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The child, which ends with this block."""
    # whatever the node's own setting is, since the number of threads may show in the last bits of a result
    child = process.launch(order.words, log, order.threads, {"OMP_NUM_THREADS": str(order.threads)}, place)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def _follow(child: subprocess.Popen[bytes], log: Path) -> Iterator[bytes]:
    """What is new in the log, again and again until the child has ended."""
    with log.open("rb") as said:
        while child.poll() is None:
            yield said.read()
            time.sleep(POLL_SECONDS)
        yield said.read()


def source() -> str:
    """A hash of okdbench's source, which must be the same on all nodes, whether it lies in a clone or is installed."""
    root = Path(okdbench.__file__).parent
    files = {f"{name}/{file.name}": file for name in ("methods", "datasets") for file in _plugins(name)}
    files |= {str(file.relative_to(root)): file for file in root.rglob("*.py")}
    return hashlib.sha256(b"".join(name.encode() + files[name].read_bytes() for name in sorted(files))).hexdigest()


def _plugins(name: str) -> Iterator[Path]:
    folder = next(iter(importlib.import_module(f"okdbench.{name}").__path__))
    return Path(folder).glob("*.py")
