"""The tasks and tracks in which methods are tested: one per method in the usual tests, all in the slow ones."""

from __future__ import annotations

from typing import Any

import pytest

from okdbench import registry
from okdbench.checks.sandbox import SHOTS, Case
from okdbench.core import plugins
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import TaskKind

#: one of each kind, whose cases are all tested in the usual tests: real images, generated ones with real ones, neither
THOROUGH = ("kd", "mosaickd", "dafl")
SETTINGS = {TaskKind.ADAPT: "MO-P", TaskKind.TRANSFER: "MO@P", TaskKind.DATA_FREE: "MO"}


def cases_of(method: str) -> list[Case]:
    """Every task and track of a method."""
    card = registry.load_method(method).card
    return [Case(task, track) for task in card.tasks for track in tracks_of(task) if track in card.tracks]


def one_per_task(method: str) -> list[Case]:
    """The first case of each task."""
    return list({case.task: case for case in reversed(cases_of(method))}.values())


def all_cases() -> list[Any]:
    """Method and case as parameters of a test; those that repeat what another shows are slow."""
    return [
        pytest.param(
            method,
            case,
            id=f"{method}-{case.task}-{case.track}",
            marks=() if method in THOROUGH or case == cases_of(method)[0] else pytest.mark.slow,
        )
        for method in plugins.method_names()
        for case in cases_of(method)
    ]


def options_of(case: Case) -> dict[str, Any]:
    """The options of a run on the digits in this case."""
    shots = SHOTS if case.track is Track.SEMI else None
    return {"setting": SETTINGS[case.task], "track": case.track, "shots": shots}
