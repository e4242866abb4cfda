"""What the page shows of one run: texts and numbers that the script only has to lay out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from okdbench.results.grouping import label
from okdbench.results.loss_curves import Curve
from okdbench.results.records import Evaluation, Outcome, Record
from okdbench.results.report.formatting import MISSING, finite, number, spell

Part = dict[str, Any]

#: heading -> how to read the part
NOTES = {
    "Outcome": (
        "Selected is the moment that the rules choose, and the one that is ranked. Last is the end of training. Best "
        "on test is what a choice by the test pictures would have given: it is reported, never used. All in percent; "
        "calibration is an error, agreement is with the teacher, retention is on the teacher's domains."
    ),
    "After each stage": "The student at the end of each stage, in percent.",
    "Accuracy while learning": "Percent of the student domain's pictures named right, against pictures learned from.",
    "Losses": "Each term on its own scale, thinned to some steps. Less is not always better: some terms are games.",
    "Cost": "Pictures that went through each network. Learned counts those that changed its weights.",
    "Repeat this run": "This command makes the run again; where it is finished already, it only shows the result.",
}
_SCORES = ("Accuracy", "Top 3", "Top 5", "Macro F1", "Calibration", "Agreement", "Retention")


def view(record: Record) -> dict[str, Any]:
    """The run as JSON: head, key figures and parts, each ``facts``, ``table``, ``code`` or ``charts``."""
    parts = [*_failure(record), _code("Repeat this run", record.command), *_outcomes(record), *_charts(record)]
    parts += [*_cost(record), *_configuration(record), *_origin(record)]
    return {
        "title": label(record),
        "status": record.status,
        "lead": f"{record.dataset}, {record.setting}, seed {record.seed}, {record.track}, budget {record.budget}, "
        f"{record.teacher} → {record.student}",
        "figures": _figures(record),
        "parts": parts,
    }


def _facts(heading: str, facts: Mapping[str, str]) -> Part:
    return {"kind": "facts", "heading": heading, "facts": list(facts.items())}


def _table(heading: str, head: Iterable[str], rows: Iterable[Iterable[str]]) -> Part:
    return {"kind": "table", "heading": heading, "head": list(head), "rows": [list(row) for row in rows]}


def _code(heading: str, text: str) -> Part:
    return {"kind": "code", "heading": heading, "text": text}


def _failure(record: Record) -> list[Part]:
    texts = {"Error": record.error, "Traceback": record.traceback}
    return [_code(heading, text) for heading, text in texts.items() if text]


def _figures(record: Record) -> list[tuple[str, str]]:
    """The few numbers at the top."""
    teacher, selected = record.teacher_score, record.selected
    return [
        ("Accuracy, %", number(selected.evaluation.test.acc if selected else None)),
        ("Teacher on the same pictures, %", number(teacher.student_domain_acc if teacher else None)),
        ("Retention, %", number(selected.teacher_domain_acc if selected else None)),
        ("Selection gap", number(record.selection_gap)),
        ("Seconds", number(record.cost.seconds or None, 1)),
    ]


def _outcomes(record: Record) -> list[Part]:
    head = ("Moment", "Stage", "Step", "Pictures", "Validation", *_SCORES)
    rows = [[name, *_outcome(outcome)] for name, outcome in _chosen(record).items() if outcome]
    parts = [_table("Outcome", head, rows)] if rows else []
    if record.stages:
        seconds = record.cost.stage_seconds
        ends = [
            [stage, *_outcome(outcome)[1:], number(seconds.get(stage), 1)] for stage, outcome in record.stages.items()
        ]
        parts.append(_table("After each stage", ("Stage", *head[2:], "Seconds"), ends))
    return parts


def _chosen(record: Record) -> dict[str, Outcome | Evaluation | None]:
    return {"Selected": record.selected, "Last": record.last, "Best on test": record.oracle}


def _outcome(outcome: Outcome | Evaluation) -> list[str]:
    """Stage, step, pictures, then the numbers of the scores."""
    moment = outcome.evaluation if isinstance(outcome, Outcome) else outcome
    retention = outcome.teacher_domain_acc if isinstance(outcome, Outcome) else None
    scores = [*moment.test.model_dump().values(), retention]
    counts = [number(moment.step, 0), number(moment.images, 0)]
    return [moment.stage, *counts, number(moment.val_acc), *(number(score) for score in scores)]


def _charts(record: Record) -> list[Part]:
    parts = []
    if len(record.evaluations) > 1:
        parts.append({"kind": "charts", "heading": "Accuracy while learning", "charts": [_accuracy(record)]})
    losses = [chart for stage, curve in record.curves.items() for chart in _losses(stage, curve)]
    return [*parts, {"kind": "charts", "heading": "Losses", "charts": losses}] if losses else parts


def _accuracy(record: Record) -> Part:
    moments, selected = record.evaluations, record.selected
    mark = [selected.evaluation.images, finite(selected.evaluation.test.acc), "selected"] if selected else None
    return {
        "title": "solid: test, dashed: validation",
        "unit": "pictures",
        "x": [moment.images for moment in moments],
        "lines": [[finite(moment.test.acc) for moment in moments], [finite(moment.val_acc) for moment in moments]],
        "mark": mark if mark and mark[1] is not None else None,
    }


def _losses(stage: str, curve: Curve) -> Iterable[Part]:
    for term, values in curve.losses.items():
        shown = [finite(value) for value in values]
        yield {"group": stage, "title": term, "unit": "step", "x": curve.steps, "lines": [shown], "mark": None}


def _cost(record: Record) -> list[Part]:
    cost = record.cost
    if not cost.traffic:
        return []
    rows = [
        (name, number(one.forward, 0), number(one.backward, 0), number(one.learned, 0))
        for name, one in cost.traffic.items()
    ]
    return [_table("Cost", ("Network", "Forward", "Backward", "Learned"), rows)]


def _configuration(record: Record) -> list[Part]:
    config = dict(record.config)
    hyperparameters = config.pop("hyperparameters", None)
    parts = [_facts("Configuration", {name: spell(value) for name, value in config.items()})]
    if isinstance(hyperparameters, dict) and hyperparameters:
        parts.append(_facts("Hyper-parameters", {name: spell(value) for name, value in hyperparameters.items()}))
    return parts


def _origin(record: Record) -> list[Part]:
    teacher = record.teacher_score
    facts = {
        "Version": record.version,
        "Commit": record.commit or MISSING,
        "Protocol": str(record.protocol),
        "Key": record.key,
        "Digest of the pictures": record.data_digest,
        "Pictures": record.data_note or "as the official ones",
        "Peak memory, MB": number(record.cost.peak_memory_mb or None, 0),
        "Key of the teacher": teacher.key if teacher else MISSING,
        "Teacher on its own domains, %": number(teacher.own_acc if teacher else None),
        **{f"Weights, {moment}": digest for moment, digest in record.fingerprints.items()},
    }
    return [_facts("Origin", facts), _facts("Environment", record.environment)]
