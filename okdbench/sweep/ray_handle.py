"""The driver's handle of one Ray task: receives its messages and writes its files, and behaves like a child process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from okdbench.core.errors import one_line
from okdbench.core.files import write_atomic
from okdbench.core.locks import Lock
from okdbench.results.store import parse_record
from okdbench.sweep.ray_worker import LOG_FILE, OUTPUT_FILES, Message
from okdbench.sweep.retries import NODE_LOST
from okdbench.sweep.scheduler import POLL_SECONDS, Job


class RayHandle:
    """A job on a Ray cluster, with the methods of :class:`subprocess.Popen`.

    Where storage is not shared, the child writes to a folder of its own, and this handle holds the lock of the job's
    folder in its place: two drivers, or a driver and ``okdbench run``, never do one job twice.
    """

    def __init__(self, ray: Any, job: Job, submit: Callable[[], Any], lock: Lock | None) -> None:
        """Prepare the handle; the task is submitted by the first :meth:`poll` that gets the lock.

        Args:
            ray: the connected module.
            job: the job; the log and the output files of its child are written into its folder.
            submit: starts the Ray task and returns the generator of its messages.
            lock: lock of the job's folder; None with shared storage, where the child takes it.
        """
        self._ray, self._job, self._submit, self._lock = ray, job, submit, lock
        self._folder = job.log.absolute().parent
        self._messages: Any = None
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code once the child has ended and its files are written, else None; -9 if its worker was killed."""
        if self._messages is None and self._code is None:
            self._try_submit()
        # all that has arrived, because a log comes in many pieces
        while self._code is None and self._messages is not None and self._ray.wait([self._messages], timeout=0)[0]:
            self._code = self._receive()
        # only now, so that whoever waits for the lock finds all files written
        if self._lock and self._code is not None:
            self._lock.release()
        return self._code

    def _try_submit(self) -> None:
        """Submit the task, unless another process is doing the job, or has done it meanwhile."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._lock:
            # no waiting here, because the scheduler polls all children in one loop
            if not self._lock.attempt():
                return
            if not self._job.prepare():
                # the scheduler then reads the result from the other process's files
                self._code = 0
                return
        self._messages = self._submit()

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the exit code.

        Raises:
            subprocess.TimeoutExpired: the child has not ended after ``timeout`` seconds.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self._folder), timeout or 0)
            time.sleep(min(POLL_SECONDS, left or POLL_SECONDS))
        return code

    def send_signal(self, sig: int, /) -> None:  # noqa: ARG002
        """Kill the child: Ray does not deliver a graceful cancellation to a streaming generator."""
        self.kill()

    def kill(self) -> None:
        """Kill the worker, and with it the child; with shared storage, its last checkpoint remains."""
        if self._messages is None:
            self._code = -signal.SIGKILL
        elif self._code is None:
            self._ray.cancel(self._messages, force=True)

    def _receive(self) -> int | None:
        """Process the next message; the exit code if it is the last one, or if the task has failed."""
        errors = self._ray.exceptions
        try:
            message: Message = self._ray.get(next(self._messages))
        except errors.TaskCancelledError:
            return -signal.SIGINT
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError) as error:
            append_note(self._folder, one_line(error))
            return NODE_LOST
        except errors.RayTaskError as error:  # the node failed and not the run, for example its disk is full
            append_note(self._folder, one_line(error.cause))
            return NODE_LOST
        except (errors.RayError, StopIteration) as error:  # the worker was killed, for example because memory was low
            append_note(self._folder, one_line(error))
            return -signal.SIGKILL
        if isinstance(message, int):
            return message
        store_output(self._folder, *message)
        return None


def store_output(folder: Path, name: str, content: bytes) -> None:
    """Write a file that a node has sent into the folder of its run; a piece of the log is appended.

    A node may be compromised: only the files that a child leaves are accepted, and a record must be one of this run.
    What is rejected is named in the log.

    Args:
        folder: folder of the run.
        name: file name in the message.
        content: the whole file, or a piece of the log.
    """
    if name == LOG_FILE:
        _append(folder, content)
    elif name not in OUTPUT_FILES:
        append_note(folder, f"rejected a file from the node that no run writes: {name!r}")
    elif fault := _record_fault(content, folder.name) if name == "record.json" else "":
        append_note(folder, f"rejected the record from the node: {fault}")
    else:
        write_atomic(folder / name, content)


def _record_fault(content: bytes, key: str) -> str:
    """Why the content is not a record of the run ``key``; empty if it is."""
    try:
        record = parse_record(content)
    except ValueError as error:
        return str(error)
    return "" if record.key == key else f"it is of another run, {record.key!r}"


def append_note(folder: Path, line: str) -> None:
    """Append a line of the driver to the log of a run."""
    _append(folder, f"okdbench: {line}\n".encode())


def _append(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOG_FILE).open("ab") as log:
        log.write(content)
