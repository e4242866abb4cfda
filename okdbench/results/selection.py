"""Chooses records by the names that the tables show; a name that no record has is an error, not an empty result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from okdbench.core.errors import unknown
from okdbench.core.settings import task_of
from okdbench.results.grouping import ALL, label
from okdbench.results.records import Record


def choose(records: Sequence[Record], wanted: Mapping[str, str | None], settings: Sequence[str]) -> list[Record]:
    """The records that have the ``wanted`` values; chosen ``settings`` replace the data set's default ones.

    Args:
        records: of any comparison groups.
        wanted: field of a record -> the value that it must have, ``all`` for every label per class; None for any.
        settings: only these; none for all.

    Raises:
        UserError: no record has such a value.
    """
    kept = list(records)
    # One field after the other, so that an error lists only values that fit the fields before.
    for field, value in wanted.items():
        if kept and value is not None:
            known = {_spelt(record, field) for record in kept}
            if value not in known:
                raise unknown(f"{field} among the records", value, known)
            kept = [record for record in kept if _spelt(record, field) == value]
    known = {record.setting for record in kept}
    for setting in settings:
        if kept and setting not in known:
            raise unknown("setting among the records", setting, known)
    if settings:
        # A row is complete when it has every default setting, so those become the chosen ones.
        kept = [
            record.model_copy(update={"default_settings": _of_task(record.task, settings)})
            for record in kept
            if record.setting in settings
        ]
    return kept


def _spelt(record: Record, field: str) -> str:
    value = getattr(record, field)
    return ALL if value is None else str(value)


def _of_task(task: str, settings: Sequence[str]) -> tuple[str, ...]:
    return tuple(setting for setting in settings if task_of(setting) == task)


def of_methods(records: Sequence[Record], methods: Sequence[str]) -> list[Record]:
    """The records of these methods, named as the tables name them, or all where none is named.

    Raises:
        UserError: a method has none.
    """
    known = {label(record) for record in records}
    for method in methods:
        if method not in known:
            raise unknown("method among the records", method, known)
    return [record for record in records if not methods or label(record) in methods]
