"""The exception for mistakes of the user, and the texts that error messages share.

The command line prints a :class:`UserError` as one line and exits with code 2; any other exception is a bug and keeps
its traceback.
"""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable

#: characters of another library's message that are quoted
LONGEST = 120
#: names that a message lists in full; of more names it lists the nearest
MOST_LISTED = 40
NEAREST = 10


class UserError(Exception):
    """A mistake that the user can fix; the message is one line and names the fix."""


class HyperparameterError(UserError):
    """A method refuses networks or images that it takes with other hyper-parameters; ``cure`` has these."""

    def __init__(self, problem: str, **cure: object) -> None:
        super().__init__(f"{problem}; it takes {', '.join(f'{name}={value}' for name, value in cure.items())}")
        self.problem, self.cure = problem, cure


class NonFiniteLossError(Exception):
    """A loss or a logit became NaN or infinite; the message names the stage, the step and the loss term."""


def one_line(error: BaseException, *, kind: bool = False) -> str:
    r"""The first line of an error's message, cut to 120 characters; the error's type if the message is empty.

    Args:
        error: any exception, such as one that a library raised.
        kind: whether the type comes first, as in a traceback.

    >>> one_line(ValueError("too small\nbecause ...")), one_line(ValueError("too small"), kind=True)
    ('too small', 'ValueError: too small')
    """
    name = type(error).__name__
    text = error.msg if isinstance(error, SyntaxError) else str(error)  # str() would repeat the file and the line
    line = next(iter(text.strip().splitlines()), "")
    return (f"{name}: {line}" if kind and line else line or name)[:LONGEST]


def os_reason(error: OSError) -> str:
    """Why the operating system refused, in lower case and without the file's name.

    >>> os_reason(FileNotFoundError(2, "No such file or directory", "a.yaml"))
    'no such file or directory'
    """
    return (error.strerror or str(error)).lower()


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that does not exist: it suggests the most similar name, or lists the names that exist.

    Args:
        kind: what the name is of, such as ``method``.
        name: the name that was given.
        known: the names that exist.

    >>> str(unknown("method", "augk", ["augkd", "kd"]))
    "unknown method 'augk'; did you mean 'augkd'?"
    >>> str(unknown("setting", "X", ["MP-O", "OP-M"]))
    "unknown setting 'X'; known: MP-O, OP-M"
    """
    names = sorted(known)
    if len(names) > MOST_LISTED:
        # no least similarity: the whole list is too long, so the nearest names are all that can be offered
        nearest = _similar(name, names, NEAREST, least=0)
        return UserError(f"unknown {kind} {name!r}; the nearest: {', '.join(nearest)}")
    if match := _similar(name, names, 1, least=0.5):
        return UserError(f"unknown {kind} {name!r}; did you mean {match[0]!r}?")
    return UserError(f"unknown {kind} {name!r}; known: {', '.join(names) or 'none'}")


def _similar(name: str, names: Iterable[str], number: int, least: float) -> list[str]:
    """The most similar names, at least ``least`` in [0, 1]; those that begin with ``name`` come first."""
    given = name.lower()
    matcher = difflib.SequenceMatcher(b=given)
    ranked = []
    for known in names:
        matcher.set_seq1(known.lower())
        if (ratio := matcher.ratio()) >= least:
            ranked.append((known.lower().startswith(given), ratio, known))
    return [known for _, _, known in heapq.nlargest(number, ranked)]
