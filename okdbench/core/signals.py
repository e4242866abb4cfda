"""Interrupts that take effect between two training steps, and processes that end with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Ctrl-C, and what `kill` and cluster schedulers send
SIGNALS = (signal.SIGINT, signal.SIGTERM)
PR_SET_PDEATHSIG = 1  # from sys/prctl.h of Linux


def end_with(parent: int) -> None:
    """Have the kernel kill this process when its parent process ends for any reason (Linux only).

    Args:
        parent: process id of the parent, read before this process was started.

    Raises:
        SystemExit: the parent has ended already.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    # the parent may have ended before the call above; this process then has another parent
    if os.getppid() != parent:
        raise SystemExit(1)


@contextmanager
def deferred() -> Iterator[Callable[[], bool]]:
    """Defer the first interrupt inside the block; the yielded function tells whether there was one.

    The second interrupt raises KeyboardInterrupt at once. Outside the main thread Python cannot handle signals, and the
    function always returns False.
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
