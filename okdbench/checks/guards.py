"""Observers that look for one kind of fault each and report its first occurrence, with stage and step."""

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
from okdbench.distill.method import Losses, Stage
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint


class BudgetExceededError(Exception):
    """The student was trained on more images than the budget has; the run stops here."""


class Diverged(Exception):  # noqa: N818 - a result, not an error
    """The student differs from that of the run with default hyper-parameters; the run stops here."""


class Guard(Observer):
    """Collects findings."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []

    def note(self, found: str, means: str, cure: str) -> None:
        """Store a finding, unless there is one already."""
        # later faults are mostly the same one again, or follow from it
        if not self.findings:
            self.findings.append(Finding(found, means, cure))


class TermGuard(Guard):
    """Checks that steps return scalar tensors by name, all of them finite."""

    def after(self, stage: Stage, step: int, losses: Losses) -> None:
        """Check the loss terms of one step."""
        place = f"stage {stage.name!r}, step {step}"
        terms: dict[str, Any] = losses if isinstance(losses, dict) else {"": losses}
        for name, term in terms.items():
            if not isinstance(term, Tensor) or term.ndim or not name:
                self.note(
                    f"{place}: the step returns {name or 'no dictionary, but'} {_kind(term)}",
                    "the training loop logs loss terms by name and cannot log this",
                    'return a dictionary of scalar tensors, such as {"kl": loss}',
                )
            elif not torch.isfinite(term):
                self.note(
                    f"{place}: the loss term {name!r} is {term.item()}",
                    "a run stops at the first loss that is not finite, because all later numbers would be meaningless",
                    "look for a logarithm of 0, a division by 0, the gradient of a square root at 0 or a learning rate "
                    "that is too high; okdbench.distill.losses.kl is numerically stable",
                )


def _numpy_state() -> tuple[Any, ...]:
    _, keys, *rest = np.random.get_state(legacy=True)
    # bytes, because the comparison of two arrays is not one truth value
    return np.asarray(keys).tobytes(), *rest


class Source(NamedTuple):
    """A global random generator: its name, a function that returns its state, and a pattern of code that uses it."""

    name: str
    state: Callable[[], Any]
    pattern: str


SOURCES = (
    # the look-behind excludes np.random and torch.random
    Source("Python's random", random.getstate, r"(?<![\w.])random\.\w+\(|from random import"),
    Source("numpy.random", _numpy_state, r"\b(np|numpy)\.random\b"),
    Source(
        "torch's global generator",
        lambda: torch.get_rng_state().numpy().tobytes(),
        r"(torch\.(rand|randn|randint|randperm|normal|bernoulli|multinomial)(_like)?\(|\.(uniform|normal|random)_\()"
        # excludes torch.rand(3, generator=self.task.rng), which is correct
        r"(?!.*generator)",
    ),
)


class RandomGuard(Guard):
    """Checks that no global random generator is used; construct it just before the trial."""

    def __init__(self) -> None:
        super().__init__()
        self._trial: Trial | None = None
        self._states = self._look()
        self._sources: tuple[Source, ...] = SOURCES[:2]

    def begin(self, trial: Trial) -> None:
        """Check the set-up; networks may be initialised with torch's generator, which the runner has seeded."""
        self._trial = trial
        # what the trial has seeded torch with before it constructed the method
        self._seed = trial.plan.seed_for("method")
        self._compare("setup()")
        modules = [module for part in vars(trial.method).values() for module in _modules(part)]
        dropping = any("drop" in type(module).__name__.lower() for module in modules)
        # dropout can only draw from torch's global generator, which a checkpoint contains
        self._sources = SOURCES[: 2 if dropping else 3]

    def before(self, stage: Stage, step: int) -> None:  # noqa: ARG002 - any step
        """Store the states of all generators."""
        self._states = self._look()

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - any losses
        """Report the generators whose state has changed."""
        self._compare(f"stage {stage.name!r}, step {step}")

    def _look(self) -> list[Any]:
        return [source.state() for source in SOURCES]

    def _compare(self, place: str) -> None:
        assert self._trial is not None
        method = type(self._trial.method)
        # nobody may seed torch anew, even where drawing from it is allowed
        if torch.initial_seed() != self._seed:
            self.note(
                f"{place}: torch.manual_seed({torch.initial_seed()}) was called" + mentions(method, r"seed\w*\("),
                "a fixed global seed: runs with different --seed draw the same numbers, so they are not independent, "
                "but a table treats them as independent",
                "delete this line; the runner seeds all generators before it constructs the method",
            )
        # not strict: the states are of all sources, but torch's is not always compared
        for source, before, now in zip(self._sources, self._states, self._look(), strict=False):
            if before != now:
                self.note(
                    f"{place}: the method draws from {source.name}, or seeds it" + mentions(method, source.pattern),
                    "other code shares this generator, or the run's seed does not determine it, so the run cannot be "
                    "reproduced",
                    "draw from the run's own generator: self.task.noise(...), torch.rand(..., generator=self.task.rng)",
                )


class TeacherGuard(Guard):
    """Checks that the teacher keeps its weights, buffers and eval mode; construct it before the trial."""

    def __init__(self, teacher: ClassifierWrapper) -> None:
        super().__init__()
        # a copy, because state_dict() refers to tensors that change in place
        self._teacher, self._before = teacher, clone_state(teacher)
        self._buffers = {name for name, _ in teacher.named_buffers()}

    def begin(self, trial: Trial) -> None:  # noqa: ARG002 - the teacher is known
        """Check the teacher after the set-up."""
        self._look("setup()")

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - any losses
        """Check the teacher after a step."""
        self._look(f"stage {stage.name!r}, step {step}")

    def _look(self, place: str) -> None:
        state = self._teacher.state_dict()
        changed = [name for name, before in self._before.items() if not torch.equal(before, state[name])]
        weights = [name for name in changed if name not in self._buffers]
        means = "the teacher is frozen and the same for all methods; this row would be measured with another teacher"
        if weights:
            cure = "own() only what you train, change it with learner.update(loss), and never write to self.teacher"
            self.note(f"{place}: weights of the teacher have changed, {weights[0]} first", means, cure)
        # the normaliser is left out: it is shared with the student and has no mode
        if any(module.training for module in self._teacher.net.modules()) or changed:
            what = f"its buffer {changed[0]} has changed" if changed else "its running statistics would change"
            self.note(
                f"{place}: the teacher, or a part of it, was set to train mode: {what}",
                means,
                "never call train() on self.teacher or a part of it; for batch statistics there is "
                'forward_with_features(x, "bn")',
            )
        # a gradient remains when a step unfreezes the teacher and freezes it again
        if any(weight.requires_grad or weight.grad is not None for weight in self._teacher.parameters()):
            cure = "do not change requires_grad; gradients with respect to images pass through a frozen teacher as well"
            self.note(f"{place}: the teacher was unfrozen", means, cure)


class BudgetGuard(Guard):
    """Checks that the student is trained through its learner, on at most as many images as the budget has."""

    def begin(self, trial: Trial) -> None:
        """Store the student's weights and the budget."""
        self._trial, self._limit = trial, trial.plan.budget.student_images
        self._weights = [weight.detach().clone() for weight in trial.method.student.parameters()]

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - any losses
        """Compare the number of training images with the budget, and with what happened to the weights.

        Raises:
            BudgetExceededError: the budget is exceeded.
        """
        learned = self._trial.meter.learned("student")
        place = f"stage {stage.name!r}, step {step} of {stage.steps}"
        if learned > self._limit:
            self.note(
                f"{place}: the student has been trained on {learned} images; the budget has {self._limit}",
                "a row that exceeds the budget has no rank, because all methods have equal budgets",
                "plan self.task.student_images // self.task.batch_size steps in all stages together",
            )
            # the finding is complete, and the rest of such a run may be long
            raise BudgetExceededError
        weights = self._trial.method.student.parameters()
        # once its learner has counted images, a change of the student is expected
        if not learned and any(not torch.equal(one, two) for one, two in zip(weights, self._weights, strict=True)):
            self.note(
                f"{place}: the student has changed, but its learner has counted no image",
                "it is trained without its learner, so neither the budget nor checkpoints cover this training",
                'make the learner with self.own("student", self.student, optimizer) and call its update(loss)',
            )


class StudentPath(Observer):
    """Fingerprints of the evaluated network after each step.

    Args:
        usual: the path of another run; the first step with another fingerprint raises :class:`Diverged`.
    """

    def __init__(self, usual: StudentPath | None = None) -> None:
        self._usual = usual.prints if usual else {}
        self.prints: dict[tuple[str, int], str] = {}

    def begin(self, trial: Trial) -> None:
        """Store the network."""
        self._answer = trial.answer

    def after(self, stage: Stage, step: int, losses: Losses) -> None:  # noqa: ARG002 - the weights matter
        """Store the fingerprint of its weights, and compare it with the other path.

        Raises:
            Diverged: the fingerprints differ.
        """
        key = (stage.name, step)
        self.prints[key] = fingerprint(clone_state(self._answer))
        # a step that the other run lacks is no difference; the last weights decide in that case
        if self._usual.get(key, self.prints[key]) != self.prints[key]:
            raise Diverged


class Interrupter(Observer):
    """Sends SIGINT once in the middle of each stage."""

    def __init__(self) -> None:
        self.seen: set[str] = set()

    def before(self, stage: Stage, step: int) -> None:
        """Send it when half of the stage is done; the loop completes the step and saves a checkpoint."""
        # once, because the resumed stage goes on past its middle
        if step >= stage.steps // 2 and stage.name not in self.seen:
            self.seen.add(stage.name)
            signal.raise_signal(signal.SIGINT)


def _kind(term: object) -> str:
    return f"a tensor of shape {tuple(term.shape)}" if isinstance(term, Tensor) else f"a {type(term).__name__}"


def _modules(part: object) -> list[torch.nn.Module]:
    module = getattr(part, "module", part)  # a learner has one
    return list(module.modules()) if isinstance(module, torch.nn.Module) else []
