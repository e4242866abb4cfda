"""What another processor does to the same runs, from the records: ``python docs/processors.py``.

The runs of ``docs/processors.jsonl.gz`` have the libraries and seeds of those in the leaderboards.
"""

from __future__ import annotations

from pathlib import Path

from tables import markdown, signed

from okdbench.results.estimates import interval, mean
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
GRID, OTHER = ROOT / "leaderboards" / "records" / "digits.jsonl.gz", ROOT / "docs" / "processors.jsonl.gz"


def table() -> str:
    """A line for each row: its mean on the one processor and the other, the paired difference, and that of one seed."""
    here, there = _accuracies(GRID), _accuracies(OTHER)
    lines = []
    for method in sorted({method for method, *_ in there}):
        cells = [cell for cell in there if cell[0] == method]
        differences = [there[cell] - here[cell] for cell in cells]
        means = " -> ".join(f"{mean([found[cell] for cell in cells]):.1f}" for found in (here, there))
        largest = f"{max(map(abs, differences)):.1f}"
        lines.append([f"`{method}`", str(len(cells)), means, signed(mean(differences), interval(differences)), largest])
    return markdown(["row", "seeds", "accuracy", "difference", "largest of a seed"], lines)


def _accuracies(archive: Path) -> dict[tuple[object, ...], float]:
    return {
        (run.method, run.setting, run.track, run.shots, run.teacher, run.seed): run.selected.evaluation.test.acc
        for run in read_records(archive)
        if run.selected
    }


if __name__ == "__main__":
    print(table())
