"""Properties of leaderboards that hold for any records."""

from __future__ import annotations

from types import SimpleNamespace

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_records import GRID, failed, own, record, rows, table

from okdbench.results.columns import is_complete
from okdbench.results.records import Record
from okdbench.results.rendering import to_csv
from okdbench.results.table import rows_of

IN_ORDER = to_csv(table(GRID))


@settings(max_examples=12, deadline=None)
@given(st.permutations(GRID))
def test_the_order_of_the_records_does_not_matter(records: list[Record]) -> None:
    assert to_csv(table(records)) == IN_ORDER


@st.composite
def awkward_records(draw: st.DrawFn) -> list[Record]:
    """Grids with missing runs, ties, few seeds or many, failures and accuracies that are not numbers."""
    accuracy = st.sampled_from([0.0, 50.0, 50.0, 99.9, 100.0, float("nan")]) | st.floats(0, 100)
    cells = st.tuples(st.sampled_from("abcd"), st.sampled_from(["A-C", "B-C", "C-A"]), st.integers(0, 6))
    make = st.sampled_from([record, record, record, failed])
    some = [
        build(*cell) if build is failed else build(*cell, draw(accuracy))
        for cell in draw(st.lists(cells, min_size=1, max_size=12))
        for build in [draw(make)]
    ]
    # Cells that are drawn one by one hardly ever make five seeds of one row, which a mark takes.
    count = draw(st.integers(0, 7))
    return some + [record(name, "A-C", seed, draw(accuracy)) for name in "ab" for seed in range(count)]


@settings(max_examples=50, deadline=None)
@given(awkward_records())
def test_awkward_records_never_crash_and_have_no_rank_that_they_should_not_have(records: list[Record]) -> None:
    made = table(records)
    found = [SimpleNamespace(**row) for row in rows_of(made)]
    assert len(to_csv(made).splitlines()) == len(found) + 1
    assert len({(row.setting, row.method) for row in found}) == len(found)
    for row in found:
        if row.rank is not None:
            assert is_complete(vars(row))
            assert row.acc is not None
            assert 0 <= row.acc <= 100
        if row.tied is not None:
            assert None not in (row.behind_low, row.behind_high, row.acc_low)
            assert row.tied == (row.behind_low <= 0 <= row.behind_high)
    for setting in {row.setting for row in found}:
        ranked = [row for row in found if row.setting == setting and row.rank is not None]
        for row in ranked:
            assert row.rank == 1 + sum(other.acc > row.acc for other in ranked)
        assert [row.rank for row in ranked] == sorted(row.rank for row in ranked)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(60, 90), min_size=8, max_size=8), st.sampled_from("ab"), st.floats(0, 100), st.booleans())
def test_an_extra_seed_of_one_method_changes_no_other_row(
    accs: list[float], method: str, acc: float, fails: bool
) -> None:
    cells = [(name, setting, seed) for name in "ab" for setting in ("A-C", "B-C") for seed in (0, 1)]
    records = [record(*cell, round(value, 2)) for cell, value in zip(cells, accs, strict=True)]
    new = failed(method, "A-C", 7) if fails else record(method, "A-C", 7, round(acc, 2))
    before, after = rows(*records), rows(*records, new)
    assert before.keys() == after.keys()
    for (name, setting), row in before.items():
        if name != method or setting == "B-C":
            assert own(after[name, setting]) == own(row)
        if name != method and before[method, setting].rank == after[method, setting].rank:
            assert after[name, setting] == row
