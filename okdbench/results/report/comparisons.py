"""Every two rows of a table with their test, so that the page compares them without computing anything."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from okdbench.results.report.formatting import MISSING, number
from okdbench.results.report.leaderboard_rows import ReportRow
from okdbench.results.significance import Comparison, compare_pair


def comparisons(rows: Sequence[ReportRow]) -> dict[str, list[str]]:
    """``3-5`` for rows 3 and 5 of one table -> their difference, its interval, and the result in words."""
    tables: dict[tuple[str, ...], list[int]] = {}
    for place, line in enumerate(rows):
        if line.means:
            tables.setdefault(line.table, []).append(place)
    found = {}
    for places in tables.values():
        names = {place: rows[place].row["method"] for place in places}
        means = {names[place]: rows[place].means for place in places}
        for a, b in combinations(places, 2):
            # Without p-values, because the page shows the interval, and a thousand of them take ten seconds.
            pair = compare_pair(means, rows[a].runs, names[a], names[b], with_p=False)
            found[f"{a}-{b}"] = _texts(pair)
    return found


def _texts(pair: Comparison) -> list[str]:
    tested = pair.low is not None
    interval = f"{number(pair.low, sign=True)} to {number(pair.high, sign=True)}" if tested else MISSING
    return [number(pair.difference, sign=True), interval, pair.sentence]
