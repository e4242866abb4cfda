"""Leaderboards of hand-made records, whose numbers can be worked out on paper."""

from __future__ import annotations

import random
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.fake_records import GRID, failed, record, rows, table

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.columns import COLUMNS, is_complete
from okdbench.results.records import Cost, Record
from okdbench.results.rendering import to_csv
from okdbench.results.table import rows_of


def test_a_setting_row_by_hand() -> None:
    row = rows(*GRID)["kd", "A-C"]
    assert (row.rank, row.seeds, row.complete) == (1, 2, "2/2")
    assert (row.acc, row.top3, row.top5, row.macro_f1, row.ece) == (62, 63, 64, 61, 5)
    assert row.acc_std == pytest.approx(8**0.5)
    half = 12.7062 * 2  # Student's t with one degree of freedom, times the standard error
    assert (row.acc_low, row.acc_high) == (pytest.approx(62 - half, abs=1e-3), pytest.approx(62 + half, abs=1e-3))
    assert (row.teacher_acc, row.retention) == (40, 30)
    assert (row.last_acc, row.oracle_acc, row.selection_gap) == (60, 65, 3)
    # (60 - 50 + 64 - 60) / 2
    assert row.gain == 7
    assert (row.student_images, row.teacher_queries, row.seconds, row.peak_memory_mb) == (100, 200, 10, 500)
    assert (row.version, row.commit) == ("0.1.0", "abc")
    assert row.command == "okdbench run --method kd --dataset digits --setting A-C --seeds 0-1 --budget quick"


def test_the_row_over_all_settings_by_hand() -> None:
    row = rows(*GRID)["kd", "all"]
    # means over the settings are 70 and 73 for the two seeds
    assert (row.rank, row.seeds, row.complete, row.acc) == (1, 2, "4/4", 71.5)
    assert row.acc_std == pytest.approx(4.5**0.5)
    assert row.acc_low is not None
    assert row.acc_high is not None
    assert 60 < row.acc_low < 71.5 < row.acc_high < 82
    # settings gain 7 and -1
    assert row.gain == 3
    assert row.command == "okdbench run --method kd --dataset digits --seeds 0-1 --budget quick"


def test_settings_have_the_same_weight_whatever_their_number_of_seeds() -> None:
    row = rows(record("kd", "A-C", 0, 60), record("kd", "B-C", 0, 80), record("kd", "B-C", 1, 90))["kd", "all"]
    assert row.acc == (60 + 85) / 2
    # only seed 0 has both settings, so the spread over seeds is unknown
    assert row.acc_std is None
    assert (row.complete, row.rank) == ("3/4", None)


def test_ranks_are_within_the_setting_and_equals_share_one() -> None:
    found = rows(*[record(name, "A-C", 0, acc) for name, acc in [("a", 70), ("b", 80), ("c", 80), ("d", 60)]])
    assert {name: found[name, "A-C"].rank for name in "abcd"} == {"b": 1, "c": 1, "a": 3, "d": 4}


def test_a_rank_counts_the_rows_whose_interval_is_entirely_above() -> None:
    # Student's interval of two seeds is 12.7 times their distance from the mean, to either side
    means = {"best": (90, 0.1), "near": (88, 0.1), "far": (80, 0.1), "wide": (79, 4.0), "last": (10, 0.1)}
    found = rows(*[record(name, "A-C", s, m + (2 * s - 1) * d) for name, (m, d) in means.items() for s in (0, 1)])
    assert {name: found[name, "A-C"].rank for name in means} == {"best": 1, "near": 1, "far": 3, "wide": 1, "last": 5}


def test_order_is_all_first_then_setting_rank_method_with_the_unranked_last() -> None:
    records = [*GRID, record("late", "A-C", 0, 99), record("smoked", "A-C", 0, 99, budget="smoke")]
    random.Random(0).shuffle(records)
    order = [(row["setting"], row["budget"], row["rank"], row["method"]) for row in rows_of(table(records))]
    assert order == [
        ("all", "quick", 1, "kd"),
        ("all", "quick", 1, "finetune"),
        ("all", "quick", None, "late"),
        ("all", "smoke", None, "smoked"),
        ("A-C", "quick", 1, "kd"),
        ("A-C", "quick", 1, "finetune"),
        ("A-C", "quick", None, "late"),
        ("A-C", "smoke", None, "smoked"),
        ("B-C", "quick", 1, "finetune"),
        ("B-C", "quick", 1, "kd"),
    ]


def test_a_failed_run_is_absent_but_its_cell_is_expected_of_everyone() -> None:
    found = rows(*GRID[:4], failed("kd", "A-C", 2), failed("augkd", "B-C", 0))
    assert (found["kd", "A-C"].complete, found["kd", "A-C"].rank, found["kd", "A-C"].acc) == ("2/3", None, 62)
    assert found["kd", "B-C"].complete == "2/3"
    assert found["kd", "all"].complete == "4/6"
    empty = found["augkd", "B-C"]
    assert (empty.complete, empty.seeds, empty.acc, empty.gain, empty.rank) == ("0/3", 0, None, None, None)
    assert "--method augkd" in empty.command


def test_smoke_is_never_ranked() -> None:
    assert rows(record("kd", "A-C", 0, 60, budget="smoke"))["kd", "A-C"].rank is None


def test_variants_and_unusual_conditions_have_rows_of_their_own() -> None:
    members = rows_of(
        table(
            [
                record("kd", "A-C", 0, 60),
                record("kd", "A-C", 0, 61, variant="lr=0.1"),
                record("kd", "A-C", 0, 62, config={"image_size": 64, "pretrained": True}),
                record("kd", "A-C", 0, 63, student="resnet18"),
                record("kd", "A-C", 0, 64, track="label-free"),
                record("kd", "A-C", 0, 65, data_note="other files"),
            ]
        )
    )
    found = {
        (row["method"], row["track"], row["teacher"], row["student"]): (row["acc"], row["rank"])
        for row in members
        if row["setting"] == "A-C"
    }
    assert found == {
        ("kd", "labelled", "resnet18", "resnet10t"): (60, 2),
        ("kd[lr=0.1]", "labelled", "resnet18", "resnet10t"): (61, 1),
        ("kd", "labelled", "resnet18[image_size=64,pretrained=true]", "resnet10t"): (62, 1),
        ("kd", "labelled", "resnet18", "resnet18"): (63, 1),
        ("kd", "label-free", "resnet18", "resnet10t"): (64, 1),
        ("kd", "labelled", "resnet18[images=differing]", "resnet10t"): (65, 1),
    }


def test_gain_pairs_settings_and_seeds_and_is_blank_without_a_baseline_in_the_track() -> None:
    free = record("kd", "A-C", 0, 60, track="label-free")
    alone = rows_of(table([free, record("finetune", "A-C", 0, 50)]))
    assert [row["gain"] for row in alone if row["method"] == "kd"] == [None, None]
    partly = rows(record("kd", "A-C", 0, 60), record("kd", "A-C", 1, 90), record("finetune", "A-C", 0, 50))
    assert partly["kd", "A-C"].gain == 10
    assert partly["finetune", "A-C"].gain == 0
    tuned = rows(record("kd", "A-C", 0, 60), record("finetune", "A-C", 0, 50, variant="lr=1"))
    assert tuned["kd", "A-C"].gain is None


def test_the_run_that_finished_last_fills_a_cell() -> None:
    new = record("kd", "A-C", 0, 70, environment={"finished": "2025-02-01T00:00:00"})
    old = record("kd", "A-C", 0, 60, environment={"finished": "2025-01-01T00:00:00"})
    assert rows(new, old) == rows(old, new)
    assert rows(new, old)["kd", "A-C"].acc == 70


@pytest.mark.parametrize(
    ("column", "value"),
    [("protocol", PROTOCOL_VERSION - 1), ("protocol", PROTOCOL_VERSION + 1), ("task", "transfer"), ("shots", 10)],
)
def test_another_protocol_task_or_number_of_labels_never_meets_these(column: str, value: object) -> None:
    """Neither their ranks, nor their gains, nor the runs that are expected of them."""
    others = [record("kd", "A-C", seed, 99, key=f"other{seed}", **{column: value}) for seed in (0, 7)]
    found = rows_of(table([*GRID, *others]))
    theirs = [row for row in found if row[column] == str(value)]
    assert theirs == rows_of(table(others))
    assert [(row["setting"], row["complete"], row["gain"]) for row in theirs] == [
        ("all", "2/2", None),
        ("A-C", "2/2", None),
    ]
    assert [row for row in found if row not in theirs] == rows_of(table(GRID))


def test_no_records_give_an_empty_table_with_all_columns() -> None:
    empty = table([])
    assert empty.empty
    assert list(empty.columns) == list(table(GRID).columns) == [c.name for c in COLUMNS if "frame" in c.forms]
    assert dict(empty.dtypes) == dict(table(GRID).dtypes)


def at(hour: int) -> dict[str, str]:
    return {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}


def test_a_row_never_mixes_two_versions_of_a_methods_code() -> None:
    mine = {"origin": "local", "environment": at(1), "source": "a"}
    before = [record("mine", "A-C", seed, 60, **mine) for seed in (0, 1)]
    edited = record("mine", "A-C", 0, 70, **mine | {"environment": at(2), "source": "b"})
    row = rows(edited, *before, *GRID)["mine (local)", "A-C"]
    assert (row.acc, row.complete, row.rank) == (70, "1/2", None)
    assert rows(edited, *before, *GRID)["kd", "A-C"] == rows(*GRID)["kd", "A-C"]


def test_a_setting_never_mixes_two_versions_of_its_images() -> None:
    now = record("kd", "A-C", 0, 70, data_digest="other", environment=at(2))
    found = rows(*GRID, now)
    assert (found["kd", "A-C"].complete, found["kd", "A-C"].acc) == ("1/2", 70)
    assert ("finetune", "A-C") not in found
    assert found["kd", "B-C"] == rows(*GRID)["kd", "B-C"]


def test_missing_parts_are_empty_and_different_versions_are_mixed() -> None:
    bare = record("kd", "A-C", 0, 60, teacher_score=None, last=None, oracle=None, cost=Cost(), version="0.2.0")
    row = rows(bare, record("kd", "A-C", 2, 60, commit="def"))["kd", "A-C"]
    assert (row.version, row.commit) == ("mixed", "mixed")
    assert row.command.endswith("--seeds 0,2 --budget quick")
    single = rows(bare)["kd", "A-C"]
    assert (single.teacher_acc, single.last_acc, single.oracle_acc, single.selection_gap) == (None, None, None, None)
    assert (single.student_images, single.acc_std, single.acc_low) == (0, None, None)
    assert "--seed 0 " in single.command


IN_ORDER = to_csv(table(GRID))


@settings(max_examples=25, deadline=None)
@given(st.permutations(GRID))
def test_the_order_of_the_records_does_not_matter(records: list[Record]) -> None:
    assert to_csv(table(records)) == IN_ORDER


@st.composite
def awkward_records(draw: st.DrawFn) -> list[Record]:
    """Grids with missing runs, ties, one seed, failures and accuracies that are not numbers."""
    accuracy = st.sampled_from([0.0, 50.0, 50.0, 99.9, 100.0, float("nan")]) | st.floats(0, 100)
    cells = st.tuples(st.sampled_from("abcd"), st.sampled_from(["A-C", "B-C", "C-A"]), st.integers(0, 2))
    make = st.sampled_from([record, record, record, failed])
    return [
        build(*cell) if build is failed else build(*cell, draw(accuracy))
        for cell in draw(st.lists(cells, min_size=1, max_size=20))
        for build in [draw(make)]
    ]


@settings(max_examples=100, deadline=None)
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
    for setting in {row.setting for row in found}:
        ranked = [row for row in found if row.setting == setting and row.rank is not None]
        assert [row.rank for row in ranked] == sorted(row.rank or 0 for row in ranked)
        for row in ranked:
            ends = [other.acc if row.acc_low is None else other.acc_low for other in ranked]
            assert row.rank == 1 + sum((row.acc_high or row.acc or 0) < (end or 0) for end in ends)


def test_the_row_over_all_settings_expects_the_default_ones_and_no_other() -> None:
    usual = ("A-C", "B-C")
    one = rows(record("kd", "A-C", 0, 60, default_settings=usual))
    assert (one["kd", "all"].complete, one["kd", "all"].rank) == ("1/2", None)
    full = [record("kd", setting, 0, 60, default_settings=usual) for setting in usual]
    three = rows(*full, record("kd", "C-A", 0, 90, default_settings=usual))
    assert (three["kd", "all"].complete, three["kd", "all"].rank, three["kd", "all"].acc) == ("2/2", 1, 60)
    assert three["kd", "C-A"].rank == 1


def test_seeds_of_a_variant_alone_are_not_expected_of_the_others() -> None:
    seen = rows(record("kd", "A-C", 0, 60), *(record("kd", "A-C", seed, 70, variant="lr=1") for seed in (0, 1)))
    assert seen["kd", "all"].complete == "1/1"


def test_a_number_that_is_not_finite_counts_as_missing() -> None:
    sick = [record("sick", "A-C", seed, float("nan")) for seed in (0, 1)]
    found = rows(record("kd", "A-C", 0, 60), record("kd", "A-C", 1, 62), *sick)
    assert (found["kd", "A-C"].rank, found["kd", "A-C"].complete) == (1, "2/2")
    assert (found["sick", "A-C"].rank, found["sick", "A-C"].acc, found["sick", "A-C"].complete) == (None, None, "0/2")
    slow = rows(*(record("kd", "A-C", seed, 60, cost=Cost(seconds=float("inf"))) for seed in (0, 1)))["kd", "A-C"]
    assert (slow.rank, slow.seconds) == (1, None)
