"""What a method declares about itself: hyper-parameters, deviations from its paper, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind

#: what a row is in a comparison
Role = Literal["method", "reference", "baseline", "privileged"]


class BaseHyperparameters(BaseModel):
    """Base of a method's hyper-parameters; declare each with :func:`hyper`."""

    # strict and finite: a typo such as lr="1e-3" or lr=nan is refused before anything is trained
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


def hyper(
    default: Any,
    doc: str,
    *,
    paper: Any = None,
    when: Mapping[str, Any] | None = None,
    search: Sequence[Any] | None = None,
    **limits: Any,
) -> Any:
    """Declare a hyper-parameter.

    Args:
        default: value at every budget whose preset does not override it.
        doc: one line of documentation, shown by ``okdbench show``.
        paper: the authors' value, if known.
        when: values of other hyper-parameters without which this one has no effect.
        search: what ``okdbench tune`` draws from: lowest and highest number, or the choices; None: it is not tuned.
        limits: limits of the value, as for ``pydantic.Field``: ``ge``, ``gt``, ``le``, ``lt``.
    """
    extra: dict[str, Any] = {"paper": paper, "when": dict(when or {}), "search": search and list(search)}
    return Field(default, description=doc, json_schema_extra=extra, **limits)


def legacy(theirs: str, ours: str, where: str = "", *, when: Mapping[str, Any] | None = None) -> Any:
    """Declare a switch, off by default, that restores the behaviour of released code.

    It is listed among the method's deviations as well.

    Args:
        theirs: what the released code does.
        ours: what this code does while the switch is off.
        where: repository, commit, file and line that show it.
        when: values of other hyper-parameters without which the switch has no effect.
    """
    # both texts are kept beside the field: Method.deviations() and the documentation read them
    extra: dict[str, Any] = {"theirs": theirs, "ours": ours, "where": where, "when": dict(when or {}), "paper": None}
    return Field(False, description=f"restore: {theirs}", json_schema_extra=extra)


@dataclass(frozen=True)
class Paper:
    """The training of a source, which budget ``paper`` repeats.

    Attributes:
        batch_size: images per student update.
        values: hyper-parameters that differ from the defaults there.
        source: where it is described: section or table of the paper, or repository, commit, file and line.
        missing: what the source has and this does not repeat.
    """

    batch_size: int
    values: Mapping[str, Any]
    source: str
    missing: str = ""


@dataclass(frozen=True)
class Deviation:
    """One point where this code differs from the paper or from the authors' released code.

    Attributes:
        topic: what it is about.
        theirs: what the paper or the release does.
        ours: what this code does.
        switch: the hyper-parameter that restores it; empty if there is none.
        where: repository, commit, file and line that show it, or the place in the paper.
    """

    topic: str
    theirs: str
    ours: str
    switch: str = ""
    where: str = ""


@dataclass(frozen=True)
class Card:
    """What a reader must know about a method before trusting its numbers.

    Attributes:
        title: title of the paper.
        venue: conference or journal.
        year: year of publication.
        url: address of the paper; empty if there is none.
        release: repository and commit of the code that the deviations are from; their places are in it, unless they
            name another. Empty if there is none.
        reads: what the method takes from the teacher and from the images that it sees.
        tasks: tasks that it plays.
        tracks: tracks in which it can run; the tasks transfer and data-free are label-free.
        role: ``baseline`` is the row that gains are measured against; ``privileged`` is a reference row that sees the
            teacher's own training images, which no method may.
        paper: the authors' values of inherited hyper-parameters.
        deviations: those that no switch restores; :meth:`Method.deviations` lists all.
    """

    title: str
    venue: str
    year: int
    url: str
    reads: tuple[str, ...]
    release: str = ""
    tasks: tuple[TaskKind, ...] = (TaskKind.ADAPT,)
    tracks: tuple[Track, ...] = (Track.LABELLED,)
    role: Role = "method"
    paper: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()
