"""The tasks and tracks in which methods are tested: some in the usual tests, all in the slow ones."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import pytest

from okdbench import registry
from okdbench.checks.sandbox import SHOTS, Case
from okdbench.core import plugins
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import TaskKind

#: one of each kind, which stand for all methods where these share the code: real images, generated ones with real ones,
#: neither, two networks in one stage, and the teacher's own images
KINDS = ("kd", "mosaickd", "dafl", "augkd", "original")
SETTINGS = {TaskKind.ADAPT: "MO-P", TaskKind.TRANSFER: "MO@P", TaskKind.DATA_FREE: "MO"}


def cases_of(method: str) -> list[Case]:
    """Every task and track of a method."""
    card = registry.load_method(method).card
    return [Case(task, track) for task in card.tasks for track in tracks_of(task) if track in card.tracks]


def one_per_task(method: str) -> list[Case]:
    """The first case of each task."""
    return list({case.task: case for case in reversed(cases_of(method))}.values())


def all_methods(*more: str) -> list[Any]:
    """Methods as parameters of a test; those that repeat what another of their kind shows are slow, except ``more``."""
    usual = (*KINDS, *more)
    return [
        pytest.param(method, marks=() if method in usual else pytest.mark.slow) for method in plugins.method_names()
    ]


def all_cases(usual: Collection[str]) -> list[Any]:
    """Method and case as parameters; slow but for one method in each case, and each ``usual`` method in one case."""
    first = {case: method for method in reversed(KINDS) for case in cases_of(method)}
    return [
        pytest.param(
            method,
            case,
            id=f"{method}-{case.task}-{case.track}",
            marks=() if method == first.get(case) or (place == 0 and method in usual) else pytest.mark.slow,
        )
        for method in plugins.method_names()
        for place, case in enumerate(cases_of(method))
    ]


def options_of(case: Case) -> dict[str, Any]:
    """The options of a run on the digits in this case."""
    shots = SHOTS if case.track is Track.SEMI else None
    return {"setting": SETTINGS[case.task], "track": case.track, "shots": shots}
