"""A child on a node of a Ray cluster, as the pool sees one."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from okdbench.core.errors import one_line
from okdbench.core.files import write_atomic
from okdbench.results.store import parse_record
from okdbench.sweep import ray_worker as node
from okdbench.sweep import scheduler as pool


class RayHandle:
    """What a node tells of a child, part by part; what the child says and leaves is put into the folder of ``job``.

    It answers as a :class:`subprocess.Popen` does. Where storage is not shared, the child has a folder of its own, and
    this holds the ``lock`` of the job's: two drivers, or a driver and ``okdbench run``, never do one job twice.
    """

    def __init__(self, ray: Any, job: pool.Job, submit: Callable[[], Any], lock: FileLock | None) -> None:
        self._ray, self._job, self._submit, self._lock = ray, job, submit, lock
        self._folder = job.log.absolute().parent
        self._parts: Any = None
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code once it has ended and its files are here; -9 when its worker was killed."""
        if self._parts is None and self._code is None:
            self._begin()
        while self._code is None and self._parts is not None and self._ray.wait([self._parts], timeout=0)[0]:
            self._code = self._take()
        if self._lock and self._code is not None:
            self._lock.release()
        return self._code

    def _begin(self) -> None:
        """Hand the job to Ray, unless another process has it in hand, or has done it by now."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._lock:
            try:
                self._lock.acquire(timeout=0)
            except Timeout:
                return
            if not self._job.begin():
                self._code = 0
                return
        self._parts = self._submit()

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended after ``timeout`` seconds.
        """
        until = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                raise subprocess.TimeoutExpired(str(self._folder), timeout or 0)
            time.sleep(min(pool.POLL_SECONDS, left or pool.POLL_SECONDS))
        return code

    def send_signal(self, sig: int, /) -> None:  # noqa: ARG002
        """End the child at once: a task that tells things part by part does not hear of a gentle cancellation."""
        self.kill()

    def kill(self) -> None:
        """End its worker, and the child with it; where storage is shared, its last checkpoint stays."""
        if self._parts is None:
            self._code = -signal.SIGKILL
        elif self._code is None:
            self._ray.cancel(self._parts, force=True)

    def _take(self) -> int | None:
        """Take the next part of what the node tells; the exit code when it is the last."""
        errors = self._ray.exceptions
        try:
            part: node.Part = self._ray.get(next(self._parts))
        except errors.TaskCancelledError:
            return -signal.SIGINT
        except (errors.NodeDiedError, errors.LocalRayletDiedError, errors.ObjectLostError) as error:
            note(self._folder, one_line(error))
            return pool.LOST
        except errors.RayTaskError as error:  # the node's disk is full, say; another one may do better
            note(self._folder, one_line(error.cause))
            return pool.LOST
        except (errors.RayError, StopIteration) as error:  # the worker was killed, perhaps for want of memory
            note(self._folder, one_line(error))
            return -signal.SIGKILL
        if isinstance(part, int):
            return part
        keep(self._folder, *part)
        return None


def keep(folder: Path, name: str, content: bytes) -> None:
    """Put what a node has sent into the run's ``folder``: what it calls log is added to the log.

    Nothing but the files that a child leaves is kept, under their own names; a record must be one of this run.
    """
    if name == node.LOG:
        _append(folder, content)
    elif name not in node.OUTPUTS:
        note(folder, f"the node sent a file that no run leaves, {name!r}; it was thrown away")
    elif fault := _fault(content, folder.name) if name == "record.json" else "":
        note(folder, f"the node's record was thrown away: {fault}")
    else:
        write_atomic(folder / name, content)


def _fault(content: bytes, key: str) -> str:
    """What is wrong with a record of the run ``key``; nothing for a sound one."""
    try:
        record = parse_record(content)
    except ValueError as error:
        return str(error)
    return "" if record.key == key else f"it is of another run, {record.key!r}"


def note(folder: Path, line: str) -> None:
    """Add a line of our own to the run's log."""
    _append(folder, f"okdbench: {line}\n".encode())


def _append(folder: Path, content: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / node.LOG).open("ab") as log:
        log.write(content)
