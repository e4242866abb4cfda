"""Locks between processes: whoever waits for one says which, since when it is held, and by whom.

The operating system ends a lock with its process, so the lock of a process that was killed blocks nobody. Whoever holds
one describes itself in a file beside it, because the lock's own file is emptied by some versions of ``filelock``.
"""

from __future__ import annotations

import json
import os
import shlex
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from filelock import FileLock, Timeout

from okdbench.core.files import printable
from okdbench.core.notices import say

#: seconds of waiting before the first line about it, and between two lines
FIRST, AGAIN = 1.0, 60.0


class Lock:
    """A lock on a file that several processes know; to be used in a ``with`` statement, which waits for it."""

    def __init__(self, file: Path) -> None:
        self._file, self._lock = file, FileLock(file)
        self._began: float | None = None
        self._said: float | None = None

    def __enter__(self) -> Lock:
        self.acquire()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def acquire(self) -> None:
        """Wait for the lock."""
        while not self.attempt(FIRST):
            pass

    def attempt(self, seconds: float = 0.0) -> bool:
        """Try to get the lock for so long; whether that worked.

        Calls in a row are one wait, of which a line on standard error tells after a second, and then every minute.
        """
        if self._began is None:
            self._began = time.monotonic()
        try:
            self._lock.acquire(timeout=seconds)
        except Timeout:
            self._report(time.monotonic())
            return False
        self._began = self._said = None
        # Without room for this file the lock is a lock nevertheless.
        with suppress(OSError):
            holder_file(self._file).write_bytes(json.dumps(_this_process()).encode())
        return True

    def release(self) -> None:
        """Give the lock back."""
        if self._lock.is_locked:
            with suppress(OSError):
                holder_file(self._file).unlink(missing_ok=True)
        self._lock.release()

    def _report(self, now: float) -> None:
        assert self._began is not None
        if now - self._began < FIRST or (self._said is not None and now - self._said < AGAIN):
            return
        self._said = now
        say(f"waiting for the lock {self._file}, {_holder(self._file)}")


@contextmanager
def if_free(file: Path) -> Iterator[bool]:
    """Hold the lock during the block, or not at all if another process has it; the value says which."""
    lock = Lock(file)
    got = lock.attempt()
    try:
        yield got
    finally:
        if got:
            lock.release()


def holder_file(file: Path) -> Path:
    """Where the holder of a lock describes itself; the file is deleted with the release."""
    return file.with_name(f"{file.name}.holder")


def _this_process() -> dict[str, str | int]:
    words = [Path(sys.argv[0]).name, *sys.argv[1:]]
    since = datetime.now(UTC).isoformat(timespec="seconds")
    return {"pid": os.getpid(), "host": socket.gethostname(), "since": since, "command": shlex.join(words)}


def _holder(file: Path) -> str:
    """Who holds the lock, and what to do if nobody does."""
    try:
        found = json.loads(holder_file(file).read_text())
        pid = int(found["pid"])
        since, host, command = (printable(str(found[name])) for name in ("since", "host", "command"))
    except (OSError, ValueError, LookupError, TypeError):
        return "held by a process that has not said who it is"
    text = f"held since {since} by process {pid} on {host} ({command})"
    if host != socket.gethostname():
        return f"{text}; if that process has ended, remove {file}"
    if _is_alive(pid):
        return text
    return f"{text}, which has ended; unless a process that it started goes on, remove {file}"


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # it is another user's
        return True
    return True
