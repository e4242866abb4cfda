"""Published numbers beside ours, with a verdict; and why two numbers cannot be compared, where they cannot.

``leaderboards/published/<dataset>.csv`` quotes papers. Its first columns name the row of our table that a number
belongs to and what the paper chose its step on; they are empty for data sets and methods that okdbench does not have.
"""

from __future__ import annotations

import csv
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from okdbench.results.leaderboard import Row

COMPARABLE_BUDGET = "paper"
_COLUMNS = {"top1": "acc", "top5": "top5"}


@dataclass(frozen=True)
class PublishedNumber:
    """One published number of one of our rows, in percent."""

    dataset: str
    row: str
    setting: str
    track: str
    selection: str
    method: str
    teacher: str
    student: str
    metric: str
    value: float
    std: float | None
    source: str
    confidence: str


@dataclass(frozen=True)
class Verdict:
    """A published number, ours, and what follows: reproduced, within noise, not reproduced or not comparable."""

    method: str
    dataset: str
    setting: str
    teacher: str
    student: str
    metric: str
    paper: float
    paper_std: float | None
    source: str
    confidence: str
    ours: float | None
    ours_low: float | None
    ours_high: float | None
    verdict: str
    why: str


def published_numbers(dataset: str) -> list[PublishedNumber]:
    """The published numbers on a data set that belong to a row of ours; none where there is no file."""
    folder = Path(next(iter(importlib.import_module("okdbench.leaderboards").__path__))) / "published"
    path = folder / f"{dataset}.csv"
    if not path.is_file():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [_claim(dataset, line) for line in csv.DictReader(file) if line["row"]]


def _claim(dataset: str, line: dict[str, str]) -> PublishedNumber:
    names = ("row", "setting", "track", "selection", "method", "teacher", "student", "metric", "source", "confidence")
    std = float(line["std"]) if line["std"] else None
    return PublishedNumber(dataset=dataset, value=float(line["value"]), std=std, **{name: line[name] for name in names})


def verdicts(dataset: str, rows: Sequence[Row]) -> list[Verdict]:
    """A verdict on every published number on the data set, given our rows of it."""
    return [judge(claim, rows) for claim in published_numbers(dataset)]


def judge(claim: PublishedNumber, rows: Sequence[Row]) -> Verdict:
    """Compare a claim with the row that has the most in common with it."""
    candidates = [
        row
        for row in rows
        if (row.method, row.setting, row.track) == (claim.row, claim.setting, claim.track) and row.acc is not None
    ]
    ours = min(candidates, key=lambda row: len(_obstacles(claim, row)), default=None)
    low, high = (ours.acc_low, ours.acc_high) if ours and claim.metric == "top1" else (None, None)
    number = None if ours is None else getattr(ours, _COLUMNS[claim.metric])
    obstacles = ["no run of ours"] if ours is None else _obstacles(claim, ours)
    if number is None or low is None or high is None:
        obstacles += ["we have no interval of it"] if ours else []
        verdict, why = "", ""
    else:
        verdict, why = _verdict(claim, number, low, high)
    return Verdict(
        **{name: getattr(claim, name) for name in ("method", "dataset", "setting", "teacher", "student", "metric")},
        paper=claim.value,
        paper_std=claim.std,
        source=claim.source,
        confidence=claim.confidence,
        ours=number,
        ours_low=low,
        ours_high=high,
        verdict="not comparable" if obstacles else verdict,
        why="; ".join(obstacles) or why,
    )


def _obstacles(claim: PublishedNumber, row: Row) -> list[str]:
    """Why the row's number says nothing about the claim."""
    found = []
    for network, theirs in (("teacher", claim.teacher), ("student", claim.student)):
        ours, _, conditions = getattr(row, network).partition("[")
        if not _is_same_network(ours, theirs):
            found.append(f"our {network} is {ours}, theirs {theirs}")
        if conditions:
            found.append(f"our runs have {conditions.removesuffix(']')}")
    if row.budget != COMPARABLE_BUDGET:
        found.append(f"our budget is {row.budget}")
    if claim.selection != "held-out":
        found.append(f"theirs was selected on: {claim.selection or 'unknown'}")
    if not row.is_complete:
        found.append(f"only {row.complete} of our runs are done")
    return found


def _is_same_network(ours: str, theirs: str) -> bool:
    """Whether a timm name is what a paper calls ``theirs``, such as ``mobilenetv3_small_100``."""
    return ours == theirs or ours.startswith(f"{theirs}_")


def _verdict(claim: PublishedNumber, ours: float, low: float, high: float) -> tuple[str, str]:
    noise = 2 * (claim.std or 0.0)
    if low <= claim.value <= high:
        return "reproduced", "the published number lies in our interval"
    if low <= claim.value + noise and claim.value - noise <= high:
        return "within noise", "our interval and two of the paper's standard deviations overlap"
    return (
        "not reproduced",
        f"ours is {abs(claim.value - ours):.2f} points {'lower' if claim.value > ours else 'higher'}",
    )
