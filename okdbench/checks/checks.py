"""The checks in the order in which they run; each examines the runs of a sandbox and returns its findings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from okdbench.checks.finding import Finding, in_each, mentions, place
from okdbench.checks.guards import BudgetExceededError
from okdbench.checks.hyperparameters import idle_settings
from okdbench.checks.import_wall import imports_beyond
from okdbench.checks.metadata import card_gaps
from okdbench.checks.observer import Result, difference
from okdbench.checks.sandbox import Sandbox
from okdbench.core.errors import NonFiniteLossError, UserError, one_line
from okdbench.core.protocol import Track
from okdbench.data.images import Images
from okdbench.data.splits import Splits
from okdbench.training.trial import LabelsWithheldError


class Check(NamedTuple):
    """A rule, the function that finds violations of it, and whether that function needs runs that were completed."""

    title: str
    find: Callable[[Sandbox], list[Finding]]
    needs_runs: bool = True


def runs(sandbox: Sandbox) -> list[Finding]:
    """A run with budget smoke is completed in every track."""
    return in_each(sandbox.tracks, lambda track: _failure(sandbox, track))


def terms(sandbox: Sandbox) -> list[Finding]:
    """Every step returns named, finite scalar tensors."""
    return in_each(sandbox.tracks, lambda track: sandbox.run(track).terms.findings)


def randomness(sandbox: Sandbox) -> list[Finding]:
    """All random numbers come from generators that the run's seed determines."""
    return in_each(sandbox.tracks, lambda track: sandbox.run(track).random.findings)


def teacher(sandbox: Sandbox) -> list[Finding]:
    """Weights, buffers and mode of the teacher do not change."""
    return in_each(sandbox.tracks, lambda track: sandbox.run(track).teacher.findings)


def budget(sandbox: Sandbox) -> list[Finding]:
    """The student is trained on at most as many images as the budget has."""
    return in_each(sandbox.tracks, lambda track: sandbox.run(track).budget.findings)


def repetition(sandbox: Sandbox) -> list[Finding]:
    """A second run with the same seed, made by the runner, is bitwise identical."""

    def look(track: Track) -> list[Finding]:
        record, folder = sandbox.record(track)
        # the observed run was completed, so a failure here is a difference too
        found = record.error if record.status == "failed" else _difference(sandbox, track, Result.of(record, folder))
        means = "its numbers cannot be reproduced, and a difference to another method may be due to chance"
        cure = (
            "draw from self.task.rng only; use no other generator, no clock, no order of a set and no global state"
            + mentions(sandbox.method, r"default_rng|Generator\(|\btime\.|\bset\(|\bglobal\b")
        )
        return [Finding(f"two runs with the same seed differ: {found}", means, cure)] if found else []

    return in_each(sandbox.running, look)


def resumption(sandbox: Sandbox) -> list[Finding]:
    """A run that is interrupted and resumed in the middle of each stage is bitwise identical."""

    def look(track: Track) -> list[Finding]:
        try:
            found = _difference(sandbox, track, sandbox.interrupted(track))
        # state that no checkpoint has may also make the resumed run fail
        except Exception as error:
            found = f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
        # from the uninterrupted run, which shows everything that changes on the way
        hidden = sandbox.run(track).hidden.changed
        kept = f"; {', '.join(hidden)} changed in the run and is in no checkpoint" if hidden else ""
        means = "it keeps state that it has not registered, so a resumed run gives another student"
        cure = (
            "register it: self.own(...) or self.place(...) for a module, self.state[name] = object for anything with "
            "state_dict() and load_state_dict(); self.clock knows the step"
        )
        return [Finding(f"a resumed run differs: {found}{kept}", means, cure)] if found else []

    return in_each(sandbox.running, look)


def labels(sandbox: Sandbox) -> list[Finding]:
    """In the label-free track no stage requests labels, and permuted labels change nothing."""
    track = Track.LABEL_FREE
    if track not in sandbox.tracks:
        return []
    run = sandbox.run(track)
    found = _withheld(run.error, sandbox) if run.error else ""
    if run.result:
        other = sandbox.changed(track, permuted)
        # the weights alone, because permuted labels change the accuracies in any case
        if (other.selected, other.last) != (run.result.selected, run.result.last):
            found = "with permuted labels the student of the label-free track is another one: labels reach it"
    means = "its card names the label-free track, in which a method must not read labels of the student's domain"
    cure = (
        'request data="images" where self.task.track is Track.LABEL_FREE, and get images from stages only; or '
        "leave Track.LABEL_FREE out of the card's tracks"
    )
    return [Finding(found, means, cure)] if found else []


def permuted(splits: Splits) -> Splits:
    """The same images with permuted labels in all parts of the student's domain."""
    parts = {name: part for name, part in vars(splits).items() if name.startswith("student")}
    return replace(splits, **{name: _relabelled(part) for name, part in parts.items()})


# what needs no run comes first, and what makes the most runs comes last
CHECKS = (
    Check("its card is complete", card_gaps, needs_runs=False),
    Check("it imports only okdbench.api and okdbench.distill", imports_beyond, needs_runs=False),
    Check("it reads no label in the label-free track", labels, needs_runs=False),
    Check("it runs at budget smoke", runs, needs_runs=False),
    Check("its loss terms are finite", terms, needs_runs=False),
    Check("it stays within the budget", budget, needs_runs=False),
    Check("it does not change the teacher", teacher, needs_runs=False),
    Check("it draws from the run's generator only", randomness, needs_runs=False),
    Check("the same seed gives the same result, bit for bit", repetition),
    Check("a resumed run gives the same result, bit for bit", resumption),
    Check("every hyper-parameter changes the training", idle_settings),
)


def _relabelled(images: Images) -> Images:
    # a fixed seed, so that a repeated check finds the same
    return replace(images, labels=np.random.default_rng(0).permutation(images.labels))


def _difference(sandbox: Sandbox, track: Track, other: Result) -> str:
    usual = sandbox.run(track).result
    assert usual is not None
    return difference(usual, other)


def _failure(sandbox: Sandbox, track: Track) -> list[Finding]:
    """Why a run was not completed, unless another check reports the reason."""
    error = sandbox.run(track).error
    known = (NonFiniteLossError, BudgetExceededError)
    if error is None or isinstance(error, known) or _withheld(error, sandbox) or sandbox.run(track).terms.findings:
        return []
    if isinstance(error, UserError):
        return [Finding(str(error), "the method refuses its own defaults", "choose defaults that work in every track")]
    found = f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
    return [Finding(found, "its runs fail, and so would their records", "fix this line, then check again")]


def _withheld(error: Exception, sandbox: Sandbox) -> str:
    """The error's message if it is about withheld labels; empty otherwise."""
    if isinstance(error, LabelsWithheldError):
        return str(error)
    if isinstance(error, LookupError) and "labels are withheld" in str(error):
        return f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
    return ""
