"""Where two records of one cell differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okdbench.results.columns import csv_cells, shown_in
from okdbench.results.loss_curves import Curve
from okdbench.results.records import Evaluation, Record
from okdbench.results.table import Row, spell

#: what may explain why two results differ, but is not a result
CIRCUMSTANCES = (
    "version",
    "commit",
    "source",
    "method_digest",
    "protocol",
    "key",
    "weights_digest",
    "data_digest",
    "domain_digests",
    "data_note",
    "environment",
    "config",
)
#: columns that depend on other rows, or that differ between any two runs
_OTHERS = {"rank", "behind", "behind_low", "behind_high", "gain", "seconds", "peak_memory_mb"}


def first_difference(then: Record, now: Record) -> str:
    """Where the results diverge, in a few words; empty when they are equal, whatever the circumstances."""
    before, after = _results(then), _results(now)
    different = [name for name in before if before[name] != after[name]]
    if not (then.curves and now.curves) and "curves" in different:
        different.remove("curves")  # records of the first schema have none
    if not different:
        return ""
    if now.error:
        return f"the run fails: {now.error}"
    # Losses first: they diverge before an evaluation shows it.
    where = _in_losses(then.curves, now.curves) if "curves" in different else ""
    where = where or _in_evaluations(then.evaluations, now.evaluations) or f"the record's {', '.join(different)}"
    return _in_teacher(then, now) + where


def circumstances(then: Record, now: Record) -> dict[str, tuple[str, str]]:
    """The circumstances that differ between two runs: name -> (its value then, its value now)."""
    before, after = ({name: getattr(record, name) for name in CIRCUMSTANCES} for record in (then, now))
    flat = [_flat(before), _flat(after)]
    # The time at which a run ended differs between any two runs, so it explains nothing.
    names = sorted((flat[0].keys() | flat[1].keys()) - {"environment.finished"})
    pairs = {name.removeprefix("environment."): (flat[0].get(name, "-"), flat[1].get(name, "-")) for name in names}
    return {name: (one, other) for name, (one, other) in pairs.items() if one != other}


def row_differences(columns: Mapping[str, str], now: Row) -> dict[str, tuple[str, str]]:
    """The numbers of a leaderboard's line that ``now`` does not repeat.

    Args:
        columns: column -> text in the CSV file.
        now: a row of :func:`okdbench.leaderboard`, column -> value.

    Returns:
        column -> (text in the file, text now).
    """
    again = csv_cells(now)
    names = [column.name for column in shown_in("csv") if column.dtype == "float64" and column.name not in _OTHERS]
    return {name: (columns[name], again[name]) for name in names if columns[name] != again[name]}


def _results(record: Record) -> dict[str, Any]:
    """What two runs of one cell should have in common."""
    left_out = {*CIRCUMSTANCES, "variant", "default_settings"}
    results = {name: value for name, value in record.comparable().items() if name not in left_out}
    if record.teacher_score:
        del results["teacher_score"]["key"]  # a hash of circumstances
    return results


def _in_teacher(then: Record, now: Record) -> str:
    """How the teacher differs, which may explain every later difference; empty when it does not."""
    old, new = then.teacher_score, now.teacher_score
    if old is None or new is None:
        return ""
    if old.model_copy(update={"key": new.key}) == new:
        return ""
    other = f"{old.test_acc:.2f} -> {new.test_acc:.2f} % on the test images"
    if old.own_acc is None or new.own_acc is None:
        return f"the teacher ({other}), then "
    return f"the teacher ({old.own_acc:.2f} -> {new.own_acc:.2f} % on its own domains, {other}), then "


def _in_losses(then: Mapping[str, Curve], now: Mapping[str, Curve]) -> str:
    """The first of the kept steps up to which the losses are not equal bit for bit."""
    for stage, old in then.items():
        new = now.get(stage)
        if new is None:
            return f"stage {stage!r}, which is missing now"
        hashes, equal = dict(zip(new.steps, new.hashes, strict=True)), None
        for place, (step, digest) in enumerate(zip(old.steps, old.hashes, strict=True)):
            # A hash covers all losses so far, so the runs diverge after the kept step before this one.
            if hashes.get(step) != digest:
                since = f" (equal up to step {equal})" if equal is not None else ""
                return f"stage {stage!r}, step {step}{since}: {_losses(old, place, new)}"
            equal = step
    return ""


def _losses(old: Curve, place: int, new: Curve) -> str:
    """The loss terms that differ at the step with index ``place``."""
    if old.steps[place] not in new.steps:
        return "the stage has other steps now"
    there = new.steps.index(old.steps[place])
    values = {t: (old.losses[t][place], new.losses[t][there]) for t in old.losses if t in new.losses}
    parts = [f"{term} {one} -> {other}" for term, (one, other) in values.items() if one != other]
    # The hashes cover every bit, but the values are rounded.
    return ", ".join(parts) or "losses that are equal in five digits"


def _in_evaluations(then: list[Evaluation], now: list[Evaluation]) -> str:
    """The first evaluation with another result."""
    # Not strict, because a run that stopped early has fewer evaluations.
    for old, new in zip(then, now, strict=False):
        before, after = ({"val_acc": one.val_acc, **one.test.model_dump()} for one in (old, new))
        parts = [
            f"{name} {spell(before[name])} -> {spell(after[name])}" for name in before if before[name] != after[name]
        ]
        if parts:
            return f"the evaluation of stage {old.stage!r} after {old.step} steps: {', '.join(parts)}"
    return ""


def _flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys joined by dots -> values as texts."""
    flat: dict[str, str] = {}
    for name, value in content.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else {prefix + name: str(value)}
    return flat
