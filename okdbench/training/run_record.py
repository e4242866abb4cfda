"""What a run writes into its record."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import torch

from okdbench.core import devices, plugins
from okdbench.core.environment import commit, environment
from okdbench.core.protocol import PROTOCOL_VERSION, Track, is_tuning_seed
from okdbench.core.settings import TaskKind
from okdbench.distill.optim import clone_state
from okdbench.results.records import LONGEST_METHOD, Cost, Evaluation, Outcome, Record, TeacherScore, Traffic
from okdbench.training.evaluation import best
from okdbench.training.history import History
from okdbench.training.ood_subset import subset_digest
from okdbench.training.plan import Plan
from okdbench.training.teacher import teacher_key
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint


def identity(plan: Plan, device: torch.device) -> dict[str, Any]:
    """The fields that say which run it was, with which code and on which machine; known before it has trained."""
    config = plan.config
    return {
        "key": plan.key,
        "variant": plan.variant,
        "tuned": config.tuned or "",
        "role": plan.method.card.role,
        "method": plan.method_name,
        "origin": plugins.origin_of(config.method),
        **_local_file(plan),
        "source": plan.source,
        **config.model_dump(include={"setting", "budget", "seed"}),
        "teacher": plan.teacher.name,
        "student": plan.student.name,
        "starts": {role: start.label for role, start in plan.starts.items()},
        "dataset": plan.dataset.name,
        "task": plan.setting.task.value,
        "track": plan.track.value,
        "shots": config.shots,
        "config": resolved(plan),
        "command": plan.command,
        # `import okdbench` would make everything that the package offers a part of what a run depends on
        "version": sys.modules["okdbench"].__version__,
        "commit": commit(),
        "protocol": PROTOCOL_VERSION,
        "weights_digest": plan.weights_digest or "",
        "data_digest": plan.splits.images_digest,
        "domain_digests": _domain_digests(plan),
        "data_note": plan.data_note,
        "test_images": len(plan.splits.test),
        "classes": len(plan.dataset.classes),
        "mean": plan.dataset.mean,
        "std": plan.dataset.std,
        "resize": plan.dataset.resize,
        "interpolation": plan.dataset.interpolation,
        "channel_order": plan.dataset.channel_order,
        "subset_digest": subset_digest(plan),
        "default_settings": plan.dataset.default_settings(plan.setting.task),
        "environment": environment(device) | {"finished": datetime.now(UTC).isoformat(timespec="seconds")},
    }


def _domain_digests(plan: Plan) -> dict[str, str]:
    """The digest of each domain's images; those of a domain without labels are other ones than with them."""
    hidden = plan.setting.input_domain if plan.setting.task is TaskKind.TRANSFER else None
    return {f"@{name}" if name == hidden else name: digest for name, digest in plan.splits.digests.items()}


def _local_file(plan: Plan) -> dict[str, str]:
    """The file of a local method, so that others can run it again."""
    if not (file := plan.method_file):
        return {}
    try:
        text = file.content.decode()
    except UnicodeDecodeError:  # Python reads other encodings as well, but JSON has no bytes
        text = ""
    return {"method_digest": file.digest, "method_text": text if len(text) <= LONGEST_METHOD else ""}


def resolved(plan: Plan) -> dict[str, Any]:
    """The configuration with every hyper-parameter, those at their defaults included."""
    hyperparameters = plan.hyperparameters.model_dump(mode="json")
    return plan.config.model_dump(mode="json") | {"hyperparameters": hyperparameters}


def results(trial: Trial, history: History, device: torch.device) -> dict[str, Any]:
    """The fields that training has filled: evaluations, what was selected, fingerprints and cost.

    Afterwards the evaluated network has the selected weights.
    """
    last_stage = list(history.stage_ends)[-1]
    last = Outcome(evaluation=history.evaluations[-1], retention=history.retention[last_stage])
    fingerprints = {"last": fingerprint(clone_state(trial.answer)), "selected": fingerprint(history.selected_state)}
    # before the evaluations below, which are no cost of the method
    cost = Cost(
        traffic={role: Traffic(**counts) for role, counts in trial.meter.traffic().items()},
        seconds=sum(history.stage_seconds.values()),
        stage_seconds=history.stage_seconds,
        peak_memory_mb=devices.peak_memory_mb(device),
    )
    # retention() below measures the selected weights, no longer the last ones
    trial.answer.load_state_dict(history.selected_state)
    return {
        "teacher_score": _teacher_score(trial),
        "evaluations": history.evaluations,
        "stages": {
            stage: Outcome(evaluation=history.evaluations[index], retention=history.retention[stage])
            for stage, index in history.stage_ends.items()
        },
        "selected": Outcome(evaluation=history.evaluations[history.selected], retention=trial.evaluator.retention()),
        "tuning_score": _tuning_score(trial, history.evaluations[history.selected]),
        "last": last,
        "oracle": best(history.evaluations),
        "fingerprints": fingerprints,
        "cost": cost,
    }


def final_numbers(record: Record) -> dict[str, float]:
    """What a finished run is shown with in a tracker: the selected student's metrics in percent, and its seconds."""
    assert record.selected is not None
    chosen = record.selected
    numbers = {**chosen.evaluation.test.model_dump(), "retention": chosen.retention, "seconds": record.cost.seconds}
    return {f"final/{name}": value for name, value in numbers.items() if value is not None}


def _tuning_score(trial: Trial, selected: Evaluation) -> float | None:
    """What a tuning compares; it looks at no test image, and without labels only at images that the method sees."""
    plan = trial.plan
    if not is_tuning_seed(plan.config.seed):
        return None  # a pass over all images would be in vain
    return trial.evaluator.agreement(plan.access.images) if plan.track is Track.LABEL_FREE else selected.val_acc


def _teacher_score(trial: Trial) -> TeacherScore:
    own, tested = trial.evaluator.teacher_accuracies()
    return TeacherScore(
        key=teacher_key(trial.plan),
        fingerprint=fingerprint(trial.evaluator.teacher.net.state_dict()),
        own_acc=own,
        test_acc=tested,
    )
