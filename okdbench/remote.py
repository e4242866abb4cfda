"""A child on a node of a Ray cluster, as the pool sees one."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from okdbench import node, pool
from okdbench.errors import one_line
from okdbench.records import parse_record, write_atomic


class Remote:
    """What a node tells of a child, ``parts`` by part; what the child says and leaves is put into ``folder``.

    It answers as a :class:`subprocess.Popen` does.
    """

    def __init__(self, ray: Any, parts: Any, folder: Path) -> None:
        self._ray, self._parts, self._folder = ray, parts, folder
        self._code: int | None = None

    def poll(self) -> int | None:
        """The exit code once it has ended and its files are here; -9 when its worker was killed."""
        while self._code is None and self._ray.wait([self._parts], timeout=0)[0]:
            self._code = self._take()
        return self._code

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
            self._ray.wait([self._parts], timeout=left)
        return code

    def send_signal(self, sig: int, /) -> None:  # noqa: ARG002 - a cancelled task interrupts its child
        """Let the child save its state and end."""
        self._ray.cancel(self._parts)

    def kill(self) -> None:
        """End its worker, and the child with it."""
        if self._code is None:
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
        except errors.RayTaskError as error:
            note(self._folder, one_line(error.cause))
            return 1
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
