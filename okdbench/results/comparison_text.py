"""What ``okdbench compare`` prints: a table of pairs, a sentence for each, and mean ranks of three methods or more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import pandas as pd

from okdbench.core.terminal import check_format, to_json
from okdbench.results.friedman import Ranking, rank
from okdbench.results.rendering import print_caption, print_columns
from okdbench.results.significance import Comparison, compare_pairs, scores_of
from okdbench.results.table import Column, Row, spell


def _difference(row: Row) -> str:
    return f"{row['difference']:+.2f}"


def _interval(row: Row) -> str:
    return "-" if row["low"] is None else f"{row['low']:+.2f} .. {row['high']:+.2f}"


def _effect(row: Row) -> str:
    return spell(row["effect"]) or "-"


def _p_value(row: Row) -> str:
    return spell(row["p"], 4) or "-"


PAIR_COLUMNS = (
    Column("a", "the first method", dtype="str", folds=True),
    Column("b", "the method that it is compared with", dtype="str", folds=True),
    Column("blocks", "settings times seeds in which both have a finished run", dtype="int64", drop=2),
    Column("difference", "mean difference in accuracy, each setting with the same weight", unit="points",
           heading="a - b", text=_difference),
    Column("interval", "its 95 % confidence interval", heading="95 %", drop=1, text=_interval),
    Column("effect", "mean difference in standard deviations of the blocks (Cohen's d)", drop=3, text=_effect),
    Column("p", "Wilcoxon's signed-rank test, adjusted for the number of pairs by Holm's rule", heading="p",
           text=_p_value),
)  # fmt: skip


def print_comparison(records: pd.DataFrame, methods: Sequence[str], form: str = "text", **group: str | None) -> None:
    """Compare the first of ``methods`` with the others, on all blocks that they share.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        methods: at least two, as the leaderboards name them.
        form: ``text`` or ``json``.
        group: fields of :class:`~okdbench.results.grouping.ComparisonGroup`, such as ``track``; None for any value.

    Raises:
        UserError: there is no such form, a method has no finished run, or the runs are of several comparison groups.
    """
    check_format(form)
    scores = scores_of(records, methods, **group)
    pairs = compare_pairs(scores)
    # Friedman's test needs three methods; of two, the pair says everything.
    ranking = rank(scores) if len(scores.columns) > 2 else None
    if form == "json":
        print(to_json({"pairs": list(map(_pair, pairs)), "ranking": ranking and _ranking(ranking)}))
        return
    print_columns(PAIR_COLUMNS, list(map(asdict, pairs)))
    print()
    for pair in pairs:
        print(f"{pair.a} and {pair.b}: {pair.sentence}")
    if ranking:
        print(_ranking_text(ranking))
    print()
    print_caption(PAIR_COLUMNS)


def _pair(pair: Comparison) -> dict[str, Any]:
    return asdict(pair) | {"sentence": pair.sentence}


def _ranking(ranking: Ranking) -> dict[str, Any]:
    """JSON has no tuples as keys, so each pair is a mapping of its own."""
    pairs = [{"a": a, "b": b, "p": p} for (a, b), p in ranking.pairs.items()]
    return asdict(ranking) | {"pairs": pairs}


def _ranking_text(ranking: Ranking) -> str:
    """Mean ranks, Friedman's test and all pairs, one line each."""
    if ranking.p is None or ranking.critical is None:
        return f"no ranking: only {ranking.blocks} blocks have a run of every method"
    ranks = ", ".join(f"{name} {mean:.2f}" for name, mean in sorted(ranking.ranks.items(), key=lambda item: item[1]))
    return "\n".join(
        [
            f"mean ranks over {ranking.blocks} blocks: {ranks}",
            f"Friedman test: p = {ranking.p:.4f}; critical difference of mean ranks: {ranking.critical:.2f} "
            "(Nemenyi test, 5 %)",
            *(f"{a} - {b}: Holm-adjusted p = {p:.4f}" for (a, b), p in ranking.pairs.items()),
        ]
    )
