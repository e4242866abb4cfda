"""Ctrl-C between two steps instead of in the middle of one, and processes that end with the one that started them."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1  # from Linux's sys/prctl.h


def end_with(parent: int) -> None:
    """Let this process be killed when the process ``parent``, which started it, ends, in whatever way (on Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before it could be watched
        raise SystemExit(1)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Inside the block the first interrupt only sets a flag, which the yielded function reads; the second one strikes.

    Outside the main thread signals cannot be caught, and the flag stays down.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    received: list[int] = []
    before = {number: signal.getsignal(number) for number in SIGNALS}

    def note(number: int, _frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)

    for number in SIGNALS:
        signal.signal(number, note)
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
