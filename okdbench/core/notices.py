"""Lines on standard error beside what a command prints: what it assumes, warns of and leaves out."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_listeners: list[list[str]] = []
#: what this process has printed that is printed once
_once: set[str] = set()


def say(text: str) -> None:
    """Print a line on standard error, so that CSV or JSON on standard output stays readable for programs."""
    print(f"okdbench: {text}", file=sys.stderr, flush=True)
    _tell(text)


def say_once(text: str) -> None:
    """Print a line on standard error, unless this process has printed it before; who listens hears it each time."""
    if text in _once:
        _tell(text)
    else:
        _once.add(text)
        say(text)


def _tell(text: str) -> None:
    for lines in _listeners:
        lines.append(text)


@contextmanager
def heard() -> Iterator[list[str]]:
    """The value of the context is a list, to which each line that is said inside of it is added."""
    lines: list[str] = []
    _listeners.append(lines)
    try:
        yield lines
    finally:
        # by identity: two listeners may have heard the same
        _listeners[:] = [each for each in _listeners if each is not lines]
