"""The life of a run: (method, setting, seed, budget) in, one record out. Names no method and no data set."""

from __future__ import annotations

import gc
import traceback
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import yaml

from okdbench.core import devices
from okdbench.core.command import command_of
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic, writing
from okdbench.core.locks import Lock, if_free
from okdbench.core.protocol import refuse_tuning_seeds
from okdbench.results.loss_curves import read_curves
from okdbench.results.predictions import write_predictions
from okdbench.results.records import Record
from okdbench.results.samples import write_samples
from okdbench.results.store import read_record, write_record
from okdbench.training import data_report, part_check, run_record, teacher_check, trackers
from okdbench.training.checkpoint import CHECKPOINT
from okdbench.training.initial_networks import forget_initial_networks
from okdbench.training.ood_subset import with_subset
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import ProgressCallback, quiet
from okdbench.training.student import card_of, pack
from okdbench.training.teacher import teacher_file, teacher_of, trained_with
from okdbench.training.trial import Trial, check

CHECKPOINT_SECONDS = 20.0


def run(
    *,
    runs: str | Path = "runs",
    data_root: str | Path | None = None,
    config: str | Path | None = None,
    progress: ProgressCallback = quiet,
    **options: Any,
) -> Record:
    """Carry out one run and return its record; a finished run is not repeated.

    Args:
        runs: folder of runs and teachers.
        data_root: folder of images and caches.
        config: YAML file whose values ``options`` override.
        progress: called with stage, step, losses and number of images learned from; displays nothing by default.
        options: fields of :class:`okdbench.core.config.RunConfig`; ``setting`` defaults to the first of ``task``.

    Raises:
        UserError: something that the caller can fix.

    Example:
        >>> okdbench.run(method="augkd", dataset="digits", setting="MP-O")  # doctest: +SKIP
    """
    plan = make_plan(options, Path(config) if config else None, Path(data_root) if data_root else None)
    refuse_tuning_seeds([plan.config.seed])
    return execute(plan, Path(runs), progress)


def execute(plan: Plan, runs: Path, progress: ProgressCallback) -> Record:
    """The record of ``plan``: read when the run is finished, otherwise made, by one process at a time.

    Raises:
        UserError: the device, a network, a weights file, the method or the disk refuses.
    """
    # --- 1. a finished run is read
    device = devices.choose(plan.config.device)
    folder = runs / plan.key
    if record := noted(folder, plan.config):
        data_report.report(plan)
        teacher_check.repeat(plan, folder / teacher_check.KEPT)
        return record

    # --- 2. what cannot run is refused before anything is written
    teacher_check.report_files(plan)
    check(plan)

    # --- 3. teacher, student, record: one process at a time, the others wait for its record
    with writing(runs):
        folder.mkdir(parents=True, exist_ok=True)
        with Lock(folder / "lock"):
            # looked up again: another process may have finished it while this one waited
            if record := noted(folder, plan.config):
                return record
            content = yaml.safe_dump(run_record.resolved(plan), sort_keys=False).encode()
            write_atomic(folder / "config.yaml", content)
            if plan.method_file:
                # under its own name, which is a part of the key, so that it can be run from here
                write_atomic(folder / f"{plan.method_name}.py", plan.method_file.content)
            record = _attempt(plan, runs, folder, device, progress)
    # Networks and their hooks refer to each other, so they stay in memory until a collection.
    gc.collect()
    return record


def finished(folder: Path) -> Record | None:
    """The record of a finished run; removes a checkpoint that its process could not remove because it was killed."""
    record = read_record(folder)
    if record is None or record.status != "done":
        return None
    with suppress(OSError):  # a read-only folder is fine
        (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


def noted(folder: Path, config: RunConfig) -> Record | None:
    """The record of a finished run, which from now on says how its hyper-parameters were chosen, if ``config`` does.

    The run may be older than the tuning that chose the same values. No number depends on it.

    Raises:
        UserError: the disk refuses.
    """
    record = finished(folder)
    if record is None or config.tuned in (None, record.tuned):
        return record
    note = {"tuned": config.tuned, "command": command_of(config), "config": record.config | {"tuned": config.tuned}}
    record = record.model_copy(update=note)
    with writing(folder):
        write_record(folder, record)
    return record


def prepare(plan: Plan, runs: Path, progress: ProgressCallback) -> None:
    """Train the teacher of ``plan``, unless it exists.

    Raises:
        UserError: the device, the network, the weights file or the disk refuses.
    """
    device = devices.choose(plan.config.device)
    with writing(runs):
        teacher_of(plan, runs, device, progress)


def give_up(plan: Plan, runs: Path, error: str) -> None:
    """Write a failed record for a run whose process cannot; the checkpoint is kept, so that a rerun resumes.

    Does nothing when another process is working on the run, or has finished it.

    Raises:
        UserError: the disk refuses.
    """
    folder = runs / plan.key
    with writing(runs):
        folder.mkdir(parents=True, exist_ok=True)
        with if_free(folder / "lock") as free:
            record = read_record(folder)
            if free and (record is None or record.status != "done"):
                here = torch.device("cpu")  # the run's own device may be on another machine
                write_record(folder, Record(**run_record.identity(plan, here), status="failed", error=error))


def _attempt(plan: Plan, runs: Path, folder: Path, device: torch.device, progress: ProgressCallback) -> Record:
    """Train and evaluate; an error in the method becomes a failed record, and the next start tries again."""
    try:
        record = _train(plan, runs, folder, device, progress)
    except (UserError, OSError):  # no fault of the method
        raise
    except Exception as error:
        record = Record(
            **run_record.identity(plan, device),
            status="failed",
            error=f"{type(error).__name__}: {error}",
            traceback=traceback.format_exc(),
        )
        write_record(folder, record)
    else:
        write_record(folder, record)
    # only now: a process that is killed before this line leaves everything that a rerun needs
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return record


def _train(plan: Plan, runs: Path, folder: Path, device: torch.device, progress: ProgressCallback) -> Record:
    data_report.report(plan)
    teacher = teacher_of(plan, runs, device, progress)
    if plan.config.teacher_weights:
        teacher_check.report(plan, teacher, device, folder / teacher_check.KEPT)
    plan = with_subset(plan, teacher, runs, device)

    # --- 2. the student: all stages of the method
    devices.forget_peak_memory(device)
    watched = trackers.Run(folder, plan.key, plan.title, run_record.resolved(plan))
    with trackers.opened(plan.config.log_to, watched) as shown:
        trial = Trial(plan, teacher, folder, device, progress, shown.log)
        forget_initial_networks()  # the trial has its own; spare ones would count as memory that the method uses
        history = trial.run(CHECKPOINT_SECONDS)

        # --- 3. the record
        identity = run_record.identity(plan, device)
        identity["environment"] |= trained_with(teacher_file(runs / "teachers", plan))
        record = Record(
            **identity,
            status="done",
            curves=read_curves(folder / "metrics.jsonl"),
            **run_record.results(trial, history, device),
        )
        shown.log(run_record.final_numbers(record), trial.steps)

    part_check.report(plan, trial.evaluator, folder / teacher_check.KEPT)

    # --- 4. the student's file, predictions and sample images
    if trial.meter.learned("student"):
        # the names of the bare network, which is what a student's file is loaded into
        network = {name.removeprefix("net."): tensor for name, tensor in history.selected_state.items()}
        card = card_of(record, plan.dataset, plan.splits.test.max_value, plan.student.options)
        write_atomic(folder / "student.safetensors", pack(network, card))
    write_predictions(folder, trial.evaluator.predictions()._replace(names=plan.dataset.classes))
    write_samples(folder, trial.samples())  # last, so that nothing in the record can depend on them
    return record
