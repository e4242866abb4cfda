"""Checks of a method's card and presets, which need no run."""

from __future__ import annotations

from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox
from okdbench.core.config import check_hyperparameters
from okdbench.core.errors import UserError, unknown
from okdbench.core.protocol import BUDGETS, tracks_of
from okdbench.distill.card import Card

#: the value of ``Card.venue`` for methods that have no URL yet
UNPUBLISHED = "unpublished"


def card_gaps(sandbox: Sandbox) -> list[Finding]:
    """What is missing on the card, and presets that no run can use."""
    # the base class only declares the attribute, so it may be missing
    card = getattr(sandbox.method, "card", None)
    if not isinstance(card, Card):
        return [_gap("there is no card", "write card = Card(title=..., venue=..., year=..., url=..., reads=(...))")]
    fields = sandbox.method.Hyperparameters.model_fields
    gaps = [
        (not card.title, "its title is empty", "give the paper's title, or describe the method in a few words"),
        (not card.reads, "reads is empty", 'list the inputs of the method, such as "teacher logits"'),
        (not card.tasks, "tasks is empty", "name TaskKind.ADAPT, or tuple(TaskKind) for a method that needs no image"),
        (not card.tracks, "tracks is empty", "name Track.LABELLED, Track.LABEL_FREE or all of them: tuple(Track)"),
        *(
            (
                not set(tracks_of(task)) & set(card.tracks),
                f"it plays task {task}, but in none of its tracks",
                f"add Track.{tracks_of(task)[0].name} to the tracks, or leave the task out",
            )
            for task in card.tasks
        ),
        (
            not (card.url or card.role in ("reference", "privileged") or card.venue == UNPUBLISHED),
            "url is empty",
            f"give the paper's URL, or set venue={UNPUBLISHED!r}",
        ),
        *(
            (not field.description, f"the hyper-parameter {name!r} is not described", "declare it with hyper(...)")
            for name, field in fields.items()
        ),
        *(
            (field.default is not False, f"the switch {name!r} is not off by default", "declare it with legacy(...)")
            for name, field in fields.items()
            if name.startswith("legacy_")
        ),
    ]
    return [_gap(found, cure) for missing, found, cure in gaps if missing] + _preset_faults(sandbox)


def _gap(found: str, cure: str) -> Finding:
    return Finding(f"the card: {found}", "readers cannot tell what the numbers of this method mean", cure)


def _preset_faults(sandbox: Sandbox) -> list[Finding]:
    found = []
    # a run reads the preset of its own budget alone, so the runs of the checks would miss the others
    method = sandbox.method
    papers = {f"paper ({name or 'default'})": paper.values for name, paper in method.papers.items()}
    for budget, preset in (*method.presets.items(), *papers.items()):
        try:
            if budget not in (*BUDGETS, *papers):
                raise unknown("budget", budget, BUDGETS)
            check_hyperparameters(method.Hyperparameters, preset, {}, f"budget {budget}")
        except UserError as error:
            found.append(Finding(f"presets: {error}", "no run of this budget can start", "correct the preset"))
    return found
