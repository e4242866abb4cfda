"""How the versions of the protocol matter to generators, from the records: ``python docs/versions.py``.

At the budget quick, version 3 had 31 generator steps and residual networks. Version 4 has 200 and LeNet-5, whose
teachers were trained with Adam; version 5 trains them with SGD and a larger weight decay.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import processors
from tables import markdown, with_interval

from okdbench.core.settings import TaskKind
from okdbench.results.estimates import interval, mean
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent


class Version(NamedTuple):
    """The runs of a version, and the digits' default teacher; runs with another are of another comparison group."""

    archive: Path
    teacher: str


VERSIONS = {
    3: Version(ROOT / "docs" / "protocol-3.jsonl.gz", "resnet18"),
    4: Version(ROOT / "docs" / "protocol-4.jsonl.gz", "lenet5_bn"),
    5: Version(processors.GRID, "lenet5_bn"),
}


def table() -> str:
    """Accuracy on the teacher's domain without any image: mean, interval and worst seed of each version."""
    found = {number: _accuracies(number) for number in VERSIONS}
    methods = sorted(set(found[4]) & set(found[5]), key=lambda method: -mean(found[5][method]))
    heads = ["method", *(head for number in VERSIONS for head in (f"version {number}", "worst"))]
    rows = [[f"`{name}`", *(cell for runs in found.values() for cell in _cells(runs.get(name)))] for name in methods]
    return markdown(heads, rows)


def _accuracies(number: int) -> dict[str, list[float]]:
    """Method -> accuracy of each seed in setting M, of the runs with default values."""
    version, found = VERSIONS[number], dict[str, list[float]]()
    for record in read_records(version.archive):
        kind = (record.protocol, record.task, record.setting, record.variant, record.teacher)
        if kind == (number, TaskKind.DATA_FREE, "M", "", version.teacher) and record.selected:
            found.setdefault(record.method, []).append(record.selected.evaluation.test.acc)
    return found


def _cells(values: list[float] | None) -> tuple[str, str]:
    if not values:
        return "not run", ""
    return with_interval(mean(values), interval(values), "{:.1f}"), f"{min(values):.1f}"


if __name__ == "__main__":
    print(table())
