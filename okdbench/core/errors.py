"""The one exception that the command line turns into a line and exit code 2."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class UserError(Exception):
    """Something the user can mend; the message is one line and names the cure."""


class NonFiniteLossError(Exception):
    """A loss became NaN or infinite; the message names the stage, the step and the term."""


def one_line(error: Exception) -> str:
    """The first line of what a library says, cut to 120 letters; the error's kind when it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)[:120]


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a misspelt name.

    >>> str(unknown("method", "augk", ["augkd", "kd"]))
    "unknown method 'augk'; did you mean 'augkd'?"
    >>> str(unknown("setting", "X", ["MP-O", "OP-M"]))
    "unknown setting 'X'; known: MP-O, OP-M"
    """
    names = sorted(known)
    close = difflib.get_close_matches(name.lower(), [n.lower() for n in names], n=1, cutoff=0.5)
    match = next((n for n in names if close and n.lower() == close[0]), None)
    if match:
        return UserError(f"unknown {kind} {name!r}; did you mean {match!r}?")
    return UserError(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}")
