"""What ``okdbench recommend`` found, in lines and a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from okdbench.core.terminal import TableColumn, print_line, print_table
from okdbench.core.units import spell_seconds

if TYPE_CHECKING:
    from okdbench.results.choosing import Estimate, Place
    from okdbench.sweep.recommendation import Choice, Recommendation

#: commands that are printed, so that all fits on a screen; the others differ in the method alone
MOST_COMMANDS = 3


def print_recommendation(found: Recommendation) -> None:
    """Print the case, what is known of it, the methods in the order in which to try them, and commands."""
    for text in (_case(found), _teacher(found), _rule(found), _nearest(found)):
        print_line(text)
    rows = [_row(place, one) for place, one in enumerate(found.choices, 1)]
    heading = "gain there" if any(line.gain for one in found.choices for line in one.lines) else "accuracy there"
    columns = [TableColumn("try", align="right"), TableColumn("method"), TableColumn("expected", heading),
               TableColumn("time", "time here", align="right")]  # fmt: skip
    print_table(columns, rows)
    by_reason: dict[str, list[str]] = {}
    for name, why in found.refused.items():
        by_reason.setdefault(why, []).append(name)
    for why, names in by_reason.items():
        print_line(f"cannot run: {', '.join(names)}: {why}")
    for one in found.choices[:MOST_COMMANDS]:
        print_line(one.command)


def _case(found: Recommendation) -> str:
    labels = f"{found.labels} labels per class" if found.labels else "no labels"
    possible = [f"{task} ({', '.join(settings)})" for task, settings in found.possible.items() if settings]
    missing = [task for task, settings in found.possible.items() if not settings]
    lacking = f"; not {' or '.join(missing)}, for which a domain is missing" if missing else ""
    return (
        f"{found.dataset} {found.setting}: task {found.task}, {found.track} track, {labels}. Possible with this data "
        f"set: {', '.join(possible)}{lacking}"
    )


def _teacher(found: Recommendation) -> str:
    teacher = found.teacher
    text = f"teacher {teacher.network}{'' if teacher.batch_norm else ', without batch norm'}: "
    if teacher.acc is not None:
        return f"{text}{teacher.acc:.1f} % of your {teacher.images} validation images (chance: {found.chance:.1f} %)"
    if teacher.seconds:
        return f"{text}the first run trains it, in about {spell_seconds(teacher.seconds)}; then ask again"
    return f"{text}its accuracy is not measured, because the task {found.task} has no validation images"


def _rule(found: Recommendation) -> str:
    acc, alone = found.teacher.acc, found.alone
    if found.is_guessing:
        return "near chance a teacher has nothing to teach: look at its normalisation, size and order of classes first"
    if not found.labels:
        return "no labels are used, so nothing can be compared with fine-tuning"
    if acc is None:
        return "distillation pays where the teacher is more accurate on your images than what the labels alone reach"
    if alone is None:
        return (
            f"distillation pays if the labels alone reach less than {acc:.1f} %: run the first command, then ask again"
        )
    if acc > alone:
        return f"distillation should pay: the labels alone reach {alone:.1f} % of the validation images"
    return f"stay with the labels alone: they reach {alone:.1f} % of the validation images, more than the teacher"


def _nearest(found: Recommendation) -> str:
    if not found.nearest:
        return f"nothing was measured for task {found.task}, {found.track} track: the order is that of the time"
    places = "; ".join(map(_place, found.nearest))
    return f"nearest of what was measured: {places}"


def _place(place: Place) -> str:
    labels = "" if place.ahead is None else f", labels per class: {place.shots}"
    lead = "" if place.ahead is None else f", teacher ahead of the labels alone by {place.ahead.value:+.1f} points"
    return f"{place.dataset} {place.setting}, {place.teacher} -> {place.student}{labels}{lead}"


def _row(place: int, one: Choice) -> dict[str, Any]:
    expected = "; ".join(_interval(line.gain or line.accuracy, bool(line.gain)) for line in one.lines)
    usual = "the labels alone" if one.role == "baseline" else "not measured"
    time = "?" if one.seconds is None else spell_seconds(one.seconds)
    return {"try": place, "method": one.method, "expected": expected or usual, "time": time}


def _interval(estimate: Estimate, is_gain: bool) -> str:
    form = "{:+.1f}" if is_gain else "{:.1f}"
    value, low, high = (form.format(number) for number in (estimate.value, estimate.low, estimate.high))
    return f"{value} ({low} to {high})"
