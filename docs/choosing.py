"""The tables of docs/choosing.md, from the committed runs and from the methods: ``python docs/choosing.py``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache

import torch
from tables import markdown, signed, with_interval

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import TaskKind
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.choosing import Estimate, Line, Place, committed_runs, measured, rules
from okdbench.results.label_gains import number
from okdbench.training.plan import make_plan
from okdbench.training.trial import check

#: the setting of the digits that stands for each task, where methods are asked for what they need
EXAMPLES = {TaskKind.ADAPT: "MP-O", TaskKind.TRANSFER: "MP@O", TaskKind.DATA_FREE: "MP"}
#: pairs that lack what some methods read: batch norm, and feature maps as well
LACKING = {
    "teacher without batch norm": {"teacher": "lenet5", "student": "lenet5_half"},
    "vision transformers": {"teacher": "test_vit", "student": "test_vit"},
}


@cache
def _lines() -> list[Line]:
    return measured(committed_runs())


def labels() -> str:
    """What methods add to labels: a row for each place and method."""
    rows = []
    for line in (line for line in _lines() if line.gain):
        place = line.place
        what = [place.shots, place.track, _where(place), f"{place.alone:.1f}", _signed(place.ahead)]
        rows.append([*what, f"`{line.method}`", _signed(line.gain), *_costs(line)])
    heads = [
        "labels per class",
        "track",
        "measured on",
        "labels alone %",
        "teacher minus labels alone",
        "method",
        "gain",
    ]
    return markdown([*heads, *COSTS], rows)


def without_labels() -> str:
    """The accuracy of students that no label was used for."""
    rows = [
        [line.place.task, _where(line.place), f"{line.place.teacher_acc:.1f}", f"`{line.method}`",
         with_interval(line.accuracy.value, _ends(line.accuracy), "{:.1f}"), *_costs(line)]
        for line in _lines() if line.place.track == Track.LABEL_FREE
    ]  # fmt: skip
    return markdown(["task", "measured on", "teacher %", "method", "accuracy", *COSTS], rows)


def rule() -> str:
    """How often methods gain where the teacher is ahead of the labels alone, and where it is behind."""
    heads = ["teacher's accuracy against labels alone", "places", "methods that gain", "not told apart", "that lose"]
    counts = [(each.ahead, each.places, each.gains, each.ties, each.losses) for each in rules(_lines())]
    return markdown(heads, [["above" if ahead else "below", *map(str, found)] for ahead, *found in counts])


def coverage() -> str:
    """What was measured for each task, track and kind of teacher, and what was not."""
    rows = []
    for task in TaskKind:
        for track in tracks_of(task):
            for with_bn in (True, False):
                lines = [line for line in _lines() if (line.place.task, line.place.track) == (task, track)]
                lines = [line for line in lines if _has_batch_norm(line.place.teacher) == with_bn]
                rows.append([task, track, "yes" if with_bn else "no", _summary(lines)])
    return markdown(["task", "track", "teacher has batch norm", "measured"], rows)


def methods() -> str:
    """Which methods run in which tasks and tracks, and with networks that lack what some methods read."""
    rows = []
    for name in plugins.method_names():
        card = registry.load_method(name).card
        if card.role != "privileged":
            first, second = (_answer(name, networks) for networks in LACKING.values())
            answers = [first, "no: the same" if first == second != "yes" else second]
            rows.append([f"`{name}`", ", ".join(card.tasks), ", ".join(card.tracks), *answers])
    return markdown(["method", "tasks", "tracks", *LACKING], rows)


def _answer(name: str, networks: Mapping[str, str]) -> str:
    """Yes, or what the method answers."""
    task = registry.load_method(name).card.tasks[0]
    plan = make_plan({"method": name, "dataset": "digits", "setting": EXAMPLES[task], "device": "cpu", **networks})
    try:
        check(plan)
    except UserError as error:
        return f"no: {error}"
    return "yes"


def _summary(lines: Sequence[Line]) -> str:
    if not lines:
        return "nothing"
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((line.place.dataset, line.place.setting), []).append(line)
    return "; ".join(f"{' '.join(place)}: {_counted(each)}" for place, each in found.items())


def _counted(lines: Sequence[Line]) -> str:
    """The methods, those together that have the same numbers of labels."""
    shots: dict[str, set[str]] = {}
    for line in lines:
        shots.setdefault(line.method, set()).add(line.place.shots)
    texts = []
    for counts in dict.fromkeys(frozenset(shots[name]) for name in sorted(shots)):
        names = ", ".join(f"`{name}`" for name in sorted(shots) if shots[name] == counts)
        labels = f", {', '.join(sorted(counts, key=number))} labels per class"
        texts.append(names + ("" if lines[0].place.track == Track.LABEL_FREE else labels))
    return f"{' and '.join(texts)}, {min(line.seeds for line in lines)} seeds"


@cache
def _has_batch_norm(teacher: str) -> bool:
    # conditions that are not the default follow the name in brackets
    net = build_classifier(teacher.partition("[")[0], 10, 32, channels=1)
    return any(isinstance(module, torch.nn.BatchNorm2d) for module in net.modules())


COSTS = ("student images", "teacher queries", "time")


def _costs(line: Line) -> list[str]:
    time = "" if line.time is None else f"{line.time:.1f} x"
    return [f"{line.student_images:,.0f}", f"{line.teacher_queries:,.0f}", time]


def _where(place: Place) -> str:
    return f"{place.dataset} {place.setting}, {place.budget}, {place.teacher} -> {place.student}"


def _signed(estimate: Estimate | None) -> str:
    return signed(estimate.value, _ends(estimate)) if estimate else ""


def _ends(estimate: Estimate) -> tuple[float, float] | None:
    return None if math.isnan(estimate.low) else (estimate.low, estimate.high)


if __name__ == "__main__":
    print("\n\n".join(make() for make in (labels, without_labels, rule, coverage, methods)))
