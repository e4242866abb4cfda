"""Published numbers beside ours, with a conclusion; where two numbers cannot be compared, it says why.

``leaderboards/published/<dataset>.csv`` quotes papers. Its first columns name the row of our leaderboard that a number
belongs to and on what the paper selected its evaluation; they are empty for data sets and methods that okdbench lacks.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from okdbench.results.columns import is_complete
from okdbench.results.table import Column, Row, rows_of, spell

#: published numbers are those of the authors' own budgets
COMPARABLE_BUDGET = "paper"
#: metric of a paper -> our column
_METRICS = {"top1": "acc", "top5": "top5"}


def _networks(row: Row) -> str:
    return f"{row['teacher']} -> {row['student']}"


def _paper(row: Row) -> str:
    return spell(row["paper"]) + (f" ± {spell(row['paper_std'])}" if row["paper_std"] is not None else "")


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
    Column("ours", "our number", unit="%"),
    Column("conclusion", "reproduced, within noise, not reproduced or not comparable", dtype="str"),
    Column("why", "the reason", dtype="str", drop=3, folds=True),
    Column("source", "where the number is from, and how sure that is", dtype="str", drop=4, folds=True, text=_source),
)  # fmt: skip


def published_numbers(datasets: Iterable[str]) -> pd.DataFrame:
    """The published numbers that belong to a row of ours, in percent; no rows for data sets without a file."""
    folder = Path(next(iter(importlib.import_module("okdbench.leaderboards").__path__))) / "published"
    files = {dataset: folder / f"{dataset}.csv" for dataset in datasets}
    texts = {"value": float, "std": float}
    tables = [
        # An empty cell is an empty text, which says that there is no row of ours; only the deviation may be missing.
        pd.read_csv(file, keep_default_na=False, na_values={"std": [""]}, dtype=str).assign(dataset=dataset)
        for dataset, file in files.items()
        if file.is_file()
    ]
    if not tables:
        return pd.DataFrame()
    numbers = pd.concat(tables, ignore_index=True).astype(texts)
    return numbers[numbers["row"] != ""].reset_index(drop=True)


def compare_published(table: pd.DataFrame, numbers: pd.DataFrame | None = None) -> pd.DataFrame:
    """Each published number beside the row of ours that has the most in common with it.

    Args:
        table: leaderboards, as :func:`okdbench.leaderboard` returns them.
        numbers: published numbers; by default all on the data sets of ``table``.

    Returns:
        What :data:`PUBLISHED_COLUMNS` are made of, and the ends of our 95 % confidence interval as ``ours_low`` and
        ``ours_high``. No rows where there are no published numbers.
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
    missing = pair["acc"] is None
    obstacles = ["no run of ours"] if missing else _obstacles(pair)
    # Only the accuracy has an interval.
    low, high = (pair["acc_low"], pair["acc_high"]) if pair["metric"] == "top1" else (None, None)
    if low is None and not missing:
        obstacles.append("our number has no confidence interval")
    conclusion, why = ("not comparable", "; ".join(obstacles)) if obstacles else _conclusion(pair)
    return {name: pair[name] for name in names} | {
        "paper": pair["value"],
        "paper_std": pair["std"],
        "ours": pair[_METRICS[pair["metric"]]],
        "ours_low": low,
        "ours_high": high,
        "conclusion": conclusion,
        "why": why,
        "obstacles": len(obstacles),
    }


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
    if pair["selection"] != "held-out":
        found.append(f"theirs was selected on: {pair['selection'] or 'unknown'}")
    if not is_complete(pair):
        found.append(f"only {pair['complete']} of our runs are finished")
    return found


def _is_same_network(ours: str, theirs: str) -> bool:
    """Whether a timm name such as ``mobilenetv3_small_100`` is what a paper calls ``theirs``."""
    return ours == theirs or ours.startswith(f"{theirs}_")


def _conclusion(pair: Row) -> tuple[str, str]:
    """The conclusion from a comparable pair, and the reason."""
    paper, low, high = pair["value"], pair["acc_low"], pair["acc_high"]
    noise = 2 * (pair["std"] or 0.0)
    if low <= paper <= high:
        return "reproduced", "the published number is inside our 95 % confidence interval"
    if low <= paper + noise and paper - noise <= high:
        return "within noise", "our interval and two standard deviations of the paper overlap"
    direction = "lower" if paper > pair["acc"] else "higher"
    return "not reproduced", f"ours is {abs(paper - pair['acc']):.2f} points {direction}"
