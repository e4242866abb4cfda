"""What variants of methods change, from the records: the tables of ablations.md and released-code.md.

Each line is a run beside the method's own run with the same seeds: their means, and the paired difference in points.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.core.settings import TaskKind
from okdbench.core.syntax import spell_assignments
from okdbench.results.estimates import interval, mean
from okdbench.results.records import Record
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
#: the methods as they are, and their variants
ARCHIVES = (ROOT / "leaderboards" / "records" / "digits.jsonl.gz", ROOT / "docs" / "variants.jsonl.gz")
HEAD = ("seeds", "accuracy", "difference", "retention")


class Place(NamedTuple):
    """Where a method is compared with its variants."""

    setting: str
    shots: int | None = None
    networks: tuple[str, str] = ("lenet5_bn", "lenet5_half_bn")


#: for each task, where a method is compared that plays it, the first that it plays counts
PLACES = {TaskKind.DATA_FREE: Place("MO"), TaskKind.TRANSFER: Place("MO@P"), TaskKind.ADAPT: Place("MO-P", 2)}
RESIDUAL = Place("M", networks=("test_resnet", "test_byobnet"))

#: what is compared: method, its variant, the row that it is compared with, and what that tells
ABLATIONS: Mapping[str, Sequence[tuple[str, str, str, Place]]] = {
    "augkd": [
        (f"augkd[{variant}]", "augkd", words, Place("MO-P", shots))
        for shots in (2, 10)
        for variant, words in (
            ("use_anchor=false", "no anchors"),
            ("constant_f=1", "no mixup"),
            ("kd_on=mixed_only", "mixed half alone distilled"),
        )
    ],
    "others": [
        ("ltr", "replay", "meta-gradient", PLACES[TaskKind.DATA_FREE]),
        ("mad", "mad[ema=false]", "images of the averaged generator", PLACES[TaskKind.DATA_FREE]),
        ("mosaickd", "mosaickd[local=0]", "discriminator of patches", PLACES[TaskKind.TRANSFER]),
        ("mosaickd", "kd", "generator, instead of the images alone", PLACES[TaskKind.TRANSFER]),
        ("replay[bn=1]", "replay", "batch-norm term", PLACES[TaskKind.DATA_FREE]),
        ("ltr[bn=1]", "ltr", "batch-norm term", PLACES[TaskKind.DATA_FREE]),
        ("zskt", "zskt[attention=0]", "attention transfer", PLACES[TaskKind.DATA_FREE]),
    ],
    "residual": [
        (f"dfkd{variant}", "dfkd[balance=0,bn=0,one_hot=0]", words, RESIDUAL)
        for variant, words in (
            ("[one_hot=0,balance=0]", "batch-norm term"),
            ("[bn=0,one_hot=0]", "balance"),
            ("", "all three terms"),
        )
    ],
}


def ablations(part: str) -> str:
    """The table of one part of :data:`ABLATIONS`."""
    rows = [
        [f"`{row}`", f"`{other}`", words, place.setting, _shots(place), *_cells(row, other, place)]
        for row, other, words, place in ABLATIONS[part]
    ]
    return _table(("row", "beside", "what it adds or leaves out", "setting", "labels per class", *HEAD), rows)


def released() -> str:
    """The effect of every switch that restores a fault of released code, a table for each method."""
    parts = []
    for method in plugins.method_names():
        rows = [_switch(method, name, extra) for name, extra in _switches(method).items()]
        if rows:
            head = ("switch", "what released code does", *HEAD)
            parts.append(f"### `{method}`, {_place(method).setting}\n\n{_table(head, rows)}")
    return "\n\n".join(parts)


def _switch(method: str, name: str, extra: Mapping[str, object]) -> list[str]:
    beside = dict(extra["when"])  # type: ignore[call-overload]
    usual, changed = (f"{method}[{spell_assignments(given)}]" for given in (beside, {**beside, name: True}))
    words = f"`{name}`" + (f" (beside `{spell_assignments(beside)}`)" if beside else "")
    return [words, str(extra["theirs"]), *_cells(changed, usual.removesuffix("[]"), _place(method))]


def _switches(method: str) -> dict[str, dict[str, object]]:
    fields = registry.load_method(method).Hyperparameters.model_fields
    found = {name: field.json_schema_extra for name, field in fields.items() if name.startswith("legacy_")}
    return {name: dict(extra) for name, extra in found.items() if isinstance(extra, dict)}


def _place(method: str) -> Place:
    tasks = registry.load_method(method).card.tasks
    return next(place for task, place in PLACES.items() if task in tasks)


def _shots(place: Place) -> str:
    return "" if place.shots is None else str(place.shots)


def _cells(row: str, other: str, place: Place) -> list[str]:
    """Number of seeds, both means, the difference, and that of the retention in task adapt; "not run" without runs."""
    new, old = _runs()[place].get(row, {}), _runs()[place].get(other, {})
    seeds = sorted(new.keys() & old.keys())
    if not seeds:
        return ["0", "not run", "", ""]
    means = " -> ".join(f"{mean([_accuracy(runs[seed]) for seed in seeds]):.1f}" for runs in (old, new))
    kept = _difference(new, old, seeds, _retention) if "-" in place.setting else ""
    return [str(len(seeds)), means, _difference(new, old, seeds, _accuracy), kept]


def _difference(
    new: Mapping[int, Record], old: Mapping[int, Record], seeds: Sequence[int], measure: Callable[[Record], float]
) -> str:
    values = [measure(new[seed]) - measure(old[seed]) for seed in seeds]
    ends = interval(values)
    shown = f"{mean(values):+.1f}" + (f" ({ends[0]:+.1f} to {ends[1]:+.1f})" if ends else "")
    return f"**{shown}**" if ends and ends[0] * ends[1] > 0 else shown


def _accuracy(record: Record) -> float:
    assert record.selected
    return record.selected.evaluation.test.acc


def _retention(record: Record) -> float:
    assert record.selected
    return record.selected.retention or 0.0


@cache
def _runs() -> dict[Place, dict[str, dict[int, Record]]]:
    """Place -> method with its variant -> seed -> run."""
    found: dict[Place, dict[str, dict[int, Record]]] = {}
    for record in chain.from_iterable(read_records(path) for path in ARCHIVES if path.exists()):
        if record.status == "done" and record.protocol == PROTOCOL_VERSION:
            place = Place(record.setting, record.shots, (record.teacher, record.student))
            row = record.method + (f"[{record.variant}]" if record.variant else "")
            found.setdefault(place, {}).setdefault(row, {})[record.seed] = record
    return found


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows])
