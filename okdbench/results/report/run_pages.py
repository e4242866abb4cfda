"""The page of one run as JSON: texts and numbers that the script lays out without computing anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from okdbench.results.grouping import label
from okdbench.results.loss_curves import Curve
from okdbench.results.records import Evaluation, Outcome, Record
from okdbench.results.report.formatting import MISSING, finite, number, yaml_text

#: a section of the page: ``kind``, ``heading`` and the content
Part = dict[str, Any]

#: heading -> how to read the section
NOTES = {
    "Outcome": (
        "Selected is the step that the protocol selects by validation accuracy; it is the one that is ranked. Last is "
        "the end of training. Best on test is what a selection by test accuracy would give: it is reported, never "
        "used. All in percent; calibration is the expected calibration error, agreement is with the teacher's "
        "predictions, retention is accuracy on the teacher's domains."
    ),
    "After each stage": "The student at the end of each stage, in percent.",
    "Accuracy during training": "Accuracy on the student's domain in percent, over training images.",
    "Losses": "Each term has its own scale and shows a subset of the steps. Lower is not always better: some terms are "
    "adversarial.",
    "Cost": "Images that each network processed. Learned counts those that updated its weights, updates the "
    "steps of its optimiser.",
    "Repeat this run": "This command repeats the run; if the run is already finished, it only prints the result.",
}
_SCORES = ("Accuracy", "Top 3", "Top 5", "Macro F1", "Calibration", "Agreement", "Retention")


def run_page(record: Record) -> dict[str, Any]:
    """The run as JSON: title, key numbers and sections, each ``facts``, ``table``, ``code`` or ``charts``."""
    # the error first, then how to repeat the run, then from results to details
    parts = [*_failure(record), _code("Repeat this run", record.command), *_outcomes(record), *_charts(record)]
    parts += [*_cost(record), *_configuration(record), *_origin(record)]
    return {
        "title": label(record),
        "status": record.status,
        "lead": _lead(record),
        "numbers": _key_numbers(record),
        "parts": parts,
    }


def _lead(record: Record) -> str:
    shots = "" if record.shots is None else f", {record.shots} labels per class"
    place = f"{record.dataset}, {record.setting} ({record.task}), seed {record.seed}, {record.track}{shots}"
    return f"{place}, budget {record.budget}, {record.teacher} → {record.student}"


def _facts(heading: str, facts: Mapping[str, str]) -> Part:
    return {"kind": "facts", "heading": heading, "facts": list(facts.items())}


def _table(heading: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> Part:
    return {"kind": "table", "heading": heading, "head": list(head), "rows": [list(row) for row in rows]}


def _code(heading: str, text: str) -> Part:
    return {"kind": "code", "heading": heading, "text": text}


def _failure(record: Record) -> list[Part]:
    texts = {"Error": record.error, "Traceback": record.traceback}
    return [_code(heading, text) for heading, text in texts.items() if text]


def _key_numbers(record: Record) -> list[tuple[str, str]]:
    """The most important numbers, shown at the top."""
    teacher, selected = record.teacher_score, record.selected
    return [
        ("Accuracy, %", number(selected.evaluation.test.acc if selected else None)),
        ("Teacher on the same images, %", number(teacher.test_acc if teacher else None)),
        ("Retention, %", number(selected.retention if selected else None)),
        ("Selection gap", number(record.selection_gap)),
        ("Seconds", number(record.cost.seconds or None, 1)),
    ]


def _outcomes(record: Record) -> list[Part]:
    head = ("Evaluation", "Stage", "Step", "Images", "Validation", *_SCORES)
    rows = [[name, *_outcome_cells(outcome)] for name, outcome in _evaluations(record).items() if outcome]
    parts = [_table("Outcome", head, rows)] if rows else []
    if record.stages:
        seconds = record.cost.stage_seconds
        # an evaluation of a stage needs no name, but has a duration
        ends = [
            [stage, *_outcome_cells(outcome)[1:], number(seconds.get(stage), 1)]
            for stage, outcome in record.stages.items()
        ]
        parts.append(_table("After each stage", ("Stage", *head[2:], "Seconds"), ends))
    return parts


def _evaluations(record: Record) -> dict[str, Outcome | Evaluation | None]:
    return {"Selected": record.selected, "Last": record.last, "Best on test": record.oracle}


def _outcome_cells(outcome: Outcome | Evaluation) -> list[str]:
    """Stage, step, images, validation accuracy, then one number per entry of ``_SCORES``."""
    evaluation = outcome.evaluation if isinstance(outcome, Outcome) else outcome
    retention = outcome.retention if isinstance(outcome, Outcome) else None
    scores = [*evaluation.test.model_dump().values(), retention]
    counts = [number(evaluation.step, 0), number(evaluation.images, 0)]
    return [evaluation.stage, *counts, number(evaluation.val_acc), *(number(score) for score in scores)]


def _charts(record: Record) -> list[Part]:
    parts = []
    if len(record.evaluations) > 1:
        parts.append({"kind": "charts", "heading": "Accuracy during training", "charts": [_accuracy(record)]})
    losses = [chart for stage, curve in record.curves.items() for chart in _losses(stage, curve)]
    return [*parts, {"kind": "charts", "heading": "Losses", "charts": losses}] if losses else parts


def _accuracy(record: Record) -> Part:
    evaluations, selected = record.evaluations, record.selected
    # JSON has no NaN, so values that are not finite become null
    mark = [selected.evaluation.images, finite(selected.evaluation.test.acc), "selected"] if selected else None
    validated = any(one.val_acc is not None for one in evaluations)
    return {
        "title": "solid: test, dashed: validation" if validated else "test",
        "unit": "images",
        "x": [one.images for one in evaluations],
        "lines": [[_drawn(one.test.acc) for one in evaluations], [_drawn(one.val_acc) for one in evaluations]],
        "mark": mark if mark and mark[1] is not None else None,
    }


def _losses(stage: str, curve: Curve) -> Iterable[Part]:
    for term, values in curve.losses.items():
        shown = [_drawn(value) for value in values]
        yield {"group": stage, "title": term, "unit": "step", "x": curve.steps, "lines": [shown], "mark": None}


def _drawn(value: float | None) -> float | None:
    """A value with as many digits as a chart can show."""
    return None if finite(value) is None else float(f"{value:.4g}")


def _cost(record: Record) -> list[Part]:
    cost = record.cost
    if not cost.traffic:
        return []
    rows = [
        (name, *(number(count, 0) for count in (one.forward, one.backward, one.learned, one.updates)))
        for name, one in cost.traffic.items()
    ]
    return [_table("Cost", ("Network", "Forward", "Backward", "Learned", "Updates"), rows)]


def _configuration(record: Record) -> list[Part]:
    # A copy, because pop() would change the record.
    config = dict(record.config)
    hyperparameters = config.pop("hyperparameters", None)
    parts = [_facts("Configuration", {name: yaml_text(value) for name, value in config.items()})]
    if isinstance(hyperparameters, dict) and hyperparameters:
        parts.append(_facts("Hyper-parameters", {name: yaml_text(value) for name, value in hyperparameters.items()}))
    return parts


def _origin(record: Record) -> list[Part]:
    teacher = record.teacher_score
    facts = {
        "Version": record.version,
        "Commit": record.commit or MISSING,
        "Protocol": str(record.protocol),
        "Key": record.key,
        "Digest of the images": record.data_digest,
        "Images": record.data_note or "as published",
        "Peak memory, MB": number(record.cost.peak_memory_mb or None, 0),
        "Key of the teacher": teacher.key if teacher else MISSING,
        "Teacher on its own domains, %": number(teacher.own_acc if teacher else None),
        **{f"Weights, {moment}": digest for moment, digest in record.fingerprints.items()},
    }
    return [_facts("Origin", facts), _facts("Environment", record.environment)]
