"""What ``okdbench compare`` prints: a table of pairs, and a sentence for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

import pandas as pd

from okdbench.core.terminal import LIST_FORMATS, check_format, to_json
from okdbench.results.latex import caption_of, labels, latex_table
from okdbench.results.rendering import print_caption, print_columns
from okdbench.results.significance import compare_methods
from okdbench.results.table import Column, Row, spell

#: what ``okdbench compare --format`` takes
FORMATS = (*LIST_FORMATS, "tex")


def _difference(row: Row) -> str:
    return "-" if row["difference"] is None else f"{row['difference']:+.2f}"


def _interval(row: Row) -> str:
    return "-" if row["low"] is None else f"{row['low']:+.2f} to {row['high']:+.2f}"


def _p_value(row: Row) -> str:
    return spell(row["p"], 4) or "-"


def _settings(row: Row) -> str:
    return ", ".join(row["settings"])


PAIR_COLUMNS = (
    Column("a", "the first method", dtype="str", folds=True),
    Column("b", "the method that it is compared with", dtype="str", folds=True),
    Column("settings", "the settings that are averaged over", dtype="str", folds=True, drop=3, text=_settings),
    Column("seeds", "seeds that both have in all of these settings", dtype="int64", drop=2),
    Column("difference", "mean difference in accuracy", unit="points", heading="a - b", text=_difference),
    Column("interval", "its 95 % interval, simultaneous over all rows of the table", heading="95 %", drop=1,
           text=_interval),
    Column("p", "p-value of Games and Howell's test, adjusted for all rows of the table", heading="p", text=_p_value),
)  # fmt: skip


def print_comparison(records: pd.DataFrame, methods: Sequence[str], form: str = "text", **group: str | None) -> None:
    """Compare the first of ``methods`` with the others.

    Args:
        records: runs as :func:`okdbench.load_records` returns them.
        methods: at least two, as the leaderboards name them.
        form: one of :data:`FORMATS`.
        group: ``setting``, or fields of :class:`~okdbench.results.grouping.ComparisonGroup`, such as ``track``; None
            for any value.

    Raises:
        UserError: there is no such form, a method has no finished run, or the runs are of several comparison groups.
    """
    check_format(form, FORMATS)
    pairs = compare_methods(records, methods, **group)
    if form == "json":
        print(to_json([asdict(pair) | {"sentence": pair.sentence} for pair in pairs]))
        return
    rows = list(map(asdict, pairs))
    if form == "tex":
        (label,) = labels([f"compare {methods[0]}"])
        print(latex_table(PAIR_COLUMNS, rows, caption_of("Differences in accuracy, in points", PAIR_COLUMNS), label))
        return
    print_columns(PAIR_COLUMNS, rows)
    print()
    for pair in pairs:
        print(pair.sentence)
    print()
    print_caption(PAIR_COLUMNS)
