"""Observers that watch for one kind of fault each; the first of a kind is told, with stage and step."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from okdbench.checks.finding import Finding, mentions
from okdbench.checks.observer import Observer
from okdbench.core.seeding import derive_seed
from okdbench.distill.method import Losses, Stage
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.training.fingerprint import fingerprint
from okdbench.training.trial import Trial


class Overspent(Exception):  # noqa: N818 - the reason to stop, no error of ours
    """The student has learned from more pictures than the budget has."""


class Diverged(Exception):  # noqa: N818 - what was hoped for
    """The student is another one than in the usual run."""


class Guard(Observer):
    """Collects findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def note(self, found: str, means: str, cure: str) -> None:
        """Take note of a fault, unless one is known already."""
        if not self.findings:
            self.findings.append(Finding(found, means, cure))


class TermGuard(Guard):
    """What steps return: scalar tensors by name, all of them finite."""

    def after(self, stage: Stage, step: int, losses: Losses) -> None:
        """Look at the terms of one step."""
        place = f"stage {stage.name!r}, step {step}"
        terms: dict[str, Any] = losses if isinstance(losses, dict) else {"": losses}
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim or not name:
                self.note(
                    f"{place}: the step returns {name or 'no dictionary, but'} {_kind(term)}",
                    "the engine logs loss terms by name and cannot take this",
                    'return a dictionary of scalar tensors, such as {"kl": loss}',
                )
            elif not torch.isfinite(term):
                self.note(
                    f"{place}: the loss term {name!r} is {term.item()}",
                    "a run stops at the first loss that is no number, for nothing after it means anything",
                    "look for the logarithm or the quotient of 0, a root at 0 or too high a rate in that term; "
                    "okdbench.distill.losses.kl is safe",
                )


def _numpy_state() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state(legacy=True)
    return np.asarray(keys).tobytes(), *rest


class Source(NamedTuple):
    """A global random generator, what gives its state, and what a line that uses it looks like."""

    name: str
    state: Callable[[], Any]
    pattern: str


SOURCES = (
    Source("Python's random", random.getstate, r"(?<![\w.])random\.\w+\(|from random import"),
    Source("numpy.random", _numpy_state, r"\b(np|numpy)\.random\b"),
    Source(
        "torch's global generator",
        lambda: torch.get_rng_state().numpy().tobytes(),
        r"(torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)(_like)?\(|\.(uniform|normal|random)_\()"
        r"(?!.*generator)",
    ),
)


class RandomGuard(Guard):
    """Nothing random but the run's own generator; make it just before the trial."""

    def __init__(self) -> None:
        super().__init__()
        self._trial: Trial | None = None
        self._states = self._look()
        self._sources: tuple[Source, ...] = SOURCES[:2]

    def begin(self, trial: Trial) -> None:
        """Look at what the set-up has left; networks may be initialised from torch's generator, which is seeded."""
        self._trial = trial
        self._seed = derive_seed("method", trial.plan.config.seed)
        self._compare("setup()")
        modules = [module for part in vars(trial.method).values() for module in _modules(part)]
        dropping = any("drop" in type(module).__name__.lower() for module in modules)
        self._sources = SOURCES[: 2 if dropping else 3]  # dropout has no other generator

    def before(self, stage: Stage, step: int) -> None:  # noqa: ARG002 - the time does not matter yet
        """Remember all states."""
        self._states = self._look()

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - what it returned neither
        """Look which states have changed."""
        self._compare(f"stage {stage.name!r}, step {step}")

    def _look(self) -> list[Any]:
        return [source.state() for source in SOURCES]

    def _compare(self, place: str) -> None:
        assert self._trial is not None
        method = type(self._trial.method)
        if torch.initial_seed() != self._seed:
            self.note(
                f"{place}: torch.manual_seed({torch.initial_seed()}) was called" + mentions(method, r"seed\w*\("),
                "a global seed of the method's own: runs with different --seed draw the same numbers, so they are no "
                "independent runs, though a table counts them as such",
                "delete that line; everything is seeded before the method is made",
            )
        for source, before, now in zip(self._sources, self._states, self._look(), strict=False):
            if before != now:
                self.note(
                    f"{place}: it draws from {source.name}, or seeds it" + mentions(method, source.pattern),
                    "a global random source, which other code shares or the run's seed does not reach: such a run "
                    "cannot be repeated",
                    "draw from the run's own generator: self.task.noise(...), torch.rand(..., generator=self.task.rng)",
                )


class TeacherGuard(Guard):
    """The teacher keeps weights, running statistics and eval mode; make it before the trial."""

    def __init__(self, teacher: ClassifierWrapper) -> None:
        super().__init__()
        self._teacher, self._before = teacher, clone_state(teacher)
        self._buffers = {name for name, _ in teacher.named_buffers()}

    def begin(self, trial: Trial) -> None:  # noqa: ARG002 - only the teacher matters
        """Look at what the set-up has left of it."""
        self._look("setup()")

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - neither does the loss
        """Look at what the step has left of it."""
        self._look(f"stage {stage.name!r}, step {step}")

    def _look(self, place: str) -> None:
        state = self._teacher.state_dict()
        changed = [name for name, before in self._before.items() if not torch.equal(before, state[name])]
        weights = [name for name in changed if name not in self._buffers]
        means = "the teacher is given and frozen; this row would be measured with another one than all others"
        if weights:
            cure = "own only what you train; use learner.update, and write to no parameter of self.teacher"
            self.note(f"{place}: weights of the teacher have changed, {weights[0]} first", means, cure)
        # the normaliser is shared with the student, and has no mode
        if any(module.training for module in self._teacher.net.modules()) or changed:
            what = f"its buffer {changed[0]} has changed" if changed else "its running statistics would change"
            self.note(
                f"{place}: the teacher, or a part of it, was put in train mode: {what}",
                means,
                "never call train() on self.teacher or a part of it; for batch statistics there is "
                'forward_with_features(x, "bn")',
            )
        if any(weight.requires_grad or weight.grad is not None for weight in self._teacher.parameters()):
            cure = "leave requires_grad alone; gradients reach the pictures through a frozen teacher as well"
            self.note(f"{place}: the teacher was unfrozen", means, cure)


class BudgetGuard(Guard):
    """The student learns from as many pictures as the budget has, and through its learner; the run is stopped else."""

    def begin(self, trial: Trial) -> None:
        """Remember the student and what it may spend."""
        self._trial, self._limit = trial, trial.plan.budget.student_images
        self._weights = [weight.detach().clone() for weight in trial.method.student.parameters()]

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - what it returned is no cost
        """Compare the bill with the budget and with the student."""
        learned = self._trial.meter.learned("student")
        place = f"stage {stage.name!r}, step {step} of {stage.steps}"
        if learned > self._limit:
            self.note(
                f"{place}: the student has learned from {learned} pictures; the budget has {self._limit}",
                "a row that overspends has no rank, because every method may learn from equally many pictures",
                "count the steps from self.task.student_images // self.task.batch_size over all stages",
            )
            raise Overspent
        weights = self._trial.method.student.parameters()
        if not learned and any(not torch.equal(one, two) for one, two in zip(weights, self._weights, strict=True)):
            self.note(
                f"{place}: the student has changed, but its learner counts no picture",
                "it is trained around its learner, so neither budget nor checkpoints know of it",
                'make the learner with self.own("student", self.student, optimizer) and call its update(loss)',
            )


class StudentPath(Observer):
    """A fingerprint of the evaluated network after each step; with a ``usual`` path, leaving that ends the run."""

    def __init__(self, usual: StudentPath | None = None) -> None:
        self._usual = usual.prints if usual else {}
        self.prints: dict[tuple[str, int], str] = {}

    def begin(self, trial: Trial) -> None:
        """Remember the network."""
        self._answer = trial.answer

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - only weights count
        """Take its fingerprint."""
        key = (stage.name, step)
        self.prints[key] = fingerprint(clone_state(self._answer))
        if self._usual.get(key, self.prints[key]) != self.prints[key]:
            raise Diverged


class Interrupter(Observer):
    """Ctrl-C in the middle of each stage, once."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def before(self, stage: Stage, step: int) -> None:
        """Press it where the stage is half done; the engine finishes the step and saves."""
        if step >= stage.steps // 2 and stage.name not in self.seen:
            self.seen.add(stage.name)
            signal.raise_signal(signal.SIGINT)


def _kind(term: object) -> str:
    return f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"


def _modules(part: object) -> list[torch.nn.Module]:
    module = getattr(part, "module", part)  # a learner holds one
    return list(module.modules()) if isinstance(module, torch.nn.Module) else []
