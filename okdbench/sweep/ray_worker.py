"""The code of a Ray task, which runs in a worker on a node: one child process, its log and its output files."""

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
from okdbench.sweep import child_process

LOG_FILE = "log.txt"
#: files that a child may leave; a teacher's weights and the record are last, so that they imply all others
OUTPUT_FILES = (
    "config.yaml",
    "metrics.jsonl",
    "student.safetensors",
    "predictions.npz",
    "samples.npz",
    "training.json",
    "teacher.safetensors",
    "record.json",
)
#: interval at which the child's log is read
POLL_SECONDS = 0.2
#: a node that fails at once keeps its slot for so long; otherwise it would take every job from the healthy nodes
FAILURE_PAUSE_SECONDS = 30.0

#: (file name, content), where the content of the log comes in pieces; the last message is the exit code
Message = tuple[str, bytes] | int


@dataclass(frozen=True)
class WorkerTask:
    """One child process for a node.

    Attributes:
        arguments: the command line after ``okdbench``.
        working_folder: where the child is started, on shared storage; empty for a temporary folder of the node.
        folder: where its log and its output files are, relative to ``working_folder`` or absolute.
        threads: number of CPU threads of the child.
        source: :func:`source_digest` of the driver.
    """

    arguments: tuple[str, ...]
    working_folder: str
    folder: str
    threads: int
    source: str


def run_task(task: WorkerTask, input_names: Sequence[str], *input_contents: bytes) -> Iterator[Message]:
    """Run the child of ``task`` and yield its messages; this generator is the Ray task.

    With shared storage, the exit code is the only message, because the driver sees the files.

    Args:
        task: the child to start.
        input_names: paths of files that the child reads, relative to its working folder.
        input_contents: the contents of these files.

    Raises:
        RuntimeError: the okdbench of this node is not the driver's, or the node does not see the shared folder.
        OSError: a file cannot be written, for example because the disk is full.
    """
    try:
        yield from _run(task, input_names, input_contents)
    except Exception:
        time.sleep(FAILURE_PAUSE_SECONDS)
        raise


def _run(task: WorkerTask, input_names: Sequence[str], input_contents: Sequence[bytes]) -> Iterator[Message]:
    if task.source != source_digest():
        raise RuntimeError(f"the node has another okdbench ({okdbench.__version__}); install the driver's on all nodes")
    if task.working_folder and not Path(task.folder).is_dir():
        raise RuntimeError(f"the node does not see {task.folder}; mount it there, or leave out --shared")
    with tempfile.TemporaryDirectory(prefix="okdbench-") as temporary:
        working_folder = Path(task.working_folder or temporary)
        for name, content in zip(input_names, input_contents, strict=True):
            write_atomic(working_folder / name, content)
        folder = working_folder / task.folder
        with _child(task, working_folder, folder / LOG_FILE) as child:
            for piece in _new_output(child, folder / LOG_FILE):
                if piece and not task.working_folder:
                    yield LOG_FILE, piece
        for name in () if task.working_folder else OUTPUT_FILES:
            if (folder / name).is_file():
                yield name, (folder / name).read_bytes()
        yield child.returncode


@contextmanager
def _child(task: WorkerTask, working_folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The child, which is killed at the end of the block if it still runs."""
    # overrides the node's own setting: the number of threads changes the order of sums, and so the last bits
    threads = {"OMP_NUM_THREADS": str(task.threads)}
    child = child_process.launch(task.arguments, log, task.threads, threads, working_folder)
    try:
        yield child
    finally:
        # after an error here, such as a full disk, no child must go on writing; one that has ended is left alone
        child.kill()
        child.wait()


def _new_output(child: subprocess.Popen[bytes], log: Path) -> Iterator[bytes]:
    """New content of the log, at each interval until the child has ended; may be empty."""
    with log.open("rb") as file:
        while child.poll() is None:
            yield file.read()
            time.sleep(POLL_SECONDS)
        # once more, for what was written between the last reading and the end
        yield file.read()


def source_digest() -> str:
    """A hash of the source of okdbench, its methods and its data sets; equal for a clone and an installed package."""
    root = Path(okdbench.__file__).parent
    # named as below an installed package; in a clone these two folders are elsewhere
    files = {f"{name}/{file.name}": file for name in ("methods", "datasets") for file in _plugins(name)}
    files |= {str(file.relative_to(root)): file for file in root.rglob("*.py")}
    # sorted, because the order in which a folder is listed depends on the file system
    return hashlib.sha256(b"".join(name.encode() + files[name].read_bytes() for name in sorted(files))).hexdigest()


def _plugins(name: str) -> Iterator[Path]:
    folder = next(iter(importlib.import_module(f"okdbench.{name}").__path__))
    return Path(folder).glob("*.py")
