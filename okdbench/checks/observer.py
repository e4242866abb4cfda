"""Observed runs: the usual training loop, with callbacks before and after each step."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from okdbench.core.seeding import derive_seed
from okdbench.distill.method import Clock, Losses, Stage, Trainable
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.results.records import Evaluation, Record, Traffic
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint

CPU = torch.device("cpu")


class Observer:
    """Callbacks of a run; subclasses override those that they need."""

    def begin(self, trial: Trial) -> None:
        """Called after the method's set-up."""

    def before(self, stage: Stage, step: int) -> None:
        """Called before each step."""

    def after(self, stage: Stage, step: int, losses: Losses) -> None:
        """Called after each step with the losses that it returned."""


class Watched(Trainable):
    """Wraps a trainable so that observers are called around its steps; the training is unchanged."""

    def __init__(self, inner: Trainable, observers: Sequence[Observer]) -> None:
        super().__init__(inner._device, inner._meter)
        self._inner, self._observers = inner, observers
        self.state = inner.state  # so that checkpoints contain the inner state

    def set_clock(self, clock: Clock) -> None:
        """Set the clock here and inside."""
        super().set_clock(clock)
        self._inner.set_clock(clock)

    def stages(self) -> Sequence[Stage]:
        """The inner stages, with observed steps."""
        return [replace(stage, step=partial(self._step, stage)) for stage in self._inner.stages()]

    def _step(self, stage: Stage, *batches: Any) -> Losses:
        step = self.clock.step
        for observer in self._observers:
            observer.before(stage, step)
        losses = stage.step(*batches)
        for observer in self._observers:
            observer.after(stage, step, losses)
        return losses


@dataclass(frozen=True)
class Result:
    """Everything that must be equal in two runs of one key; ``losses`` is the content of the loss log."""

    selected: str
    last: str
    evaluations: list[Evaluation]
    retention: dict[str, float | None]
    traffic: dict[str, Traffic]
    losses: str

    @classmethod
    def of(cls, record: Record, folder: Path) -> Result:
        """The result of a finished record and its folder."""
        return cls(
            record.fingerprints["selected"],
            record.fingerprints["last"],
            record.evaluations,
            {stage: outcome.retention for stage, outcome in record.stages.items()},
            record.cost.traffic,
            _log(folder),
        )


def launch(plan: Plan, teacher: ClassifierWrapper, folder: Path, observers: Sequence[Observer] = ()) -> Result:
    """Run a plan without the runner, or resume it from a checkpoint in ``folder``; exceptions of the run pass through.

    Args:
        plan: what to run.
        teacher: a locked teacher for it.
        folder: for checkpoints and the loss log.
        observers: called in this order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial(plan, teacher, folder, CPU, quiet)
    # before the loop, which may restore a checkpoint: observers see the state after the set-up
    for observer in observers:
        observer.begin(trial)
    trial.trainable = Watched(trial.trainable, observers)
    history = trial.run()
    return Result(
        fingerprint(history.selected_state),
        fingerprint(clone_state(trial.answer)),
        history.evaluations,
        history.retention,
        {role: Traffic(**counts) for role, counts in trial.meter.traffic().items()},
        _log(folder),
    )


def difference(one: Result, other: Result) -> str:
    """The first difference between two results; empty if they are equal."""
    # not strict: logs of different lengths are found unequal at the end
    for line, second in zip(one.losses.splitlines(), other.losses.splitlines(), strict=False):
        if line != second:
            was, now = json.loads(line), json.loads(second)
            terms = [name for name, value in was["losses"].items() if now["losses"].get(name) != value]
            values = f"{terms[0]!r} is {was['losses'][terms[0]]:.6g} and {now['losses'].get(terms[0])}" if terms else ""
            return f"first in stage {was['stage']!r}, step {was['step']}: {values or 'other steps'}"
    return "" if one == other else "in the student's weights or in the cost, but in no loss term"


@contextmanager
def scrambled(seed: int) -> Iterator[None]:
    """Set the global generators of Python and numpy to a state that depends on ``seed``, and restore all at the end.

    A new process has them in an arbitrary state, so two runs with different seeds here must still be equal.
    """
    # torch's as well, because the run itself seeds it
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    far = derive_seed("scrambled", seed) % 2**32  # a number that no author writes in a method file
    random.seed(far)
    np.random.seed(far)
    try:
        yield
    finally:
        random.setstate(before[0])
        np.random.set_state(before[1])
        torch.set_rng_state(before[2])


def _log(folder: Path) -> str:
    path = folder / "metrics.jsonl"
    return path.read_text() if path.exists() else ""
