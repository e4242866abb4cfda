"""Published numbers beside ours, with a verdict; where two numbers cannot be compared, it says why.

``leaderboards/published/<dataset>.csv`` quotes papers. Its first columns name the row of our leaderboard and the task
that a number belongs to, and on what the paper selected its evaluation. ``row`` is empty for methods that okdbench
lacks, and ``setting`` for data sets that it lacks.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.columns import is_complete
from okdbench.results.grouping import ALL
from okdbench.results.table import Column, Row, rows_of, spell

#: published numbers are those of the authors' own budgets
COMPARABLE_BUDGET = "paper"
#: metric of a paper and what it selected its evaluation on -> our column: like is compared with like
_COLUMNS = {
    ("top1", "held-out"): "acc",
    ("top1", "last"): "last_acc",
    ("top1", "best-on-test"): "oracle_acc",
    ("top5", "held-out"): "top5",
}
#: a published number is reproduced if ours is surely within so many points of it
MARGIN = 1.0


def _networks(row: Row) -> str:
    return f"{row['teacher']} -> {row['student']}"


def _paper(row: Row) -> str:
    return spell(row["paper"]) + (f" ± {spell(row['paper_std'])}" if row["paper_std"] is not None else "")


def _difference(row: Row) -> str:
    if row["difference_low"] is None:
        return ""
    return f"{row['ours'] - row['paper']:+.2f} ({row['difference_low']:+.2f} to {row['difference_high']:+.2f})"


def _source(row: Row) -> str:
    return f"{row['source']} ({row['confidence']})"


#: title of the table of published numbers
TITLE = "published numbers and ours"
#: columns of :func:`compare_published`; the names of methods, teachers and students are the paper's
PUBLISHED_COLUMNS: tuple[Column, ...] = (
    Column("method", "the method, as the paper calls it", dtype="str", folds=True),
    Column("setting", "the setting", dtype="str"),
    Column("networks", "teacher -> student of the paper", heading="teacher -> student", dtype="str", drop=2, folds=True,
           text=_networks),
    Column("metric", "top1 or top5", dtype="str", drop=1),
    Column("paper", "the published number", unit="%", text=_paper),
    Column("ours", "our number, selected as theirs", unit="%"),
    Column("difference", "ours - theirs, with its 95 % interval", unit="points", drop=1, text=_difference),
    Column("verdict", f"reproduced: the interval is within {MARGIN:g} point; not reproduced: it is outside; "
           "inconclusive; or not comparable", dtype="str"),
    Column("why", "the reason", dtype="str", drop=3, folds=True),
    Column("source", "where the number is from, and how sure that is", dtype="str", drop=4, folds=True, text=_source),
)  # fmt: skip


def published_numbers(datasets: Iterable[str]) -> pd.DataFrame:
    """The published numbers that belong to a row of ours, in percent; no rows for data sets without a file."""
    folder = Path(next(iter(importlib.import_module("okdbench.leaderboards").__path__))) / "published"
    files = {dataset: folder / f"{dataset}.csv" for dataset in datasets}
    texts = {"value": float, "std": float}
    tables = [
        # An empty cell is an empty text, for what okdbench lacks; only the deviation may be missing.
        pd.read_csv(file, keep_default_na=False, na_values={"std": [""]}, dtype=str).assign(dataset=dataset)
        for dataset, file in files.items()
        if file.is_file()
    ]
    if not tables:
        return pd.DataFrame()
    numbers = pd.concat(tables, ignore_index=True).astype(texts)
    return numbers[(numbers["row"] != "") & (numbers["setting"] != "")].reset_index(drop=True)


def compare_published(table: pd.DataFrame, numbers: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each published number beside the row of ours that has the most in common with it.

    Args:
        table: leaderboards, as :func:`okdbench.leaderboard` returns them.
        numbers: published numbers; by default all on the data sets of ``table``.

    Returns:
        What :data:`PUBLISHED_COLUMNS` are made of, and the ends of the interval of ours - theirs as ``difference_low``
        and ``difference_high``. No rows where there are no published numbers.
    """
    numbers = published_numbers(table["dataset"].unique()) if numbers is None else numbers
    if numbers.empty:
        return pd.DataFrame(columns=["dataset"])
    # A left join: a published number without a run of ours is listed too, with that as the reason.
    pairs = numbers.reset_index(names="number").merge(
        table[table["acc"].notna()],
        how="left",
        left_on=["dataset", "row", "setting", "track"],
        right_on=["dataset", "method", "setting", "track"],
        suffixes=("", "_ours"),
    )
    compared = pd.DataFrame([_compared(pair) for pair in rows_of(pairs)])
    # Of several rows of ours, such as those of other budgets, the one with the fewest obstacles is compared.
    best = compared.sort_values("obstacles", kind="stable").drop_duplicates("number").sort_values("number")
    return best.drop(columns=["number", "obstacles"]).reset_index(drop=True)


def _compared(pair: Row) -> dict[str, object]:
    """A published number with a row of ours, whose columns are None where there is no such row."""
    names = ("number", "dataset", "method", "setting", "teacher", "student", "metric", "source", "confidence")
    column = _COLUMNS.get((pair["metric"], pair["selection"]), "acc")
    missing = pair["acc"] is None
    obstacles = ["no run of ours"] if missing else _obstacles(pair)
    ends = None if missing else _interval(pair, column)
    if ends is None and not missing:
        obstacles.append("our number has no interval")
    verdict, why = ("not comparable", "; ".join(obstacles)) if obstacles or ends is None else _verdict(ends)
    low, high = ends or (None, None)
    return {name: pair[name] for name in names} | {
        "paper": pair["value"],
        "paper_std": pair["std"],
        "ours": pair[column],
        "difference_low": low,
        "difference_high": high,
        "verdict": verdict,
        "why": why,
        "obstacles": len(obstacles),
    }


def _interval(pair: Row, column: str) -> tuple[float, float] | None:
    """The 95 % interval of ours - theirs; None where ours has none."""
    if pair[f"{column}_low"] is None:
        return None
    ours = (pair[f"{column}_high"] - pair[f"{column}_low"]) / 2
    # How many seeds a paper's deviation is of is mostly unknown, so it counts as that of one number.
    theirs = 2 * (pair["std"] or 0.0)
    middle, half = pair[column] - pair["value"], math.hypot(ours, theirs)
    return middle - half, middle + half


def _obstacles(pair: Row) -> list[str]:
    """Why our row says nothing about the published number."""
    found = []
    for network in ("teacher", "student"):
        ours, _, conditions = pair[f"{network}_ours"].partition("[")
        if not _is_same_network(ours, pair[network]):
            found.append(f"our {network} is {ours}, theirs {pair[network]}")
        if conditions:
            found.append(f"our runs have {conditions.removesuffix(']')}")
    if pair["budget"] != COMPARABLE_BUDGET:
        found.append(f"our budget is {pair['budget']}")
    if (pair["metric"], pair["selection"]) not in _COLUMNS:
        found.append(f"theirs was selected on: {pair['selection'] or 'unknown'}")
    for name, usual in (("shots", ALL), ("protocol", str(PROTOCOL_VERSION))):
        if pair[name] != usual:
            found.append(f"our {name} is {pair[name]}")
    if not is_complete(pair):
        found.append(f"only {pair['complete']} of our runs are finished")
    return found


def _is_same_network(ours: str, theirs: str) -> bool:
    """Whether a timm name such as ``mobilenetv3_small_100`` is what a paper calls ``theirs``."""
    return ours == theirs or ours.startswith(f"{theirs}_")


def _verdict(ends: tuple[float, float]) -> tuple[str, str]:
    """An equivalence test: the verdict from the interval of ours - theirs, and the reason."""
    low, high = ends
    words = f"ours - theirs is between {low:+.2f} and {high:+.2f}"
    if low >= -MARGIN and high <= MARGIN:
        return "reproduced", f"{words}, within {MARGIN:g} point"
    if low > MARGIN or high < -MARGIN:
        return "not reproduced", f"{words}, more than {MARGIN:g} point away"
    return "inconclusive", f"{words}; more seeds would narrow that"
