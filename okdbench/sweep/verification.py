"""The runs of one leaderboard row again, and what came out differently."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import okdbench
from okdbench.core import devices, environment
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
from okdbench.sweep.grid import Grid, parse_grid
from okdbench.sweep.plans import checked_plans
from okdbench.sweep.sequential import carry_out, train_teacher
from okdbench.training.plan import Plan

#: name -> its text in the file or archive, and its text now
Differences = dict[str, tuple[str, str]]
Records = Mapping[Cell, Record]
_AROUND = "then and now"


def verify(
    place: str,
    runs: Path | None,
    records: Path | None,
    data_root: Path | None,
    device: str | None,
    report: Callable[[str], None] = print,
    method: Path | None = None,
) -> bool:
    """Run a row again and report what differs; True when nothing does.

    Args:
        place: file and line, such as ``leaderboards/digits.csv:7`` (:func:`okdbench.results.row_spec.read_row_spec`).
        runs: folder of the new runs, where finished ones are not repeated; None for one that is removed afterwards.
        records: archive or folder of the old runs; None for the archive beside the file, if there is one.
        data_root: folder of data sets and caches; None for the default one.
        device: where to compute; None for the default.
        report: is called with each line of the report, as soon as it is known.
        method: the file of the row's local method, which the user has read and trusts.

    Raises:
        UserError: there is no such row, its command cannot be followed, or the new runs would be the old ones.
    """
    row = read_row_spec(place, method)
    report = _printable(report)
    plans = checked_plans(_grid(row, device), data_root)
    then = _archived(row, records, {_cell(plan) for plan in plans}, report)
    # a row is the mean of finished runs, so a cell whose old run failed is not part of it
    plans = [plan for plan in plans if not then or _cell(plan) in then]
    if not row.is_mean_of(len(plans)):
        cure = "its records are of another table" if then else "name the archive of its records with --records"
        raise UserError(f"the row is made of {row.runs} runs, but there are {len(plans)} to repeat; {cure}")
    report(f"{place}: {row.columns['method']} {row.columns['setting']}, runs: {len(plans)}")
    # First of all, because it explains whatever follows.
    machine = _machine(plans[0], then)
    _report(_AROUND, machine, report)
    with _folder(runs) as folder:
        _refuse_the_same(plans, then, folder)
        now = {_cell(plan): _repeat(plan, folder, then.get(_cell(plan)), report) for plan in plans}
    return _conclude(row, then, now, report, set(machine))


def _grid(row: RowSpec, device: str | None) -> Grid:
    """The runs that the row's command names."""
    given: dict[str, Any] = {**row.options, "device": device}
    for name in ("dataset", "setting", "task", "track"):
        given[name] = None if given[name] is None else [given[name]]
    seed = row.given.get("seed")
    given["seed"] = [row.given["seeds"]] if "seeds" in row.given else None if seed is None else [str(seed)]
    return parse_grid(given | {"method": row.given["method"], "hyperparameters": row.given.get("assignments")})


def _archived(row: RowSpec, records: Path | None, cells: set[Cell], report: Callable[[str], None]) -> Records:
    """The old records of these cells of the row; empty, with a line that says so, where there are none."""
    source = records or row.file.parent / "records" / f"{row.file.stem}.jsonl.gz"
    if records and not records.exists():
        raise UserError(f"there is no archive {records}; leave out --records to compare the numbers alone")
    found = runs_of(row.group, row.columns["method"], read_records(source)) if source.exists() else {}
    if not found:
        report(f"{source} has no record of this row: only the numbers in the file are compared")
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


def _refuse_the_same(plans: list[Plan], then: Records, folder: Path) -> None:
    """Comparing a run with itself shows nothing; equal environments, with the time of the end, reveal it."""
    for plan in plans:
        there, old = read_record(folder / plan.key), then.get(_cell(plan))
        if there and old and there.status == "done" and there.environment == old.environment:
            raise UserError(f"{folder / plan.key} is the run that the row was made of; give another folder as --runs")


def _repeat(plan: Plan, folder: Path, then: Record | None, report: Callable[[str], None]) -> Record:
    """The new record of one cell, computed with the old one's numbers of threads, and a line that compares them."""
    # The number of threads changes the order of sums, and with it the last bits of a result.
    with devices.threads(_threads(then, "teacher_threads")):
        train_teacher(plan, folder)
    with devices.threads(_threads(then, "threads")):
        now = carry_out(plan, folder)
    if then:
        where = first_difference(then, now)
        points = f"drift of {abs(_acc(then) - _acc(now)):.2f} points; " if now.selected else ""
        report(f"{plan.title}: {points}first difference: {where}" if where else f"{plan.title}: identical")
    return now


def _threads(then: Record | None, name: str) -> int:
    """A number of threads from a record that may come from anyone; 0, which changes nothing, where there is none."""
    text = then.environment.get(name, "") if then else ""
    # three digits at most, because a huge number would start as many threads
    return int(text) if re.fullmatch("[0-9]{1,3}", text) else 0


def _acc(record: Record) -> float:
    assert record.selected is not None
    return record.selected.evaluation.test.acc


def _conclude(row: RowSpec, then: Records, now: Records, report: Callable[[str], None], known: Collection[str]) -> bool:
    """Report what was different around the runs beside what is ``known``, how the row differs, and the result."""
    if any(record.selected is None for record in now.values()):
        report("not repeated: a run failed")
        return False
    rows = rows_of(leaderboard(to_frame(now.values())))
    # the table has a row for each setting, and one for all of them together
    repeated = next(line for line in rows if line["setting"] == row.columns["setting"])
    differences = row_differences(row.columns, repeated)
    around = _around(row, then, now)
    _report(_AROUND, {name: texts for name, texts in around.items() if name not in known}, report)
    _report("row", differences, report)
    same = all(first_difference(record, now[cell]) == "" for cell, record in then.items())
    if same and not differences:
        report("identical" if then else "identical in the numbers of the file")
        return True
    if same and then:
        report("the runs are identical, but the numbers of the file are not those of its records")
    report(f"drift of {abs(float(row.columns['acc']) - (repeated['acc'] or 0)):.2f} points")
    return False


def _machine(plan: Plan, then: Records) -> Differences:
    """How libraries, processor and device differ from those of the records, as far as these know them."""
    present = environment.environment(devices.choose(plan.config.device))
    # The records' numbers of threads are used.
    names = present.keys() - {"threads"}
    return {
        name: (record.environment[name], present[name])
        for record in then.values()
        for name in sorted(names & record.environment.keys())
        if record.environment[name] != present[name]
    }


def _around(row: RowSpec, then: Records, now: Records) -> Differences:
    """What may explain a difference; of values that differ in every cell, such as the key, the first cell's."""
    if not then:
        present = {"version": okdbench.__version__, "commit": environment.commit()}
        return {name: (row.columns[name], text) for name, text in present.items() if row.columns[name] != text}
    around: Differences = {}
    for cell, record in then.items():
        around = circumstances(record, now[cell]) | around
    return around


def _report(title: str, differences: Differences, report: Callable[[str], None]) -> None:
    for name, (one, other) in differences.items():
        report(f"{title}: {name} {one or 'nothing'} -> {other or 'nothing'}")


def _printable(report: Callable[[str], None]) -> Callable[[str], None]:
    """The same for texts that may come from anyone, and must not act on the terminal."""
    return lambda line: report(printable(line))
