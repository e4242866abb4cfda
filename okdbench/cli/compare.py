"""What ``okdbench compare`` does: see :mod:`okdbench.results.comparison_text`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from okdbench.results.comparison_text import print_comparison
from okdbench.results.frames import read_runs, to_frame


def show(names: Sequence[str], runs: Path, wanted: Mapping[str, str | None], form: str = "text") -> None:
    """Compare the methods called ``names`` on all records below ``runs`` that are of the ``wanted`` comparison group.

    Args:
        names: at least two, as the leaderboards name them; the first is compared with the others.
        runs: a folder of runs or an archive of records.
        wanted: column of :class:`~okdbench.results.grouping.ComparisonGroup` -> value; None for any.
        form: ``text`` or ``json``.

    Raises:
        UserError: a method has no run there, or the comparison group is not clear.
    """
    print_comparison(to_frame(read_runs(runs)), names, form, **wanted)
