"""Comparisons of two rows: the numbers of the tables, sentences that follow from them, and what cannot be compared."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import tukey_hsd
from support.fake_records import failed, record, rows

from okdbench.core.errors import UserError
from okdbench.results.comparison_text import print_comparison
from okdbench.results.estimates import ENOUGH_SEEDS
from okdbench.results.frames import to_frame
from okdbench.results.records import Record
from okdbench.results.significance import Comparison, compare, compare_methods

SETTINGS = ("A-C", "B-C")
SHIFTS = {"kd": 0.0, "augkd": 3.0, "mad": -0.5}
WIGGLES = (0.0, 0.4, -0.3, 0.2, -0.5)


def runs(shifts: dict[str, float] = SHIFTS, seeds: int = 5, **changes: Any) -> list[Record]:
    """Runs of two settings; a method's seeds wiggle in an order of its own."""
    return [
        record(method, setting, seed, 70 + shift + WIGGLES[(seed + place) % 5] + place * (setting == "B-C"), **changes)
        for place, (method, shift) in enumerate(shifts.items())
        for setting in SETTINGS
        for seed in range(seeds)
    ]


def pair(records: list[Record], a: str, b: str, **group: str | None) -> Comparison:
    (found,) = compare_methods(to_frame(records), (a, b), **group)
    return found


def seed_means(method: str, records: list[Record]) -> list[float]:
    means: dict[int, list[float]] = {}
    for one in records:
        if one.method == method and one.selected:
            means.setdefault(one.seed, []).append(one.selected.evaluation.test.acc)
    return [sum(values) / len(values) for _, values in sorted(means.items())]


def test_a_comparison_is_scipys_on_the_seed_means_of_all_rows() -> None:
    records = runs()
    expected = tukey_hsd(*(seed_means(method, records) for method in SHIFTS), equal_var=False)
    ends = expected.confidence_interval(0.95)
    found = pair(records, "augkd", "kd")
    assert (found.seeds, found.settings, found.rows) == (5, SETTINGS, 3)
    assert found.difference == pytest.approx(3.5)
    assert found.p == pytest.approx(expected.pvalue[1, 0])
    assert (found.low, found.high) == pytest.approx((ends.low[1, 0], ends.high[1, 0]), rel=1e-3)


def test_the_sentence_follows_from_the_interval() -> None:
    shown = pair(runs(), "kd", "augkd")
    assert shown.sentence == (
        f"augkd is better than kd by 3.50 points (95 % interval {-(shown.high or 0):.2f} to {-(shown.low or 0):.2f}; "
        "5 seeds, 2 settings)"
    )
    few = pair(runs(seeds=3), "augkd", "kd")
    assert few.is_shown
    assert few.sentence.endswith("provisional with fewer than 5 seeds")
    equal = pair(runs(), "kd", "mad")
    assert equal.sentence.startswith("kd and mad cannot be told apart (95 % interval of kd - mad: -")
    assert f"{equal.seeds_needed} seeds of each would show a difference of 0.50 points" in equal.sentence
    lone = pair(runs(seeds=1), "augkd", "kd")
    assert lone.sentence == "no test: augkd and kd share 1 seed, 2 settings, and a test needs 2 seeds"
    assert (lone.low, lone.high, lone.p) == (None, None, None)
    apart = pair([*runs(), *runs({"late": 9.0}, seeds=7)[5:7], *runs({"late": 9.0}, seeds=7)[12:]], "kd", "late")
    assert (apart.seeds, apart.difference) == (0, None)
    assert apart.sentence.startswith("no test: kd and late share 0 seeds")


def test_only_seeds_and_settings_that_both_have_count() -> None:
    more = [*runs(), record("augkd", "A-C", 7, 0), record("augkd", "B-C", 7, 0), record("kd", "A-C", 8, 0)]
    assert pair(more, "augkd", "kd") == pair(runs(), "augkd", "kd")
    extra = [*runs(), *(record("augkd", "Z-C", seed, 99) for seed in range(5))]
    assert pair(extra, "augkd", "kd").settings == SETTINGS
    one = pair(runs(), "augkd", "kd", setting="A-C")
    assert (one.settings, one.difference) == (("A-C",), pytest.approx(3.0))
    with pytest.raises(UserError, match="augkd and new have no setting in common"):
        pair([*runs(), record("new", "Z-C", 0, 50)], "augkd", "new")


def test_a_frame_of_runs_gives_a_row_per_pair() -> None:
    found = compare(to_frame(runs()), "augkd", "kd", "mad")
    assert found["b"].tolist() == ["kd", "mad"]
    assert found["difference"].tolist() == [pytest.approx(3.5), pytest.approx(3.0)]
    assert found["sentence"][0].startswith("augkd is better than kd by 3.50 points")


ACCURACY = st.floats(0, 100).map(lambda value: round(value, 2))


@st.composite
def grids(draw: st.DrawFn) -> list[Record]:
    """A few methods with one to six seeds in one or two settings; runs are missing, failed or of another group."""
    made = []
    for method in "abcd"[: draw(st.integers(2, 4))]:
        middle, spread = draw(ACCURACY), draw(st.sampled_from([0.0, 0.5, 5.0]))
        for setting in SETTINGS[: draw(st.integers(1, 2))]:
            for seed in range(draw(st.integers(1, 6))):
                acc = min(100.0, max(0.0, middle + spread * draw(st.floats(-1, 1))))
                made.append(record(method, setting, seed, acc, default_settings=SETTINGS))
            made += [failed(method, setting, 6, default_settings=SETTINGS)] * draw(st.integers(0, 1))
    # Only a finished run of another group is refused.
    other = failed("other", "Z-C", 0, track="label-free", default_settings=(*SETTINGS, "Z-C"))
    return [*made, *[other] * draw(st.integers(0, 1))]


@settings(max_examples=30)
@given(grids())
def test_compare_and_the_table_never_disagree(records: list[Record]) -> None:
    table = rows(*records)
    places = {setting for _, setting in table}
    for place in places & {*SETTINGS, "all"}:
        named = {method: row for (method, setting), row in table.items() if setting == place and row.behind is not None}
        for other, row in named.items():
            if other == row.best or row.behind_low is None:
                continue
            found = pair(records, row.best, other, setting=None if place == "all" else place)
            if place != "all" or set(found.settings) == set(SETTINGS):
                assert found.difference == pytest.approx(row.behind)
                assert (found.low, found.high) == pytest.approx((row.behind_low, row.behind_high))
                assert row.tied is (None if found.seeds < ENOUGH_SEEDS else not found.is_shown)
                assert ("cannot be told apart" in found.sentence) == (not found.is_shown)
                if found.p is not None and abs(found.p - 0.05) > 1e-3:
                    assert (found.p < 0.05) == found.is_shown


def test_equal_means_are_equal() -> None:
    flat = [record(name, "A-C", seed, 50) for name in ("kd", "mad") for seed in range(3)]
    assert pair(flat, "kd", "mad").sentence.endswith("their means are equal")
    assert math.isclose(pair(flat, "kd", "mad").p or 0, 1)


# the command


def test_the_command_prints_a_table_and_a_sentence_for_each_pair(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(to_frame(runs()), ["augkd", "kd", "mad"])
    printed = capsys.readouterr().out
    assert "\naugkd is better than kd by 3.50 points" in printed
    assert "\naugkd is better than mad by 3.00 points" in printed
    assert "p: p-value of Games and Howell's test, adjusted for all rows of the table" in printed


def test_json_has_the_pairs(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(to_frame(runs()), ["augkd", "kd", "mad"], "json")
    found = json.loads(capsys.readouterr().out)
    assert [(one["a"], one["b"], one["seeds"], one["settings"]) for one in found] == [
        ("augkd", "kd", 5, [*SETTINGS]),
        ("augkd", "mad", 5, [*SETTINGS]),
    ]
    print_comparison(to_frame(runs(seeds=1)), ["augkd", "kd"], "json")
    assert json.loads(capsys.readouterr().out)[0]["p"] is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [(["kd"], "two different methods"), (["kd", "kd"], "two different"), (["augk", "kd"], "did you mean 'augkd'")],
)
def test_what_cannot_be_compared_is_reported(names: list[str], reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        print_comparison(to_frame(runs()), names)
    with pytest.raises(UserError, match="no finished run fits"):
        print_comparison(to_frame(runs()), ["kd", "augkd"], dataset="visda")
    with pytest.raises(UserError, match="unknown format 'yaml'"):
        print_comparison(to_frame(runs()), ["kd", "augkd"], "yaml")


def test_comparison_groups_are_not_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    both = to_frame([*runs(), *runs(track="label-free")])
    options = r"2 comparison groups that must not be mixed; choose one: --track label-free or --track labelled"
    with pytest.raises(UserError, match=options):
        print_comparison(both, ["kd", "augkd"])
    print_comparison(both, ["kd", "augkd"], track="label-free")
    assert "5 seeds" in capsys.readouterr().out
    with pytest.raises(UserError, match="--dataset digits or --dataset office31"):
        pair([*runs(), *runs(dataset="office31")], "kd", "augkd")
