"""The checks in the order in which they run; each examines the runs of a sandbox and returns its findings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from okdbench.checks.finding import Finding, in_each, mentions, place
from okdbench.checks.guards import BudgetExceededError
from okdbench.checks.hyperparameters import idle_settings
from okdbench.checks.import_wall import imports_beyond
from okdbench.checks.metadata import card_gaps
from okdbench.checks.observer import Result, difference
from okdbench.checks.sandbox import Case, Sandbox
from okdbench.checks.search_ranges import bad_ranges
from okdbench.core.errors import NonFiniteLossError, UserError, one_line
from okdbench.core.folds import hash_of
from okdbench.core.protocol import Track
from okdbench.data.images import Images
from okdbench.data.splits import Splits
from okdbench.training.trial import WithheldError


class Check(NamedTuple):
    """A rule, the function that finds violations of it, and whether that function needs runs that were completed."""

    title: str
    find: Callable[[Sandbox], list[Finding]]
    needs_runs: bool = True


def runs(sandbox: Sandbox) -> list[Finding]:
    """A run with budget smoke is completed in every task and track."""
    return in_each(sandbox.cases, lambda case: _failure(sandbox, case))


def terms(sandbox: Sandbox) -> list[Finding]:
    """Every step returns named, finite scalar tensors."""
    return in_each(sandbox.cases, lambda case: sandbox.run(case).terms.findings)


def randomness(sandbox: Sandbox) -> list[Finding]:
    """All random numbers come from generators that the run's seed determines."""
    return in_each(sandbox.cases, lambda case: sandbox.run(case).random.findings)


def teacher(sandbox: Sandbox) -> list[Finding]:
    """Weights, buffers and mode of the teacher do not change."""
    return in_each(sandbox.cases, lambda case: sandbox.run(case).teacher.findings)


def budget(sandbox: Sandbox) -> list[Finding]:
    """The student is trained on at most as many images as the budget has."""
    return in_each(sandbox.cases, lambda case: sandbox.run(case).budget.findings)


def repetition(sandbox: Sandbox) -> list[Finding]:
    """A second run with the same seed, made by the runner, is bitwise identical."""

    def look(case: Case) -> list[Finding]:
        record, folder = sandbox.record(case)
        # the observed run was completed, so a failure here is a difference too
        found = record.error if record.status == "failed" else _difference(sandbox, case, Result.of(record, folder))
        means = "its numbers cannot be reproduced, and a difference to another method may be due to chance"
        cure = (
            "draw from self.task.rng only; use no other generator, no clock, no order of a set and no global state"
            + mentions(sandbox.method, r"default_rng|Generator\(|\btime\.|\bset\(|\bglobal\b")
        )
        return [Finding(f"two runs with the same seed differ: {found}", means, cure)] if found else []

    return in_each(sandbox.running, look)


def resumption(sandbox: Sandbox) -> list[Finding]:
    """A run that is interrupted and resumed in the middle of each stage is bitwise identical."""

    def look(case: Case) -> list[Finding]:
        try:
            found = _difference(sandbox, case, sandbox.interrupted(case))
        # state that no checkpoint has may also make the resumed run fail
        except Exception as error:
            found = f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
        # from the uninterrupted run, which shows everything that changes on the way
        hidden = sandbox.run(case).hidden.changed
        kept = f"; {', '.join(hidden)} changed in the run and is in no checkpoint" if hidden else ""
        means = "it keeps state that it has not registered, so a resumed run gives another student"
        cure = (
            "register it: self.own(...) or self.place(...) for a module, self.state[name] = object for anything with "
            "state_dict() and load_state_dict(); self.clock knows the step"
        )
        return [Finding(f"a resumed run differs: {found}{kept}", means, cure)] if found else []

    return in_each(sandbox.running, look)


def withheld(sandbox: Sandbox) -> list[Finding]:
    """No stage requests what its task or track withholds, and permuting withheld labels changes nothing."""
    hiding = [case for case in sandbox.cases if case.track is not Track.LABELLED]
    return in_each(hiding, lambda case: _leak(sandbox, case))


def _leak(sandbox: Sandbox, case: Case) -> list[Finding]:
    run = sandbox.run(case)
    found = _withheld(run.error, sandbox) if run.error else ""
    if run.result:
        labelled = sandbox.plan(case).access.labelled.paths
        other = sandbox.changed(case, lambda splits: permuted(splits, labelled))
        # the weights alone, because permuted labels change the accuracies in any case
        student = other.last if case.track is Track.SEMI else (other.selected, other.last)
        usual = run.result.last if case.track is Track.SEMI else (run.result.selected, run.result.last)
        if student != usual:
            found = "with permuted labels the student is another one: withheld labels reach it"
    means = "its card names this task and track, in which a method must not read these labels or images"
    cure = (
        'request data="images" where self.task.track is Track.LABEL_FREE, no data where self.task.kind is '
        "TaskKind.DATA_FREE, and get images from stages only; or leave it out of the card's tasks or tracks"
    )
    return [Finding(found, means, cure)] if found else []


def permuted(splits: Splits, labelled: Sequence[str] = ()) -> Splits:
    """The same images with permuted labels in the parts that a method may be selected by or trained on.

    Args:
        splits: images of a run.
        labelled: paths of images that keep their label, and keep being chosen as those that have one.
    """
    return replace(
        splits, train=_relabelled(splits.train, labelled), val=_relabelled(splits.val), test=_relabelled(splits.test)
    )


# what needs no run comes first, and what makes the most runs comes last
CHECKS = (
    Check("its card is complete", card_gaps, needs_runs=False),
    Check("its search ranges hold its defaults", bad_ranges, needs_runs=False),
    Check("it imports only okdbench.api and okdbench.distill", imports_beyond, needs_runs=False),
    Check("it reads nothing that is withheld", withheld, needs_runs=False),
    Check("it runs at budget smoke", runs, needs_runs=False),
    Check("its loss terms are finite", terms, needs_runs=False),
    Check("it stays within the budget", budget, needs_runs=False),
    Check("it does not change the teacher", teacher, needs_runs=False),
    Check("it draws from the run's generator only", randomness, needs_runs=False),
    Check("the same seed gives the same result, bit for bit", repetition),
    Check("a resumed run gives the same result, bit for bit", resumption),
    Check("every hyper-parameter changes the training", idle_settings),
)


def _relabelled(images: Images, kept: Sequence[str] = ()) -> Images:
    # the labelled images are the first of each class, so an image before one of them might take its place
    last = max((hash_of(path) for path in kept), default=b"")
    free = np.array([hash_of(path) > last for path in images.paths], dtype=bool)
    labels = images.labels.copy()
    # a fixed seed, so that a repeated check finds the same
    labels[free] = np.random.default_rng(0).permutation(labels[free])
    return replace(images, labels=labels)


def _difference(sandbox: Sandbox, case: Case, other: Result) -> str:
    usual = sandbox.run(case).result
    assert usual is not None
    return difference(usual, other)


def _failure(sandbox: Sandbox, case: Case) -> list[Finding]:
    """Why a run was not completed, unless another check reports the reason."""
    error = sandbox.run(case).error
    known = (NonFiniteLossError, BudgetExceededError)
    if error is None or isinstance(error, known) or _withheld(error, sandbox) or sandbox.run(case).terms.findings:
        return []
    if isinstance(error, UserError):
        return [
            Finding(
                str(error), "the method refuses its own defaults", "choose defaults that work in every task and track"
            )
        ]
    found = f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
    return [Finding(found, "its runs fail, and so would their records", "fix this line, then check again")]


def _withheld(error: Exception, sandbox: Sandbox) -> str:
    """The error's message if it is about withheld labels or images; empty otherwise."""
    if isinstance(error, WithheldError):
        return str(error)
    if isinstance(error, LookupError) and "labels are withheld" in str(error):
        return f"{place(error, sandbox.method)}: {one_line(error, kind=True)}"
    return ""
