"""What the training of the teacher changes for a generator, from the records: ``python docs/teachers.py``.

Protocol 4 trained the teachers of the digits with Adam, and protocol 5 trains them with SGD and a larger weight decay.
"""

from __future__ import annotations

from pathlib import Path

from tables import markdown, with_interval

from okdbench.core.settings import TaskKind
from okdbench.results.estimates import interval, mean
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
#: protocol -> its runs
ARCHIVES = {
    4: ROOT / "docs" / "protocol-4.jsonl.gz",
    5: ROOT / "leaderboards" / "records" / "digits.jsonl.gz",
}
#: the digits' default one; runs with another are of another comparison group
TEACHER = "lenet5_bn"
HEAD = ["method", "setting", "teachers by Adam", "worst", "teachers by SGD", "worst"]


def table() -> str:
    """Accuracy on the teacher's domains without any image: mean, interval and worst seed of both protocols."""
    found = {protocol: _accuracies(path, protocol) for protocol, path in ARCHIVES.items()}
    places = sorted(set(found[4]) & set(found[5]), key=lambda place: (place[1], -mean(found[5][place])))
    rows = [
        [f"`{place[0]}`", place[1], *(cell for protocol in ARCHIVES for cell in _cells(found[protocol][place]))]
        for place in places
    ]
    return markdown(HEAD, rows)


def _accuracies(path: Path, protocol: int) -> dict[tuple[str, str], list[float]]:
    """(method, setting) -> accuracy of each seed, of the data-free runs with default values."""
    found: dict[tuple[str, str], list[float]] = {}
    for record in read_records(path):
        kind = (record.protocol, record.task, record.variant, record.teacher)
        if kind == (protocol, TaskKind.DATA_FREE, "", TEACHER) and record.selected:
            found.setdefault((record.method, record.setting), []).append(record.selected.evaluation.test.acc)
    return found


def _cells(values: list[float]) -> tuple[str, str]:
    return with_interval(mean(values), interval(values), "{:.1f}"), f"{min(values):.1f}"


if __name__ == "__main__":
    print(table())
