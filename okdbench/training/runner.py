"""One run: (method, setting, seed, budget) in, one record out. Names no method and no data set."""

from __future__ import annotations

import gc
import hashlib
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import yaml
from filelock import FileLock, Timeout
from torch import Tensor

import okdbench
from okdbench import registry
from okdbench.core import devices as devices
from okdbench.core import environment as machine
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.results.loss_curves import read_curves
from okdbench.results.records import Cost, Outcome, Record, TeacherScore, Traffic
from okdbench.results.samples import write_samples
from okdbench.results.store import read_record, write_record
from okdbench.training.checkpoint import CHECKPOINT
from okdbench.training.evaluation import best
from okdbench.training.loop import History, ProgressCallback
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.student import card_of, pack
from okdbench.training.teacher import TeacherStore, teacher_file, teacher_key, trained_with
from okdbench.training.trial import Trial, check, normaliser

CHECKPOINT_SECONDS = 20.0


def run(
    *,
    runs: str | Path = "runs",
    data_root: str | Path | None = None,
    config: str | Path | None = None,
    progress: ProgressCallback = quiet,
    **options: Any,
) -> Record:
    """Carry out one run and return its record; a run that is done already is not repeated.

    Args:
        runs: folder of runs and teachers.
        data_root: folder of pictures and caches.
        config: YAML file whose values ``options`` override.
        progress: called with stage, step, losses and learned pictures; shows nothing by default.
        options: fields of :class:`okdbench.core.config.RunConfig`; ``setting`` may be left out for the first default one.

    Raises:
        UserError: something that the caller can mend.

    Example:
        >>> okdbench.run(method="augkd", dataset="digits", setting="MP-O")  # doctest: +SKIP
    """
    plan = make_plan(options, Path(config) if config else None, Path(data_root) if data_root else None)
    return execute(plan, Path(runs), progress)


def execute(plan: Plan, runs: Path, progress: ProgressCallback) -> Record:
    """The record of ``plan``: read when it is done, made otherwise, by one process at a time."""
    device = devices.choose(plan.config.device)
    folder = runs / plan.key
    if record := finished(folder):
        return record
    check(plan)
    with writing(runs):
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / "lock"):
            if record := finished(folder):  # by another process, meanwhile
                return record
            write_atomic(folder / "config.yaml", yaml.safe_dump(_resolved(plan), sort_keys=False).encode())
            record = _attempt(plan, runs, folder, device, progress)
    gc.collect()  # networks and their hooks hold each other; they must not pile up while other runs follow
    return record


def finished(folder: Path) -> Record | None:
    """The record of a run that is done, whose process may have been killed before it removed the checkpoint."""
    record = read_record(folder)
    if record is None or record.status != "done":
        return None
    with suppress(OSError):  # a folder that can only be read is as good
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


def prepare(plan: Plan, runs: Path, progress: ProgressCallback) -> None:
    """Train the teacher of ``plan``, unless it is there."""
    device = devices.choose(plan.config.device)
    with writing(runs):
        _teacher(plan, runs, device, progress)


def give_up(plan: Plan, runs: Path, error: str) -> None:
    """Put the run of a process that cannot do so on record as failed; the checkpoint stays, for the next start.

    Where another process has the run in hand by now, its record will be the one.
    """
    folder = runs / plan.key
    with writing(runs):
        folder.mkdir(parents=True, exist_ok=True)
        with suppress(Timeout), FileLock(folder / "lock", timeout=0):
            record = read_record(folder)
            if record is None or record.status != "done":
                here = torch.device("cpu")  # the run's own device may be on another machine
                write_record(folder, Record(**_identity(plan, here), status="failed", error=error))


def _attempt(plan: Plan, runs: Path, folder: Path, device: torch.device, progress: ProgressCallback) -> Record:
    """Train and evaluate; what goes wrong in the method becomes a failed record, which the next start tries again."""
    try:
        record = _train(plan, runs, folder, device, progress)
    except (UserError, OSError):
        raise
    except Exception as error:
        record = Record(
            **_identity(plan, device),
            status="failed",
            error=f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
        )
        write_record(folder, record)
    else:
        write_record(folder, record)
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


def _teacher(plan: Plan, runs: Path, device: torch.device, progress: ProgressCallback) -> ClassifierWrapper:
    shop = TeacherStore(runs / "teachers", device, devices.autocast(device, plan.config.precision), progress)
    dataset = plan.dataset
    return shop.get(plan.config, plan.splits, len(dataset.classes), dataset.flip, normaliser(plan, device))


def _train(plan: Plan, runs: Path, folder: Path, device: torch.device, progress: ProgressCallback) -> Record:
    teacher = _teacher(plan, runs, device, progress)
    devices.forget_peak_memory(device)
    trial = Trial(plan, teacher, folder, device, progress)
    history = trial.run(CHECKPOINT_SECONDS)
    identity = _identity(plan, device)
    identity["environment"] |= trained_with(teacher_file(runs / "teachers", plan.config, plan.splits))
    record = Record(
        **identity,
        status="done",
        curves=read_curves(folder / "metrics.jsonl"),
        **_results(trial, history, device),
    )
    if trial.meter.learned("student"):
        network = {name.removeprefix("net."): tensor for name, tensor in history.selected_state.items()}
        write_atomic(folder / "student.safetensors", pack(network, card_of(record, plan.dataset)))
    write_samples(folder, trial.samples())  # last, so that the record knows nothing of it
    return record


def _identity(plan: Plan, device: torch.device) -> dict[str, Any]:
    config = plan.config
    return {
        "key": plan.key,
        "variant": plan.variant,
        "role": plan.method.card.role,
        "method": plan.method_name,
        "origin": plugins.origin_of(config.method),
        "source": registry.source_digest(plan.method),
        **config.model_dump(include={"setting", "budget", "seed", "teacher", "student"}),
        "dataset": plan.dataset.name,
        "track": config.track.value,
        "config": _resolved(plan),
        "command": plan.command,
        "version": okdbench.__version__,
        "commit": machine.commit(),
        "protocol": PROTOCOL_VERSION,
        "data_digest": plan.splits.digest,
        "data_note": plan.data_note,
        "default_settings": tuple(plan.dataset.settings),
        "environment": machine.environment(device) | {"finished": datetime.now(UTC).isoformat(timespec="seconds")},
    }


def _resolved(plan: Plan) -> dict[str, Any]:
    hyperparameters = plan.hyperparameters.model_dump(mode="json")
    return plan.config.model_dump(mode="json") | {"hyperparameters": hyperparameters}


def _results(trial: Trial, history: History, device: torch.device) -> dict[str, Any]:
    last_stage = list(history.stage_ends)[-1]
    last = Outcome(evaluation=history.evaluations[-1], teacher_domain_acc=history.retention[last_stage])
    fingerprints = {"last": fingerprint(clone_state(trial.answer)), "selected": fingerprint(history.selected_state)}
    cost = Cost(
        traffic={role: Traffic(**counts) for role, counts in trial.meter.traffic().items()},
        seconds=sum(history.stage_seconds.values()),
        stage_seconds=history.stage_seconds,
        peak_memory_mb=devices.peak_memory_mb(device),
    )
    trial.answer.load_state_dict(history.selected_state)
    own, student_domain = trial.evaluator.teacher_accuracies()
    key = teacher_key(trial.plan.config, trial.plan.splits)
    return {
        "teacher_score": TeacherScore(
            key=key,
            fingerprint=fingerprint(trial.evaluator.teacher.net.state_dict()),
            own_acc=own,
            student_domain_acc=student_domain,
        ),
        "evaluations": history.evaluations,
        "stages": {
            stage: Outcome(evaluation=history.evaluations[index], teacher_domain_acc=history.retention[stage])
            for stage, index in history.stage_ends.items()
        },
        "selected": Outcome(
            evaluation=history.evaluations[history.selected], teacher_domain_acc=trial.evaluator.retention()
        ),
        "last": last,
        "oracle": best(history.evaluations),
        "fingerprints": fingerprints,
        "cost": cost,
    }


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values, the same for equal weights whatever their memory layout."""
    digest = hashlib.sha256()
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
