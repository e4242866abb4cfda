"""What ``okdbench verify`` does: the runs of one leaderboard row again, and what came out differently."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import okdbench
from okdbench.cli.run import bring_teacher, carry_out
from okdbench.core import devices as devices
from okdbench.core import environment as machine
from okdbench.core.errors import UserError
from okdbench.core.files import printable
from okdbench.results.frames import runs_of, to_frame
from okdbench.results.grouping import Cell
from okdbench.results.leaderboard import leaderboard
from okdbench.results.record_diff import circumstances, first_difference, row_differences
from okdbench.results.records import Record
from okdbench.results.row_spec import RowSpec, read_row_spec
from okdbench.results.store import read_record, read_records
from okdbench.results.table import rows_of
from okdbench.sweep.grid import lay_out
from okdbench.training.plan import Plan

Differences = dict[str, tuple[str, str]]


def verify(place: str, runs: Path | None, records: Path | None, data_root: Path | None, device: str | None) -> bool:
    """Run a row again, print what differs and the verdict; True when nothing does.

    Args:
        place: file and line, such as ``leaderboards/digits.csv:7`` (:func:`okdbench.results.row_spec.read_row_spec`).
        runs: folder of the new runs, where those that are done are not repeated; None for one that is removed after.
        records: archive or folder of the old runs; None for the one beside the file, if there is one.
        data_root: folder of pictures and caches.
        device: where to compute; None for the usual one.

    Raises:
        UserError: there is no such row, its command cannot be followed, or the new runs would be the old ones.
    """
    claim = read_row_spec(place)
    plans = _plans(claim, data_root, device)
    then = _archived(claim, records, {_cell(plan) for plan in plans})
    plans = [plan for plan in plans if not then or _cell(plan) in then]
    if len(plans) != claim.runs:
        cure = "its records are of another table" if then else "name the archive of its records with --records"
        raise UserError(f"the row is made of {claim.runs} runs, but there are {len(plans)} to repeat; {cure}")
    print(printable(f"{place}: {claim.columns['method']} {claim.columns['setting']}, runs: {len(plans)}"))
    with _folder(runs) as folder:
        _refuse_the_same(plans, then, folder)
        now = {_cell(plan): _repeat(plan, folder, then.get(_cell(plan))) for plan in plans}
    same = all(first_difference(record, now[cell]) == "" for cell, record in then.items())
    return _conclude(claim, then, now, same)


def _plans(claim: RowSpec, data_root: Path | None, device: str | None) -> list[Plan]:
    given, options = claim.given, {**claim.options, "device": device}
    assignments = given.get("assignments") or []
    return lay_out(given["method"], given.get("seed"), given.get("seeds"), assignments, options, data_root=data_root)


def _archived(claim: RowSpec, records: Path | None, cells: set[Cell]) -> dict[Cell, Record]:
    """The old records of these cells of the row; empty, with a line that says so, without them."""
    source = records or claim.file.parent / "records" / f"{claim.file.stem}.jsonl.gz"
    if records and not records.exists():
        raise UserError(f"there is no archive {records}; leave out --records to compare the numbers alone")
    found = runs_of(claim.group, claim.columns["method"], read_records(source)) if source.exists() else {}
    if not found:
        print(f"{source} has no record of this row: only the numbers in the file are compared")
    return {cell: record for cell, record in found.items() if cell in cells}


def _cell(plan: Plan) -> Cell:
    return Cell(plan.config.setting, plan.config.seed)


@contextmanager
def _folder(runs: Path | None) -> Iterator[Path]:
    if runs:
        yield runs
    else:
        with tempfile.TemporaryDirectory(prefix="okdbench-verify-") as folder:
            yield Path(folder)


def _refuse_the_same(plans: list[Plan], then: Mapping[Cell, Record], folder: Path) -> None:
    """A run that is compared with itself says nothing; the time at which it ended gives it away."""
    for plan in plans:
        there, old = read_record(folder / plan.key), then.get(_cell(plan))
        if there and old and there.status == "done" and there.environment == old.environment:
            raise UserError(f"{folder / plan.key} is the run that the row was made of; give another folder as --runs")


def _repeat(plan: Plan, folder: Path, then: Record | None) -> Record:
    """The new record of one cell, with the old one's numbers of threads; what it is like is printed at once."""
    with devices.threads(_threads(then, "teacher_threads")):
        bring_teacher(plan, folder)
    with devices.threads(_threads(then, "threads")):
        now = carry_out(plan, folder)
    if then:
        where = first_difference(then, now)
        points = f"drift of {abs(_acc(then) - _acc(now)):.2f} points; " if now.selected else ""
        print(printable(f"{plan.title}: {points}first difference: {where}" if where else f"{plan.title}: identical"))
    return now


def _threads(then: Record | None, name: str) -> int:
    """A number of threads from a record that may come from anyone; 0 where there is none to go by."""
    text = then.environment.get(name, "") if then else ""
    return int(text) if re.fullmatch("[0-9]{1,3}", text) else 0


def _acc(record: Record) -> float:
    assert record.selected is not None
    return record.selected.evaluation.test.acc


def _conclude(claim: RowSpec, then: Mapping[Cell, Record], now: Mapping[Cell, Record], same: bool) -> bool:
    """Print how the row differs, what was different around the runs, and the verdict."""
    if any(record.selected is None for record in now.values()):
        print("not repeated: a run failed")
        return False
    rows = rows_of(leaderboard(to_frame(now.values())))
    row = next(row for row in rows if row["setting"] == claim.columns["setting"])
    differences = row_differences(claim.columns, row)
    _show("row", differences)
    _show("then and now", _around(claim, then, now))
    if same and not differences:
        print("identical" if then else "identical in the numbers of the file")
        return True
    if same and then:
        print("the runs are identical, but the file does not hold the numbers of its records")
    print(f"drift of {abs(float(claim.columns['acc']) - (row['acc'] or 0)):.2f} points")
    return False


def _around(claim: RowSpec, then: Mapping[Cell, Record], now: Mapping[Cell, Record]) -> Differences:
    """What may explain a difference; of the keys, which always differ between cells, those of the first."""
    if not then:
        present = {"version": okdbench.__version__, "commit": machine.commit()}
        return {n: (claim.columns[n], text) for n, text in present.items() if claim.columns[n] != text}
    around: Differences = {}
    for cell, record in then.items():
        around = circumstances(record, now[cell]) | around
    return around


def _show(title: str, differences: Differences) -> None:
    for name, (one, other) in differences.items():
        print(printable(f"{title}: {name} {one or 'nothing'} -> {other or 'nothing'}"))
