"""Leaderboards as CSV files: what a line says, and other words in it."""

from __future__ import annotations

import csv
from pathlib import Path

from okdbench.results.columns import shown_in


def rewrite(board: Path, line: int, **columns: str) -> None:
    """Replace texts in a line of a leaderboard; line 1 is the header."""
    rows = list(csv.DictReader(board.read_text().splitlines()))
    rows[line - 2] |= columns
    with board.open("w", newline="") as file:
        writer = csv.DictWriter(file, [column.name for column in shown_in("csv")])
        writer.writeheader()
        writer.writerows(rows)


def command(board: Path, line: int) -> str:
    """The command in a line of a leaderboard."""
    return list(csv.DictReader(board.read_text().splitlines()))[line - 2]["command"]
