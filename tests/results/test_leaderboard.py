"""Leaderboards of hand-made records, whose numbers can be worked out on paper."""

from __future__ import annotations

import random
from typing import Any

import pytest
from support.fake_records import GRID, failed, own, record, rows, table

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.columns import COLUMNS
from okdbench.results.records import Cost, Record, Traffic
from okdbench.results.rendering import to_markdown
from okdbench.results.table import rows_of


def test_a_setting_row_by_hand() -> None:
    row = rows(*GRID)["kd", "A-C"]
    assert (row.rank, row.seeds, row.complete) == (1, 2, "2/2")
    assert (row.acc, row.top3, row.top5, row.macro_f1, row.ece) == (62, 63, 64, 61, 5)
    half = 12.7062 * 2  # Student's t with one degree of freedom, times the standard error
    assert (row.acc_low, row.acc_high) == (pytest.approx(62 - half, abs=1e-3), pytest.approx(62 + half, abs=1e-3))
    assert (row.teacher_acc, row.retention, row.val_acc) == (40, 30, 62)
    assert (row.worst, row.collapsed, row.behind, row.tied) == (60, 0, 0, None)
    assert (row.last_acc, row.oracle_acc, row.selection_gap) == (60, 65, 3)
    # (60 - 50 + 64 - 60) / 2
    assert row.gain == 7
    assert (row.student_images, row.teacher_queries, row.seconds, row.peak_memory_mb) == (100, 200, 10, 500)
    assert (row.version, row.commit, row.torch, row.device) == ("0.1.0", "abc", "2.9", "cpu")
    assert row.command == "okdbench run --method kd --dataset digits --setting A-C --seeds 0-1 --budget quick"


def test_the_row_over_all_settings_by_hand() -> None:
    row = rows(*GRID)["kd", "all"]
    # means over the settings are 70 and 73 for the two seeds
    assert (row.rank, row.seeds, row.complete, row.acc) == (1, 2, "4/4", 71.5)
    half = 12.7062 * 1.5
    assert (row.acc_low, row.acc_high) == (pytest.approx(71.5 - half, abs=1e-3), pytest.approx(71.5 + half, abs=1e-3))
    assert (row.worst, row.collapsed) == (60, 0)
    # settings gain 7 and -1
    assert row.gain == 3
    assert row.command == "okdbench run --method kd --dataset digits --seeds 0-1 --budget quick"


def test_a_seed_counts_where_it_has_every_setting_of_the_row() -> None:
    found = rows(record("kd", "A-C", 0, 60), record("kd", "B-C", 0, 80), record("kd", "B-C", 1, 90))
    row = found["kd", "all"]
    assert (row.acc, row.acc_low, row.seeds, row.complete, row.rank) == (70, None, 1, "2/2", 1)
    assert (found["kd", "B-C"].acc, found["kd", "B-C"].seeds) == (85, 2)


def test_without_a_default_setting_the_row_says_how_many_it_has() -> None:
    found = rows(*GRID, record("late", "A-C", 0, 99))
    row = found["late", "1 of 2 settings"]
    assert ("late", "all") not in found
    assert (row.acc, row.rank, row.complete, row.behind) == (99, None, "1/1", None)
    assert row.command.endswith("--setting A-C --seed 0 --budget quick")


def test_ranks_are_within_the_setting_and_equals_share_one() -> None:
    found = rows(*[record(name, "A-C", 0, acc) for name, acc in [("a", 70), ("b", 80), ("c", 80), ("d", 60)]])
    assert {name: found[name, "A-C"].rank for name in "abcd"} == {"b": 1, "c": 1, "a": 3, "d": 4}


MANY: dict[str, tuple[float, float]] = {"best": (90, 0.5), "near": (89.5, 0.5), "far": (80, 0.5), "wide": (85, 9.0)}


def seeds_of(count: int, means: dict[str, tuple[float, float]] = MANY, **changes: Any) -> list[Record]:
    """Methods in one setting: their seeds are equally spaced around a mean, a point apart times a spread."""
    return [
        record(name, "A-C", seed, mean + spread * (seed - (count - 1) / 2), **changes)
        for name, (mean, spread) in means.items()
        for seed in range(count)
    ]


def test_the_rank_is_the_order_of_the_means_and_reference_rows_have_none() -> None:
    others = seeds_of(5, {"teacher": (95, 0.1)}, role="reference")
    others += seeds_of(5, {"scratch": (99, 0)}, role="privileged")
    found = rows(*seeds_of(5), *others, *seeds_of(5, {"finetune": (88, 0)}))
    ranks = {name: row.rank for (name, setting), row in found.items() if setting == "A-C"}
    assert ranks == {"best": 1, "near": 2, "wide": 3, "far": 4, "teacher": None, "scratch": None, "finetune": None}


def test_a_row_is_behind_the_best_and_marked_if_they_cannot_be_told_apart() -> None:
    found = {name: row for (name, setting), row in rows(*seeds_of(5)).items() if setting == "A-C"}
    assert {name: row.tied for name, row in found.items()} == {"best": None, "near": True, "wide": True, "far": False}
    assert {name: row.behind for name, row in found.items()} == {"best": 0, "near": 0.5, "wide": 5, "far": 10}
    assert found["best"].behind_low is None
    spread = 2.5**0.5 * 0.5  # standard deviation of five values, half a point apart
    half = 4.5288 * (2 * spread**2 / 5) ** 0.5 / 2**0.5  # the Studentised range of 4 rows and 8 degrees of freedom
    assert (found["far"].behind_low, found["far"].behind_high) == pytest.approx((10 - half, 10 + half), rel=1e-3)


def test_fewer_than_five_seeds_are_provisional_and_no_row_is_compared_with_them_if_there_is_another() -> None:
    few = rows(*seeds_of(4))
    assert {row.tied for row in few.values()} == {None}
    assert few["far", "A-C"].behind_low is not None
    lucky = rows(*seeds_of(5), *seeds_of(3, {"lucky": (99, 0.1)}))
    assert (lucky["lucky", "A-C"].rank, lucky["lucky", "A-C"].tied, lucky["lucky", "A-C"].behind) == (1, None, -9.5)
    assert (lucky["best", "A-C"].behind, lucky["near", "A-C"].tied) == (0, True)
    shown = to_markdown(table([*seeds_of(5), *seeds_of(3, {"lucky": (99, 0.1)})]))
    assert "provisional" in next(line for line in shown.splitlines() if "lucky" in line)


def test_collapsed_runs_are_counted_and_the_worst_is_named() -> None:
    accs = [97.0, 96.0, 10.0, 14.0, 15.0]
    made = [record("kd", "A-C", seed, acc) for seed, acc in enumerate(accs)]
    row = rows(*made)["kd", "A-C"]
    # chance is 10 %, and a twentieth of the way to 100 % is 14.5 %; F1 is a point below the accuracy
    assert (row.worst, row.collapsed) == (10, 3)
    assert "10.00 (3 of 5 collapsed)" in to_markdown(table(made))
    unknown = rows(*(one.model_copy(update={"classes": None}) for one in made))["kd", "A-C"]
    assert (unknown.worst, unknown.collapsed) == (10, None)


def test_order_is_all_first_then_settings_then_accuracy() -> None:
    records = [*GRID, record("late", "A-C", 0, 99), record("smoked", "A-C", 0, 99, budget="smoke")]
    random.Random(0).shuffle(records)
    order = [(row["setting"], row["budget"], row["rank"], row["method"]) for row in rows_of(table(records))]
    assert order == [
        ("all", "quick", 1, "kd"),
        ("all", "quick", None, "finetune"),
        ("all", "smoke", None, "smoked"),
        ("1 of 2 settings", "quick", None, "late"),
        ("A-C", "quick", 1, "late"),
        ("A-C", "quick", 2, "kd"),
        ("A-C", "quick", None, "finetune"),
        ("A-C", "smoke", None, "smoked"),
        ("B-C", "quick", None, "finetune"),
        ("B-C", "quick", 1, "kd"),
    ]


def test_a_failed_run_is_missing_in_its_own_row_alone() -> None:
    found = rows(*GRID[:4], failed("kd", "A-C", 2), failed("augkd", "B-C", 0))
    assert (found["kd", "A-C"].complete, found["kd", "A-C"].rank, found["kd", "A-C"].acc) == ("2/3", None, 62)
    assert (found["kd", "B-C"].complete, found["kd", "B-C"].rank) == ("2/2", 1)
    # seed 2 was tried in one setting only
    assert (found["kd", "all"].complete, found["kd", "all"].rank) == ("4/4", 1)
    lost = rows(*GRID[:4], failed("kd", "A-C", 2), record("kd", "B-C", 2, 60))
    assert (lost["kd", "all"].complete, lost["kd", "all"].rank, lost["kd", "all"].acc) == ("5/6", None, 71.5)
    assert (lost["kd", "all"].seeds, lost["kd", "all"].worst) == (2, 60)
    empty = found["augkd", "B-C"]
    assert (empty.complete, empty.seeds, empty.acc, empty.gain, empty.rank) == ("0/1", 0, None, None, None)
    assert "--method augkd" in empty.command


def test_smoke_is_never_ranked() -> None:
    assert rows(record("kd", "A-C", 0, 60, budget="smoke"))["kd", "A-C"].rank is None


def test_a_row_of_an_earlier_protocol_is_ranked_by_its_own_budget() -> None:
    for protocol, rank in ((PROTOCOL_VERSION, 1), (3, None)):
        made = record("augkd", "A-C", 0, 60, protocol=protocol)
        made.cost.traffic["student"] = Traffic(learned=30_000, updates=5)
        assert rows(made)["augkd", "A-C"].rank == rank


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
    assert (row.acc, row.complete, row.rank) == (70, "1/1", 1)
    assert own(rows(edited, *before, *GRID)["kd", "A-C"]) == own(rows(*GRID)["kd", "A-C"])


def test_a_setting_never_mixes_two_versions_of_its_images() -> None:
    now = record("kd", "A-C", 0, 70, data_digest="other", environment=at(2))
    found = table([*GRID, now]).query("setting == 'A-C' and method == 'kd'")
    assert found[["teacher", "complete", "acc"]].to_numpy().tolist() == [
        ["resnet18[images=d]", "2/2", 62],
        ["resnet18[images=other]", "1/1", 70],
    ]


def test_missing_parts_are_empty_and_different_versions_are_mixed() -> None:
    bare = record("kd", "A-C", 0, 60, teacher_score=None, last=None, oracle=None, cost=Cost(), version="0.2.0")
    row = rows(bare, record("kd", "A-C", 2, 60, commit="def"))["kd", "A-C"]
    assert (row.version, row.commit) == ("mixed", "mixed")
    assert row.command.endswith("--seeds 0,2 --budget quick")
    single = rows(bare)["kd", "A-C"]
    assert (single.teacher_acc, single.last_acc, single.oracle_acc, single.selection_gap) == (None, None, None, None)
    assert (single.student_images, single.acc_low) == (0, None)
    assert "--seed 0 " in single.command


@pytest.mark.parametrize("seeds", [1, 4])
def test_the_second_and_the_fifth_seed_of_a_method_change_no_other_row(seeds: int) -> None:
    """Not even their marks and intervals, unless the order of the means or the best row changes."""
    usual = seeds_of(5, {"best": (90, 0.5), "near": (89.5, 0.5)})
    few = [one for one in seeds_of(5, {"few": (80, 2.0)}) if one.seed < seeds]
    before, after = rows(*usual, *few), rows(*usual, *few, record("few", "A-C", seeds, 80))
    for name in ("best", "near"):
        assert after[name, "A-C"] == before[name, "A-C"]
    assert after["few", "A-C"].seeds == seeds + 1


def test_a_row_that_shares_too_few_seeds_with_the_best_is_provisional() -> None:
    late = [record("late", "A-C", seed, 85 + seed % 2) for seed in range(3, 9)]
    shown = {
        line.split("|")[3].strip(): line.split("|")[2].strip()
        for line in to_markdown(table([*seeds_of(5), *late])).splitlines()
        if line.startswith("| ") and " A-C " in line
    }
    assert shown == {"best": "", "near": "≈", "wide": "≈", "far": "", "late": "provisional"}


def test_the_row_over_all_settings_expects_the_default_ones_and_no_other() -> None:
    usual = ("A-C", "B-C")
    one = rows(record("kd", "A-C", 0, 60, default_settings=usual))
    assert ("kd", "all") not in one
    assert (one["kd", "1 of 2 settings"].complete, one["kd", "1 of 2 settings"].rank) == ("1/1", None)
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
