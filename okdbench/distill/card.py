"""What a method declares about itself: hyper-parameters, deviations and its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from okdbench.core.protocol import Track


class BaseHyperparameters(BaseModel):
    """Base of a method's hyper-parameters; declare each with :func:`hyper`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


def hyper(default: Any, doc: str, *, paper: Any = None, when: Mapping[str, Any] | None = None, **limits: Any) -> Any:
    """A hyper-parameter: default, a line of documentation, the paper's value, and limits (``ge``, ``le``, ...).

    ``when`` names the settings of other hyper-parameters without which this one has no effect.
    """
    return Field(default, description=doc, json_schema_extra={"paper": paper, "when": dict(when or {})}, **limits)


def legacy(theirs: str, ours: str, *, when: Mapping[str, Any] | None = None) -> Any:
    """A switch that restores what released code does instead of ours; off. It is also a deviation of the method."""
    extra: dict[str, Any] = {"theirs": theirs, "ours": ours, "when": dict(when or {}), "paper": None}
    return Field(False, description=f"restore: {theirs}", json_schema_extra=extra)


@dataclass(frozen=True)
class Deviation:
    """One point where this code differs from the paper or from the authors' released code."""

    topic: str
    theirs: str
    ours: str
    switch: str = ""


@dataclass(frozen=True)
class Card:
    """What a reader must know of a method before trusting a number of it.

    ``reads`` lists what it takes from the outside; ``role`` is ``baseline`` for the row that gains are counted from;
    ``paper`` has the authors' values of hyper-parameters that the method inherits;
    ``deviations`` are those that no switch restores, see :meth:`Method.deviations`.
    """

    title: str
    venue: str
    year: int
    url: str
    reads: tuple[str, ...]
    tracks: tuple[Track, ...] = (Track.LABELLED,)
    role: Literal["method", "reference", "baseline"] = "method"
    paper: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()
