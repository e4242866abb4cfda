"""Which records may stand beside each other, and which of them count. Pure functions, free of torch.

Rows are compared only with rows of their *contest*: the same data set, track, budget, teacher and student. In it a
*cell* is a setting with a seed. What was superseded counts nowhere: runs of another protocol version, runs of a
method's code before it changed, and runs on pictures that are others by now.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from okdbench.core.config import RunConfig
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.core.syntax import spell_assignments
from okdbench.results.records import Record
from okdbench.results.store import read_all

#: the name of the row over all settings
ALL = "all"

#: what, beside the architectures, makes two teachers or students incomparable
_CONDITIONS = ("image_size", "pretrained", "precision", "teacher_weights", "test_split")


class ComparisonGroup(NamedTuple):
    """What rows must share to be compared."""

    dataset: str
    track: str
    budget: str
    teacher: str
    student: str


class Cell(NamedTuple):
    """One run's place in a row."""

    setting: str
    seed: int


def contests(records: Iterable[Record]) -> dict[ComparisonGroup, list[Record]]:
    """The records by contest, without those that were superseded."""
    found: dict[ComparisonGroup, list[Record]] = {}
    for record in current(records):
        found.setdefault(_contest(record), []).append(record)
    return found


def current(records: Iterable[Record]) -> list[Record]:
    """The records of this protocol version, of the code that each method had last, and of each setting's last pictures.

    The last is what the run that finished last had (``environment["finished"]``, an ISO time).
    """
    ordered = sorted((r for r in records if r.protocol == PROTOCOL_VERSION), key=_when)
    pictures = {(_contest(record), record.setting): record.data_digest for record in ordered}
    kept = [record for record in ordered if record.data_digest == pictures[_contest(record), record.setting]]
    code = {(_contest(record), label(record)): record.source for record in kept}
    return [record for record in kept if record.source == code[_contest(record), label(record)]]


def consult(source: Path) -> list[Record]:
    """All records in ``source``, with a line on standard error for those that were superseded.

    Raises:
        UserError: there are none.
    """
    records = read_all(source)
    superseded = len(records) - len(current(records))
    if superseded:
        print(f"okdbench: older code, pictures or protocol: {superseded} records are left out", file=sys.stderr)
    return records


def finished(records: Iterable[Record]) -> dict[str, dict[Cell, Record]]:
    """Method -> cell -> the run that counts there, of one contest; a method without a finished run has no cells."""
    return {name: counting(runs) for name, runs in by_method(records).items()}


def runs_of(contest: ComparisonGroup, method: str, records: Iterable[Record]) -> dict[Cell, Record]:
    """The finished runs that the rows of ``method`` in ``contest`` are made of."""
    return finished(contests(records).get(contest, [])).get(method, {})


def by_method(records: Iterable[Record]) -> dict[str, list[Record]]:
    """Label -> its records."""
    methods: dict[str, list[Record]] = {}
    for record in records:
        methods.setdefault(label(record), []).append(record)
    return methods


def counting(records: Iterable[Record]) -> dict[Cell, Record]:
    """The run that counts in each cell: the last that finished.

    Failed runs, and those whose accuracy is not a number, count as absent.
    """
    done = [
        record
        for record in records
        if record.status == "done" and record.selected and math.isfinite(record.selected.evaluation.test.acc)
    ]
    return {Cell(record.setting, record.seed): record for record in sorted(done, key=_when)}


def settings_of(name: str, records: Sequence[Record]) -> set[str]:
    """The settings that a row called ``name`` is about: itself, or for ``all`` the data set's default ones."""
    if name != ALL:
        return {name}
    return {setting for record in records for setting in record.default_settings} or {r.setting for r in records}


def label(record: Record) -> str:
    """What the record's row is called: ``kd``, ``kd[lr=0.1]`` with changed hyper-parameters, ``mine (local)``."""
    return _named(f"{record.method} ({record.origin})" if record.origin else record.method, record.variant)


def _when(record: Record) -> str:
    return record.environment.get("finished", "")


def _contest(record: Record) -> ComparisonGroup:
    """The record's contest; conditions other than the defaults are spelt out behind the teacher's name."""
    usual = {name: RunConfig.model_fields[name].default for name in _CONDITIONS}
    unusual = {name: record.config[name] for name in _CONDITIONS if record.config.get(name, usual[name]) != usual[name]}
    if record.data_note:
        unusual["pictures"] = "differing"
    teacher = _named(record.teacher, spell_assignments(unusual))
    return ComparisonGroup(record.dataset, record.track, record.budget, teacher, record.student)


def _named(name: str, difference: str) -> str:
    """``kd`` when it is as usual, ``kd[lr=0.1]`` when it is not."""
    return f"{name}[{difference}]" if difference else name
