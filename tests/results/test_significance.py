"""Comparisons: against scipy and scikit-posthocs on fixed cases, and on simulations in which nothing differs."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, wilcoxon
from support.fake_records import record

from okdbench.cli.compare import compare as compare_command
from okdbench.core.errors import UserError
from okdbench.results.comparison import adjusted
from okdbench.results.significance import Block, compare, holm, rank, signed_rank
from okdbench.results.store import write_record

METHODS = ("augkd", "kd", "mad", "zskt")


def blocks(per_setting: int, names: str = "ABC") -> list[Block]:
    return [Block("digits", setting, seed) for setting in names for seed in range(per_setting)]


def simulated(count: int, shift: float = 0.0, seed: int = 0) -> dict[str, dict[Block, float]]:
    """Scores of four methods in three settings that differ, the first method ``shift`` points above the others."""
    rng = np.random.default_rng(seed)
    level = {"A": 60.0, "B": 75.0, "C": 90.0}
    return {
        name: {b: level[b.setting] + rng.normal(0, 2) + (shift if name == METHODS[0] else 0) for b in blocks(count)}
        for name in METHODS
    }


def test_a_difference_by_hand() -> None:
    a = {Block("d", "A", 0): 3.0, Block("d", "A", 1): 5.0, Block("d", "B", 0): 10.0, Block("d", "B", 1): 12.0}
    b = {**dict.fromkeys(a, 1.0), Block("d", "C", 0): 99.0}
    found = compare("a", "b", {"a": a, "b": b})
    assert (found.blocks, found.settings, found.difference) == (4, 2, 6.5)
    assert found.effect == pytest.approx(6.5 / np.std([2, 4, 9, 11], ddof=1))
    assert found.p is None
    assert found.sentence == "no test: 4 blocks (2 settings) are too few, 6 are the fewest that can show anything"


def test_the_probability_is_scipys() -> None:
    scores = simulated(5, shift=1.0)
    found = compare("augkd", "kd", scores)
    differences = [scores["augkd"][block] - scores["kd"][block] for block in blocks(5)]
    assert found.p == pytest.approx(wilcoxon(differences).pvalue)


def test_evidence_names_the_better_method() -> None:
    found = compare("kd", "augkd", simulated(10, shift=4.0))
    assert found.is_evident
    assert found.difference < 0
    assert found.sentence.startswith("augkd is better than kd by ")
    assert "30 blocks (3 settings)" in found.sentence


def test_without_evidence_it_says_how_many_seeds_would_do() -> None:
    found = compare("augkd", "kd", simulated(3, shift=1.0, seed=3))
    assert not found.is_evident
    assert found.seeds_needed
    assert f"no evidence of a difference; about {found.seeds_needed} more seeds" in found.sentence


def test_three_blocks_are_never_tested() -> None:
    assert signed_rank([5.0, 6.0, 7.0]) is None
    assert signed_rank([0.0] * 8) == 1.0


def test_where_nothing_differs_at_most_6_percent_are_called_different() -> None:
    wrong = sum(compare("augkd", "kd", simulated(3, seed=seed)).is_evident for seed in range(1000))
    assert 0 < wrong <= 60


def test_the_power_is_about_what_was_promised() -> None:
    """With as many seeds as were said to be needed, most simulations show the difference."""
    effect = 1.5 / math.hypot(2, 2)
    needed = math.ceil((2.8 / effect) ** 2 * math.pi / 3 / 3)
    found = [compare("augkd", "kd", simulated(needed, shift=1.5, seed=seed)).is_evident for seed in range(300)]
    assert 0.7 <= np.mean(found) <= 0.9


def test_holms_rule_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == [pytest.approx(0.03), pytest.approx(0.06), pytest.approx(0.06)]
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_ranking_is_scipys_and_scikit_posthocs() -> None:
    scores = simulated(4, shift=3.0)
    table = np.array([[scores[name][block] for name in METHODS] for block in blocks(4)])
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


def test_equal_methods_are_not_told_apart() -> None:
    same = dict.fromkeys(blocks(3), 50.0)
    found = rank(dict.fromkeys(METHODS, same))
    assert found.p == 1.0
    assert set(found.ranks.values()) == {2.5}
    assert set(found.pairs.values()) == {1.0}


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_tables_with_holes_and_ties_never_crash(data: st.DataObject) -> None:
    everywhere = blocks(3)
    cell = st.dictionaries(st.sampled_from(everywhere), st.sampled_from([0.0, 50.0, 50.0, 99.5, 100.0]))
    scores = {name: data.draw(cell) for name in METHODS}
    found = rank(scores)
    assert found.blocks == len(set.intersection(*map(set, scores.values())))
    assert found.p is None or 0 <= found.p <= 1
    for a in METHODS[1:]:
        pair = compare("augkd", a, scores)
        assert pair.sentence
        assert pair.p is None or pair.blocks >= 6


# the command


def write(runs: Path, **changes: Any) -> Path:
    for method, shift in (("kd", 0.0), ("augkd", 3.0), ("mad", 0.1)):
        for setting in ("A-C", "B-C"):
            for seed in range(4):
                made = record(method, setting, seed, 70 + shift + 0.1 * seed, **changes)
                write_record(runs / f"{made.key}{changes.get('track', '')}", made)
    return runs


def test_the_command_says_what_it_rests_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    compare_command(["augkd", "kd", "mad"], runs=write(tmp_path))
    said = capsys.readouterr().out
    assert "augkd and kd: augkd is better than kd by 3.00 points; this rests on 8 blocks (2 settings)" in said
    assert "mean ranks over 8 blocks: augkd 1.00, mad 2.00, kd 3.00" in said
    assert "Friedman p 0.0003" in said


@pytest.mark.parametrize(
    ("names", "reason"),
    [(["kd"], "two different methods"), (["kd", "kd"], "two different"), (["augk", "kd"], "did you mean 'augkd'")],
)
def test_what_cannot_be_compared_is_said(names: list[str], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=reason):
        compare_command(names, runs=write(tmp_path))
    with pytest.raises(UserError, match="no finished run fits"):
        compare_command(["kd", "augkd"], dataset="visda", runs=tmp_path)


def test_tracks_and_budgets_are_not_mixed(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, track="label-free")
    with pytest.raises(
        UserError, match=r"2 kinds that must not be mixed; choose one: --track label-free .* or --track"
    ):
        compare_command(["kd", "augkd"], runs=tmp_path)
    compare_command(["kd", "augkd"], track="label-free", runs=tmp_path)


def test_the_sentences_of_several_pairs_bear_their_number() -> None:
    scores = {name: {Block("d", "A-C", seed): 60.0 + seed + better for seed in range(6)} for name, better in
              {"a": 1.0, "b": 0.0, "c": 0.5}.items()}  # fmt: skip
    alone = compare("a", "b", scores)
    assert alone.is_evident
    first, second = adjusted([alone, compare("a", "c", scores)])
    assert alone.p is not None
    assert (first.p, second.p) == (2 * alone.p, 2 * alone.p)
    assert not first.is_evident
