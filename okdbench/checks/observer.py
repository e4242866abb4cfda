"""One run under observation: everything that the engine does, with a look before and after each step."""

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
from okdbench.training.fingerprint import fingerprint
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial

CPU = torch.device("cpu")


class Observer:
    """Looks at a run; each of the three may be left out."""

    def begin(self, trial: Trial) -> None:
        """Called when the method is set up."""

    def before(self, stage: Stage, step: int) -> None:
        """Called before each step."""

    def after(self, stage: Stage, step: int, losses: Losses) -> None:
        """Called after each step with what it returned."""


class Watched(Trainable):
    """A trainable whose steps are observed; it behaves like the one inside."""

    def __init__(self, inner: Trainable, observers: Sequence[Observer]) -> None:
        super().__init__(inner._device, inner._meter)
        self._inner, self._observers = inner, observers
        self.state = inner.state  # the checkpoint holds what is inside

    def set_clock(self, clock: Clock) -> None:
        """Keep the time and tell it."""
        super().set_clock(clock)
        self._inner.set_clock(clock)

    def stages(self) -> Sequence[Stage]:
        """The stages of the one inside, with observed steps."""
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
    """All of a run that must be equal in equal runs; ``losses`` is its log."""

    selected: str
    last: str
    evaluations: list[Evaluation]
    retention: dict[str, float | None]
    traffic: dict[str, Traffic]
    losses: str

    @classmethod
    def of(cls, record: Record, folder: Path) -> Result:
        """The result that a finished record in ``folder`` tells."""
        return cls(
            record.fingerprints["selected"],
            record.fingerprints["last"],
            record.evaluations,
            {stage: outcome.teacher_domain_acc for stage, outcome in record.stages.items()},
            record.cost.traffic,
            _log(folder),
        )


def launch(plan: Plan, teacher: ClassifierWrapper, folder: Path, observers: Sequence[Observer] = ()) -> Result:
    """Run ``plan``, or go on, in ``folder``; raises whatever the run raises."""
    folder.mkdir(parents=True, exist_ok=True)
    trial = Trial(plan, teacher, folder, CPU, quiet)
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
    """Where two results differ first; empty when they are equal."""
    for line, second in zip(one.losses.splitlines(), other.losses.splitlines(), strict=False):
        if line != second:
            was, now = json.loads(line), json.loads(second)
            terms = [name for name, value in was["losses"].items() if now["losses"].get(name) != value]
            values = f"{terms[0]!r} is {was['losses'][terms[0]]:.6g} and {now['losses'].get(terms[0])}" if terms else ""
            return f"first in stage {was['stage']!r}, step {was['step']}: {values or 'other steps'}"
    return "" if one == other else "in the student's weights or what they cost, though not in a loss term"


@contextmanager
def scrambled(seed: int) -> Iterator[None]:
    """Python's and numpy's global generators in some state, as they are in a new process; torch's is put back, too."""
    before = random.getstate(), np.random.get_state(), torch.get_rng_state()
    far = derive_seed("scrambled", seed) % 2**32  # not one that an author would type
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
