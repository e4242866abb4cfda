"""Runs that are found more than once, such as in a folder and in an archive of it: each key counts once."""

from __future__ import annotations

import json
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from okdbench.results.records import Record


class Reason(StrEnum):
    """Why a record is left out in favour of another one of its key."""

    SAME = "there more than once, with equal results"
    FAILED = "failed, and finished elsewhere"
    OTHER = "there more than once with different results; the last one counts"


class LeftOut(NamedTuple):
    """A record that does not count, and why."""

    record: Record
    reason: Reason


def once_each(records: Iterable[Record]) -> tuple[list[Record], list[LeftOut]]:
    """One record for each key, sorted by key, and those that are left out; the order of the records is irrelevant.

    A finished run counts before a failed one, a later one before an earlier one.
    """
    found: dict[str, list[Record]] = {}
    for record in records:
        found.setdefault(record.key, []).append(record)
    kept, left_out = [], []
    for key in sorted(found):
        *others, best = sorted(found[key], key=_precedence) if len(found[key]) > 1 else found[key]
        kept.append(best)
        left_out += [LeftOut(other, _reason(other, best)) for other in others]
    return kept, left_out


def _precedence(record: Record) -> tuple[bool, str, str]:
    # The whole record at the end, so that the choice is the same whichever is found first.
    return record.status == "done", record.finished, record.model_dump_json()


def _reason(other: Record, best: Record) -> Reason:
    if other.status != best.status:
        return Reason.FAILED
    return Reason.SAME if _text(other) == _text(best) else Reason.OTHER


def _text(record: Record) -> str:
    # As text, because NaN is not equal to itself.
    return json.dumps(record.comparable(), sort_keys=True)
