"""The checks in the order in which they are made: each looks at the runs of a bench and returns what it found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from okdbench.checks.finding import Finding, in_each, mentions, place
from okdbench.checks.guards import Overspent
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
    """A rule, what finds the breaches of it, and whether it needs runs that come to their end."""

    title: str
    find: Callable[[Sandbox], list[Finding]]
    needs_runs: bool = True


def runs(bench: Sandbox) -> list[Finding]:
    """A run of budget smoke comes to its end in every track."""
    return in_each(bench.tracks, lambda track: _failure(bench, track))


def terms(bench: Sandbox) -> list[Finding]:
    """Every step returns finite scalar tensors by name."""
    return in_each(bench.tracks, lambda track: bench.run(track).terms.findings)


def randomness(bench: Sandbox) -> list[Finding]:
    """Nothing random is used but what the run's seed reaches."""
    return in_each(bench.tracks, lambda track: bench.run(track).random.findings)


def teacher(bench: Sandbox) -> list[Finding]:
    """Weights, buffers and mode of the teacher stay as they are."""
    return in_each(bench.tracks, lambda track: bench.run(track).teacher.findings)


def budget(bench: Sandbox) -> list[Finding]:
    """The student learns from no more pictures than the budget has."""
    return in_each(bench.tracks, lambda track: bench.run(track).budget.findings)


def repetition(bench: Sandbox) -> list[Finding]:
    """The runner's own run with the same seed ends with the same bits."""

    def look(track: Track) -> list[Finding]:
        record, folder = bench.record(track)
        found = record.error if record.status == "failed" else _difference(bench, track, Result.of(record, folder))
        means = "nobody could repeat a number of it, and a difference between methods may be chance"
        cure = (
            "draw from self.task.rng alone; no generator, clock or order of a set of its own, nothing kept in globals"
            + mentions(bench.method, r"default_rng|Generator\(|\btime\.|\bset\(|\bglobal\b")
        )
        return [Finding(f"two runs with the same seed differ: {found}", means, cure)] if found else []

    return in_each(bench.running, look)


def resumption(bench: Sandbox) -> list[Finding]:
    """A run that is interrupted in the middle of each stage ends with the same bits."""

    def look(track: Track) -> list[Finding]:
        try:
            found = _difference(bench, track, bench.interrupted(track))
        except Exception as error:
            found = f"{place(error, bench.method)}: {one_line(error, kind=True)}"
        hidden = bench.run(track).memory.changed
        kept = f"; {', '.join(hidden)} changed in the run and is in no checkpoint" if hidden else ""
        means = "it keeps state that it has not registered, so whoever resumes a run gets another student"
        cure = (
            "register it: self.own(...) or self.place(...) for a module, self.state[name] = thing for anything with "
            "state_dict() and load_state_dict(); self.clock knows the step"
        )
        return [Finding(f"a resumed run differs: {found}{kept}", means, cure)] if found else []

    return in_each(bench.running, look)


def labels(bench: Sandbox) -> list[Finding]:
    """In the label-free track no label is asked for, and other labels change nothing."""
    track = Track.LABEL_FREE
    if track not in bench.tracks:
        return []
    run = bench.run(track)
    found = _withheld(run.error, bench) if run.error else ""
    if run.result:
        other = bench.changed(track, permuted)
        if (other.selected, other.last) != (run.result.selected, run.result.last):
            found = "with permuted labels the student of the label-free track is another one: labels reach it"
    means = "its card names the label-free track, in which no label of the student's domain may be read"
    cure = (
        'ask for data="images" where self.task.track is Track.LABEL_FREE, and for pictures through stages alone, or '
        "leave Track.LABEL_FREE out of the card's tracks"
    )
    return [Finding(found, means, cure)] if found else []


def permuted(splits: Splits) -> Splits:
    """The same pictures with other labels in all parts of the student's domain."""
    parts = {name: part for name, part in vars(splits).items() if name.startswith("student")}
    return replace(splits, **{name: _relabelled(part) for name, part in parts.items()})


CHECKS = (
    Check("its card says what a reader must know", card_gaps, needs_runs=False),
    Check("it imports only okdbench.api and okdbench.distill", imports_beyond, needs_runs=False),
    Check("it reads no label in the label-free track", labels, needs_runs=False),
    Check("it runs at budget smoke", runs, needs_runs=False),
    Check("its loss terms are finite", terms, needs_runs=False),
    Check("it keeps to the budget", budget, needs_runs=False),
    Check("it leaves the teacher alone", teacher, needs_runs=False),
    Check("it draws from the run's generator alone", randomness, needs_runs=False),
    Check("the same seed gives the same bits", repetition),
    Check("a resumed run ends with the same bits", resumption),
    Check("every hyper-parameter changes the training", idle_settings),
)


def _relabelled(images: Images) -> Images:
    return replace(images, labels=np.random.default_rng(0).permutation(images.labels))


def _difference(bench: Sandbox, track: Track, other: Result) -> str:
    usual = bench.run(track).result
    assert usual is not None
    return difference(usual, other)


def _failure(bench: Sandbox, track: Track) -> list[Finding]:
    """Why the run did not end, unless another check is there to tell."""
    error = bench.run(track).error
    known = (NonFiniteLossError, Overspent)
    if error is None or isinstance(error, known) or _withheld(error, bench) or bench.run(track).terms.findings:
        return []
    if isinstance(error, UserError):
        return [Finding(str(error), "the method refuses its own defaults", "choose defaults that work everywhere")]
    found = f"{place(error, bench.method)}: {one_line(error, kind=True)}"
    return [Finding(found, "no run of it ends; its records would say failed", "mend that line, then check again")]


def _withheld(error: Exception, bench: Sandbox) -> str:
    """What the error says of labels that were asked for in vain."""
    if isinstance(error, LabelsWithheldError):
        return str(error)
    if isinstance(error, LookupError) and "labels are withheld" in str(error):
        return f"{place(error, bench.method)}: {one_line(error, kind=True)}"
    return ""
