"""Tables of docs/reproductions.md: every published number with its verdict, or with what it lacks."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path

from okdbench.results.frames import load_records
from okdbench.results.leaderboard import leaderboard
from okdbench.results.published import compare_published, published_numbers
from okdbench.results.published_columns import place
from okdbench.results.table import Row, rows_of, spell

RECORDS = Path(__file__).resolve().parent.parent / "leaderboards" / "records"
COLUMNS = ("method", "setting", "teacher -> student", "published %", "ours %", "verdict", "why", "source")


def tables() -> str:
    """A heading and a table for each data set."""
    rows = _compared()
    names = list(dict.fromkeys(row["dataset"] for row in rows))
    return "\n\n".join(_table(name, [row for row in rows if row["dataset"] == name]) for name in names)


def counts() -> str:
    """How many numbers have which verdict, and what the others lack."""
    rows = _compared()
    verdicts = Counter(row["verdict"] for row in rows)
    lacks = Counter(_first(row["why"]) for row in rows if row["verdict"] == "not comparable")
    lines = [f"| {name} | {number} |" for name, number in (*verdicts.most_common(), *lacks.most_common())]
    first = len(verdicts)
    parts = [
        "| verdict | numbers |",
        "|---|---:|",
        *lines[:first],
        "",
        "| not comparable, because | numbers |",
        "|---|---:|",
    ]
    return "\n".join([*parts, *lines[first:]])


@cache
def _compared() -> list[Row]:
    return rows_of(compare_published(leaderboard(load_records(RECORDS)), published_numbers()))


def _first(why: str) -> str:
    """The kind of the first reason, without the name of a method or data set."""
    reason = why.partition(";")[0]
    for kind in ("okdbench has no method", "okdbench has no data set", "okdbench has no such setting"):
        if reason.startswith(kind):
            return f"{kind} (that they are of)" if kind.endswith("setting") else f"{kind} of that name"
    return "conditions differ" if reason.startswith("our ") else reason


def _table(dataset: str, rows: list[Row]) -> str:
    head = [f"| {' | '.join(COLUMNS)} |", "|---|---|---|---:|---:|---|---|---|"]
    return "\n".join([f"### {dataset}", "", *head, *(f"| {' | '.join(_cells(row))} |" for row in rows)])


def _cells(row: Row) -> list[str]:
    networks = f"{row['teacher'] or 'unknown'} -> {row['student'] or 'unknown'}"
    deviation = f" ± {spell(row['paper_std'])}" if row["paper_std"] is not None else ""
    ours = "-" if row["ours"] is None else spell(row["ours"])
    texts = [row["method"], place(row), networks, f"{spell(row['paper'])}{deviation}", ours, row["verdict"], row["why"]]
    return [str(text).replace("|", "\\|") for text in (*texts, f"{row['source']} ({row['confidence']})")]
