"""What a record keeps of a run's losses: sampled curves to plot, and hashes that tell where two runs diverge."""

from __future__ import annotations

import hashlib
import json
from itertools import groupby
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

POINTS_PER_STAGE = 40


class Curve(BaseModel):
    """The losses of one stage at some of its steps.

    Attributes:
        steps: the steps that are kept.
        losses: term -> its value at each of these steps, rounded to five digits; None where the step lacks the term.
        hashes: for each of these steps, a hash of every logged loss of the run up to it, bit for bit.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    steps: list[int]
    losses: dict[str, list[float | None]]
    hashes: list[str]


def read_curves(log: Path) -> dict[str, Curve]:
    """Stage -> curve, from the lines that :class:`okdbench.training.loss_log.LossLog` wrote; empty without a log."""
    digest = hashlib.sha256()
    rows: list[dict[str, Any]] = []
    for line in log.read_bytes().splitlines() if log.exists() else ():
        digest.update(line)
        # Twelve digits are enough to compare two runs, and keep a record small.
        rows.append(json.loads(line) | {"hash": digest.hexdigest()[:12]})
    return {stage: _sampled(list(members)) for stage, members in groupby(rows, key=lambda row: str(row["stage"]))}


def _sampled(rows: list[dict[str, Any]]) -> Curve:
    """Evenly spaced steps, counted from the last one, which is always kept because it hashes the whole stage."""
    stride = -(-len(rows) // POINTS_PER_STAGE)
    kept = rows[::-1][::stride][::-1]
    # A union, because a step need not have every term of its stage.
    terms = sorted({term for row in kept for term in row["losses"]})
    return Curve(
        steps=[row["step"] for row in kept],
        losses={term: [_short(row["losses"].get(term)) for row in kept] for term in terms},
        hashes=[row["hash"] for row in kept],
    )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.5g}")
