"""What methods add to the labels of the digits, from the records: ``python docs/label_gains.py``.

Each cell is the difference of a row to fine-tuning on the same labels, paired by seed, in points with its 95 %
interval.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import processors
from tables import markdown, signed

from okdbench.core.protocol import PROTOCOL_VERSION, Track
from okdbench.core.settings import TaskKind
from okdbench.results import label_gains
from okdbench.results.estimates import mean
from okdbench.results.frames import finished_runs, load_records
from okdbench.results.grouping import ALL, Cell
from okdbench.results.records import Record
from okdbench.results.significance import compare
from okdbench.results.store import read_records

#: columns of the table over numbers of labels
SHOWN = ("augkd", "kd", "mad", "teacher")


def table() -> str:
    """A row for each setting and number of labels per class, a column for each of ``SHOWN``."""
    found = label_gains.curves(label_gains.label_gains(_runs()))
    methods = sorted({each.method for each in found}.intersection(SHOWN))
    cells = {(each.setting, each.shots, each.method): each for each in found}
    # The gains are sorted.
    places = dict.fromkeys((each.setting, each.shots) for each in found)
    rows = [
        [*place, str(max(cells[key].seeds for key in cells if key[:2] == place))]
        + [_text(cells.get((*place, method))) for method in methods]
        for place in places
    ]
    heads = ["setting", "labels per class", "seeds", *(f"`{method}`" for method in methods)]
    return markdown(heads, rows)


def by_setting(labels: str) -> str:
    """A row for each method with so many labels, best first where all were run, and a column for each setting."""
    found = {(each.method, each.setting): each for each in label_gains.label_gains({labels: _runs()[labels]})}
    methods, settings = (sorted({key[part] for key in found}) for part in (0, 1))
    shared = [place for place in settings if all((method, place) in found for method in methods)]
    methods.sort(key=lambda method: -mean([found[method, place].gain for place in shared]))
    rows = [
        [f"`{method}`", _mean([found.get((method, place)) for place in settings])]
        + [_text(found.get((method, place))) for place in settings]
        for method in methods
    ]
    return markdown(["row", "mean", *settings], rows)


def _mean(gains: Sequence[label_gains.LabelGain | None]) -> str:
    return f"{mean([each.gain for each in gains if each]):+.1f}" if all(gains) else ""


def comparisons() -> str:
    """AuG-KD beside the others over all default settings, by the test of ``okdbench compare``."""
    others, records = ("finetune", "kd"), load_records([processors.GRID])
    rows = []
    for labels in ("1", "2", "5", "10", "20", ALL):
        found = compare(records, "augkd", *others, task=TaskKind.ADAPT, track=Track.LABELLED, shots=labels)
        rows.append([labels, *(_bold(each.difference, each.low, each.high) for each in found.itertuples())])
    return markdown(["labels per class", *(f"AuG-KD minus `{other}`" for other in others)], rows)


def _runs() -> dict[str, dict[str, dict[Cell, Record]]]:
    """Labels per class -> method -> cell -> run, of this protocol's labelled track with the default networks."""
    by_labels: dict[str, list[Record]] = {}
    for record in read_records(processors.GRID):
        if (record.protocol, record.task, record.track) == (PROTOCOL_VERSION, TaskKind.ADAPT, Track.LABELLED):
            by_labels.setdefault(str(record.shots or ALL), []).append(record)
    return {labels: finished_runs(records) for labels, records in by_labels.items()}


def _text(gain: label_gains.LabelGain | None) -> str:
    if gain is None:
        return ""
    return _bold(gain.gain, gain.low, gain.high)


def _bold(value: float, low: float, high: float) -> str:
    return signed(value, None if math.isnan(low) else (low, high))


if __name__ == "__main__":
    print(table(), by_setting("2"), by_setting("10"), comparisons(), sep="\n")
