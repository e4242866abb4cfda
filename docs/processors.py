"""What another processor does to the same runs, from the records: ``python docs/processors.py``.

The runs of ``docs/processors.jsonl.gz`` have libraries and seeds of those in the leaderboards, on another processor.
"""

from __future__ import annotations

from pathlib import Path

from tables import markdown, signed

from okdbench.results.estimates import interval, mean
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
GRID, OTHER = ROOT / "leaderboards" / "records" / "digits.jsonl.gz", ROOT / "docs" / "processors.jsonl.gz"


def table() -> str:
    """A line for each row in a setting: its means, the paired difference, and the largest difference of a seed."""
    here, there = _accuracies(GRID), _accuracies(OTHER)
    lines = []
    for row in dict.fromkeys(cell[:4] for cell in sorted(there, key=str)):
        cells = [cell for cell in there if cell[:4] == row]
        differences = [here[cell] - there[cell] for cell in cells]
        means = " -> ".join(f"{mean([found[cell] for cell in cells]):.1f}" for found in (there, here))
        largest = f"{max(map(abs, differences)):.1f}"
        method, setting, track, _ = row
        shown = [f"`{method}`", f"{setting}, {track}", str(len(cells)), means]
        lines.append([*shown, signed(mean(differences), interval(differences)), largest])
    return markdown(["row", "setting, track", "seeds", "accuracy", "difference", "largest of a seed"], lines)


def _accuracies(archive: Path) -> dict[tuple[object, ...], float]:
    return {
        (run.method, run.setting, run.track, run.shots, run.teacher, run.seed): run.selected.evaluation.test.acc
        for run in read_records(archive)
        if run.selected
    }


if __name__ == "__main__":
    print(table())
