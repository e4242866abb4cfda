"""What bfloat16 does to the accuracy, from the records: ``python docs/precisions.py``.

Each cell is the difference of a run to the same run in float32, paired by seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path

from tables import with_interval

from okdbench.core.settings import TaskKind
from okdbench.results.estimates import interval, mean
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
#: float32 is from the digits' grid of this protocol
PROTOCOL = 4
ARCHIVES = (ROOT / "docs" / "protocol-4.jsonl.gz", ROOT / "docs" / "precisions.jsonl.gz")
#: a precision is recommended where the whole interval is within so many points
MARGIN = 0.5
PRECISIONS = ("bfloat16-targets", "bfloat16")
SEEDS = range(3)

#: seed -> accuracy (%)
Accuracies = Mapping[int, float]


def table() -> str:
    """A row for each method, place and pair of networks: float32, and each precision's difference to it in points."""
    rows = []
    for (method, place, networks), found in sorted(_runs().items()):
        if "float32" in found and len(found) > 1:
            usual = found["float32"]
            cells = [_difference(usual, found.get(precision, {})) for precision in PRECISIONS]
            values = (f"`{method}`", place, networks, f"{mean([*usual.values()]):.2f}", *cells)
            rows.append(f"| {' | '.join(values)} |")
    head = f"| method | setting | networks | float32 % | {' | '.join(PRECISIONS)} |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _runs() -> dict[tuple[str, str, str], dict[str, dict[int, float]]]:
    """(method, place, networks) -> precision -> seed -> accuracy, of the runs with default settings."""
    found: dict[tuple[str, str, str], dict[str, dict[int, float]]] = {}
    for record in chain.from_iterable(map(read_records, ARCHIVES)):
        if record.selected and record.protocol == PROTOCOL and not record.variant and record.seed in SEEDS:
            labels = f", {record.track}" if record.task == TaskKind.ADAPT else ""
            shots = f", {record.shots} labels per class" if record.shots else ""
            place = (record.method, f"{record.setting}{labels}{shots}", f"{record.teacher} -> {record.student}")
            accuracies = found.setdefault(place, {}).setdefault(record.config["precision"], {})
            accuracies[record.seed] = record.selected.evaluation.test.acc
    return found


def _difference(usual: Accuracies, other: Accuracies) -> str:
    differences = [other[seed] - usual[seed] for seed in sorted(usual.keys() & other.keys())]
    if not differences:
        return "-"
    ends = interval(differences)
    shown = with_interval(mean(differences), ends, "{:+.2f}")
    return f"**{shown}**" if ends and max(map(abs, ends)) <= MARGIN else shown


if __name__ == "__main__":
    print(table())
