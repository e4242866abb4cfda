"""Significance tests: against scipy and scikit-posthocs on fixed cases, and on simulations without a difference."""

from __future__ import annotations

import json
import math
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, wilcoxon
from support.fake_records import record

from okdbench.core.errors import UserError
from okdbench.results.comparison_text import print_comparison
from okdbench.results.frames import to_frame
from okdbench.results.friedman import rank
from okdbench.results.records import Record
from okdbench.results.significance import ALPHA, BLOCK, compare, compare_pair, compare_pairs, holm, signed_rank

METHODS = ("augkd", "kd", "mad", "zskt")
LEVELS = {"A": 60.0, "B": 75.0, "C": 90.0}


@cache
def blocks(per_setting: int, names: str = "ABC") -> pd.MultiIndex:
    return pd.MultiIndex.from_product([["digits"], list(names), range(per_setting)], names=BLOCK)


def simulated(count: int, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Scores of four methods in three settings that differ, the first method ``shift`` points above the others."""
    rng = np.random.default_rng(seed)
    index = blocks(count)
    level = np.array([LEVELS[setting] for _, setting, _ in index])
    scores = {name: level + rng.normal(0, 2, len(index)) + shift * (name == METHODS[0]) for name in METHODS}
    return pd.DataFrame(scores, index=index)


def test_a_difference_by_hand() -> None:
    index = pd.MultiIndex.from_tuples(
        [("d", "A", 0), ("d", "A", 1), ("d", "B", 0), ("d", "B", 1), ("d", "C", 0)], names=BLOCK
    )
    scores = pd.DataFrame({"a": [3.0, 5.0, 10.0, 12.0, np.nan], "b": [1.0, 1.0, 1.0, 1.0, 99.0]}, index=index)
    found = compare_pair(scores, "a", "b")
    assert (found.blocks, found.settings, found.difference) == (4, 2, 6.5)
    assert found.effect == pytest.approx(6.5 / np.std([2, 4, 9, 11], ddof=1))
    assert found.p is None
    assert found.sentence == "no test: 4 blocks (2 settings) are too few, a test needs 6"


def test_the_p_value_is_scipys() -> None:
    scores = simulated(5, shift=1.0)
    found = compare_pair(scores, "augkd", "kd")
    assert found.p == pytest.approx(wilcoxon(scores["augkd"] - scores["kd"]).pvalue)
    assert found.p == signed_rank(differences(5, shift=1.0))
    assert compare_pair(simulated(3), "augkd", "kd").p == signed_rank(differences(3))


def differences(count: int, shift: float = 0.0, seed: int = 0) -> list[float]:
    """The first two methods of :func:`simulated`; of many simulations, the intervals would take most of the time."""
    scores = simulated(count, shift, seed)
    return list(scores["augkd"] - scores["kd"])


def test_a_significant_difference_names_the_better_method() -> None:
    found = compare_pair(simulated(10, shift=4.0), "kd", "augkd")
    assert found.is_significant
    assert found.difference < 0
    assert found.sentence.startswith("augkd is better than kd by ")
    assert "30 blocks (3 settings)" in found.sentence


def test_without_a_significant_difference_it_says_how_many_seeds_would_show_one() -> None:
    found = compare_pair(simulated(3, shift=1.0, seed=3), "augkd", "kd")
    assert not found.is_significant
    assert found.seeds_needed
    assert f"no evidence of a difference; about {found.seeds_needed} more seeds" in found.sentence


def test_three_blocks_are_never_tested() -> None:
    assert signed_rank([5.0, 6.0, 7.0]) is None
    assert signed_rank([0.0] * 8) == 1.0


def test_where_nothing_differs_at_most_6_percent_are_called_different() -> None:
    p_values = [signed_rank(differences(3, seed=seed)) for seed in range(1000)]
    assert 0 < sum(p < ALPHA for p in p_values if p is not None) <= 60
    assert None not in p_values


def test_the_power_is_about_80_percent() -> None:
    """With as many seeds as are reported to be needed, most simulations show the difference."""
    effect = 1.5 / math.hypot(2, 2)
    needed = math.ceil((2.8 / effect) ** 2 * math.pi / 3 / 3)
    p_values = [signed_rank(differences(needed, shift=1.5, seed=seed)) for seed in range(300)]
    assert 0.7 <= np.mean([p is not None and p < ALPHA for p in p_values]) <= 0.9


def test_holms_rule_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_ranking_is_scipys_and_scikit_posthocs() -> None:
    scores = simulated(4, shift=3.0)
    table = scores.to_numpy()
    found = rank(scores)
    assert found.blocks == 12
    assert found.p == pytest.approx(friedmanchisquare(*table.T).pvalue)
    assert min(found.ranks, key=lambda name: found.ranks[name]) == "augkd"
    nemenyi = scikit_posthocs.posthoc_nemenyi_friedman(table).to_numpy()
    for i, one in enumerate(METHODS):
        for j, other in enumerate(METHODS[:i]):
            assert found.critical is not None
            apart = abs(found.ranks[one] - found.ranks[other]) > found.critical
            assert apart == (nemenyi[i, j] < 0.05)
    posthoc = scikit_posthocs.posthoc_wilcoxon(list(table.T), p_adjust="holm").to_numpy()
    for (one, other), p in found.pairs.items():
        assert p == pytest.approx(posthoc[METHODS.index(one), METHODS.index(other)])


def test_equal_methods_do_not_differ() -> None:
    found = rank(pd.DataFrame(50.0, index=blocks(3), columns=list(METHODS)))
    assert found.p == 1.0
    assert set(found.ranks.values()) == {2.5}
    assert set(found.pairs.values()) == {1.0}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tables_with_missing_runs_and_ties_never_crash(data: st.DataObject) -> None:
    index = blocks(3)
    column = st.lists(st.sampled_from([np.nan, 0.0, 50.0, 50.0, 99.5, 100.0]), min_size=len(index), max_size=len(index))
    scores = pd.DataFrame({name: data.draw(column) for name in METHODS}, index=index)
    found = rank(scores)
    assert found.blocks == len(scores.dropna())
    assert found.p is None or 0 <= found.p <= 1
    for a in METHODS[1:]:
        pair = compare_pair(scores, "augkd", a)
        assert pair.sentence
        assert pair.p is None or pair.blocks >= 6


# data frames of runs, and the command


def runs(**changes: Any) -> list[Record]:
    shifts = {"kd": 0.0, "augkd": 3.0, "mad": 0.1}
    return [
        record(method, setting, seed, 70 + shift + 0.1 * seed, **changes)
        for method, shift in shifts.items()
        for setting in ("A-C", "B-C")
        for seed in range(4)
    ]


def test_a_frame_of_runs_gives_a_row_per_pair() -> None:
    found = compare(to_frame(runs()), "augkd", "kd", "mad")
    assert found["a"].tolist() == ["augkd", "augkd"]
    assert found["b"].tolist() == ["kd", "mad"]
    assert found["difference"].tolist() == [pytest.approx(3.0), pytest.approx(2.9)]
    assert found["blocks"].tolist() == [8, 8]
    assert found["p"].tolist() == [pytest.approx(2 * 0.0078125)] * 2, "adjusted for two pairs"
    assert found["sentence"][0] == "augkd is better than kd by 3.00 points; based on 8 blocks (2 settings)"


def test_blocks_are_those_that_two_methods_share_over_all_data_sets() -> None:
    more = [*runs(), record("augkd", "X-Y", 0, 80, dataset="office31"), record("kd", "X-Y", 0, 90, dataset="office31")]
    alone = record("augkd", "Z-Y", 0, 80, dataset="office31")
    (both,) = compare(to_frame([*more, alone]), "augkd", "kd").to_dict("records")
    assert (both["blocks"], both["settings"]) == (9, 3)
    assert both["difference"] == pytest.approx((3 + 3 - 10) / 3)
    (digits,) = compare(to_frame([*more, alone]), "augkd", "kd", dataset="digits").to_dict("records")
    assert (digits["blocks"], digits["settings"]) == (8, 2)


def test_the_command_prints_a_table_sentences_and_ranks(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(to_frame(runs()), ["augkd", "kd", "mad"])
    printed = capsys.readouterr().out
    assert "augkd and kd: augkd is better than kd by 3.00 points; based on 8 blocks (2 settings)" in printed
    assert "mean ranks over 8 blocks: augkd 1.00, mad 2.00, kd 3.00" in printed
    assert "Friedman test: p = 0.0003; critical difference of mean ranks: 1.17 (Nemenyi test, 5 %)" in printed
    assert "p: Wilcoxon's signed-rank test" in printed


def test_json_has_pairs_and_ranking(capsys: pytest.CaptureFixture[str]) -> None:
    print_comparison(to_frame(runs()), ["augkd", "kd", "mad"], "json")
    found = json.loads(capsys.readouterr().out)
    assert [(pair["a"], pair["b"], pair["blocks"]) for pair in found["pairs"]] == [
        ("augkd", "kd", 8),
        ("augkd", "mad", 8),
    ]
    assert found["ranking"]["ranks"] == {"augkd": 1.0, "kd": 3.0, "mad": 2.0}
    assert {"a": "augkd", "b": "kd", "p": pytest.approx(0.0234375)} in found["ranking"]["pairs"]
    print_comparison(to_frame(runs()[:16:4]), ["augkd", "kd"], "json")
    few = json.loads(capsys.readouterr().out)
    assert (few["ranking"], few["pairs"][0]["p"]) == (None, None)


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


def test_tracks_and_budgets_are_not_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    both = to_frame([*runs(), *runs(track="label-free")])
    options = r"2 comparison groups that must not be mixed; choose one: --track label-free or --track labelled"
    with pytest.raises(UserError, match=options):
        print_comparison(both, ["kd", "augkd"])
    print_comparison(both, ["kd", "augkd"], track="label-free")
    assert "8 blocks" in capsys.readouterr().out


def test_the_sentences_of_several_pairs_are_adjusted_for_their_number() -> None:
    seeds = np.arange(6.0)
    scores = pd.DataFrame({"a": 61 + seeds, "b": 60 + seeds, "c": 60.5 + seeds}, index=blocks(6, "A"))
    alone = compare_pair(scores, "a", "b")
    assert alone.is_significant
    first, second = compare_pairs(scores)
    assert alone.p is not None
    assert (first.p, second.p) == (2 * alone.p, 2 * alone.p)
    assert not first.is_significant
