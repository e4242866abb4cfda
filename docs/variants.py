"""What parts of methods change, from the records: ``python docs/variants.py``.

Each line is a row beside another one with the same seeds: both means, and the paired difference in points with its 95 %
interval, bold where that is not around 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import chain, product
from pathlib import Path
from typing import NamedTuple

import processors
from tables import markdown, signed, with_interval

from okdbench.core.protocol import PROTOCOL_VERSION, tracks_of
from okdbench.core.settings import TaskKind
from okdbench.results.estimates import interval, mean
from okdbench.results.records import Record
from okdbench.results.store import read_records

ROOT = Path(__file__).resolve().parent.parent
#: the methods as they are, on two processors, and their variants
ARCHIVES = (processors.GRID, processors.OTHER, ROOT / "docs" / "variants.jsonl.gz")


class Place(NamedTuple):
    """Where rows are compared."""

    setting: str
    shots: int | None = None
    networks: tuple[str, str] = ("lenet5_bn", "lenet5_half_bn")
    dataset: str = "digits"


class Pair(NamedTuple):
    """A row, the row that it is compared with, what that tells, and the other row's place where that is another."""

    row: str
    other: str
    tells: str
    place: Place
    beside: Place | None = None


AUGKD = [
    *(
        Pair(f"augkd[{variant}]", "augkd", tells, Place("MO-P", shots))
        for shots in (2, 10)
        for variant, tells in (
            ("use_anchor=false", "no anchors"),
            ("constant_f=1.0", "no mixtures"),
            ("kd_on=mixed_only", "distillation on mixtures alone"),
        )
    ),
    Pair("augkd[uncertainty=max_softmax]", "augkd", "an uncertainty with a bound", Place("MO-P", 2)),
    Pair(
        "augkd[anchor_steps=2000,lr_encoder=0.001,uncertainty=max_softmax]",
        "augkd[lr_encoder=0.001,use_anchor=false]",
        "anchors that were trained longer, beside none",
        Place("MO-P", 2),
    ),
]

#: why distillation costs accuracy where the labels know more than the teacher
WHY = [
    Pair(row, other, tells, Place("MO-P", 10))
    for row, other, tells in (
        ("augkd[hard_weight=0.9]", "augkd", "labels weigh 0.9, not 0.5"),
        ("augkd[hard_weight=0.9]", "finetune", "with this weight, against the labels alone"),
        ("kd[hard_weight=0.9]", "kd", "labels weigh 0.9, not 0.5"),
        ("kd[hard_weight=0.9]", "finetune", "with this weight, against the labels alone"),
        ("augkd[sample_latents=true]", "augkd", "latents of real images are drawn, not the mean"),
    )
]
#: the networks on which adversarial methods fall, and what repairs them
RESIDUAL = Place("M", networks=("test_resnet", "test_byobnet"))
COLLAPSE = [
    Pair(row, other, tells, RESIDUAL)
    for row, other, tells in (
        ("dfad[adaptive=true]", "dfad", "the generator maximises log(1 + D)"),
        ("dfkd[bn=0.0]", "dfkd", "no batch-norm statistics"),
        ("dfkd[balance=0.0]", "dfkd", "no class balance"),
        ("dfkd[balance=0.0,bn=0.0,one_hot=0.0]", "dfkd", "the adversarial game alone"),
        ("dfkd[balance=0.0,data_free_steps=800]", "dfkd[balance=0.0]", "four times the images"),
    )
]
#: the default augmentation of photographs
PHOTOGRAPH = Place("AD-W", networks=("test_resnet", "test_byobnet"), dataset="shift_flip")
#: teachers that were trained on shifted images, beside those that were not
SHIFTS = [
    Pair(row, row, tells, Place(setting, dataset="shifted"), Place(setting))
    for row, setting, tells in (
        ("teacher", "MO-P", "on another domain"),
        ("teacher", "MP-O", "on another domain"),
        ("teacher", "OP-M", "on another domain"),
        ("teacher", "M", "on its own"),
        ("dfad", "M", "as the source of a generator"),
        ("zskt", "M", "as the source of a generator"),
    )
]
#: augmentations of photographs, for teacher and student, beside their default
PHOTOGRAPHS = [
    Pair(row, row, f"{tells}, not shift and flip", PHOTOGRAPH._replace(dataset=name), PHOTOGRAPH)
    for row in ("teacher", "finetune", "kd")
    for name, tells in (("none", "nothing"), ("flip", "flip"), ("flip_crop", "flip and crop"))
]
OTHERS = [
    Pair("ltr", "replay", "the meta-gradient", Place("M")),
    Pair("ltr[bn=1.0]", "ltr", "the teacher's batch-norm statistics", Place("M")),
    Pair("replay[bn=1.0]", "replay", "the teacher's batch-norm statistics", Place("M")),
    Pair("ltr[lr_generator=0.001]", "ltr", "a twentieth of the generator's rate", Place("M")),
    Pair("replay[lr_generator=0.001]", "replay", "the same", Place("M")),
    Pair("dafl[lr_generator=0.001]", "dafl", "the same", Place("M")),
    Pair("dafl[norm_epsilon=0.8]", "dafl", "the release's epsilon of the generator's batch norms", Place("M")),
    Pair("dafl[inner_steps=2]", "dafl", "half as many steps of the generator", Place("M")),
    Pair("mad", "mad[ema=false]", "images of the slow copy of the generator", Place("M")),
    Pair("mosaickd", "mosaickd[local=0.0]", "the discriminator of patches", Place("MO@P")),
]


def table(pairs: Sequence[Pair]) -> str:
    """A line for each pair."""
    heads = ["row", "beside", "what it tells", "setting", "labels per class", "seeds", "accuracy", "difference"]
    return markdown([*heads, "retention"], list(map(_line, pairs)))


def scores(place: Place) -> str:
    """Every row with the teachers of the row ``teacher``, best mean first: accuracy with interval, worst seed, F1."""
    teachers = {_teacher(run) for run in chain(*runs()[place]["teacher"].values())}
    found = {
        row: [r.selected.evaluation.test for r in chain(*seeds.values()) if r.selected and _teacher(r) in teachers]
        for row, seeds in runs()[place].items()
    }
    scored = {row: tests for row, tests in found.items() if tests}
    lines = []
    for row, tests in sorted(scored.items(), key=lambda each: -mean([test.acc for test in each[1]])):
        values = [test.acc for test in tests]
        macro_f1 = mean([test.macro_f1 for test in tests])
        spread = with_interval(mean(values), interval(values), "{:.1f}")
        lines.append([f"`{row}`", str(len(values)), spread, f"{min(values):.1f}", f"{macro_f1:.1f}"])
    return markdown(["row", "seeds", "accuracy", "worst", "macro F1"], lines)


def effect(row: str, other: str, place: Place, beside: Place | None = None) -> list[str]:
    """Seeds of both, their means, and the differences of accuracy and retention; empty without runs of both."""
    found, others = (runs().get(at, {}).get(name, {}) for at, name in ((place, row), (beside or place, other)))
    pairs = [_same_teacher(others[seed], found[seed]) for seed in sorted(found.keys() & others.keys())]
    if not pairs:
        return []
    means = " -> ".join(f"{mean([_accuracy(run) for run in runs]):.1f}" for runs in zip(*pairs, strict=True))
    accuracies = [_accuracy(new) - _accuracy(old) for old, new in pairs]
    kept = [(_retention(old), _retention(new)) for old, new in pairs]
    retentions = [after - before for before, after in kept if before is not None and after is not None]
    return [str(len(pairs)), means, _shown(accuracies), _shown(retentions)]


def _same_teacher(old: Sequence[Record], new: Sequence[Record]) -> tuple[Record, Record]:
    """A run of each; of those on two processors, which train other teachers, two with the same one if there are."""
    return max(product(old, new), key=lambda pair: _teacher(pair[0]) == _teacher(pair[1]))


def _teacher(record: Record) -> str:
    return record.teacher_score.fingerprint if record.teacher_score else ""


def _line(pair: Pair) -> list[str]:
    cells = effect(pair.row, pair.other, pair.place, pair.beside)
    assert cells, f"no runs of {pair}"
    head = [f"`{pair.row}`", f"`{pair.other}`", pair.tells, pair.place.setting, str(pair.place.shots or "")]
    return [*head, *cells]


def _shown(values: Sequence[float]) -> str:
    return signed(mean(values), interval(values)) if values else ""


def _accuracy(record: Record) -> float:
    assert record.selected
    return record.selected.evaluation.test.acc


def _retention(record: Record) -> float | None:
    return record.selected and record.selected.retention


@cache
def runs() -> dict[Place, dict[str, dict[int, list[Record]]]]:
    """Place -> method with its variant -> seed -> its runs, of which there may be one on each processor."""
    found: dict[Place, dict[str, dict[int, list[Record]]]] = {}
    for record in chain.from_iterable(map(read_records, ARCHIVES)):
        usual = record.protocol == PROTOCOL_VERSION and record.track == tracks_of(TaskKind(record.task))[0]
        if record.status == "done" and usual:
            place = Place(record.setting, record.shots, (record.teacher, record.student), record.dataset)
            row = record.method + (f"[{record.variant}]" if record.variant else "")
            found.setdefault(place, {}).setdefault(row, {}).setdefault(record.seed, []).append(record)
    return found


if __name__ == "__main__":
    for pairs in (AUGKD, WHY, OTHERS, COLLAPSE, SHIFTS, PHOTOGRAPHS):
        print(table(pairs))
