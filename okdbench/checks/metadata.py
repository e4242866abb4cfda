"""What can be said of a method without running it."""

from __future__ import annotations

from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox
from okdbench.core.config import check_hyperparameters
from okdbench.core.errors import UserError
from okdbench.core.protocol import BUDGETS
from okdbench.distill.card import Card

#: what says in ``Card.venue`` that there is no address yet
UNPUBLISHED = "unpublished"


def card_gaps(bench: Sandbox) -> list[Finding]:
    """What a reader would miss on the card."""
    card = getattr(bench.method, "card", None)
    if not isinstance(card, Card):
        return [_gap("there is no card", "write card = Card(title=..., venue=..., year=..., url=..., reads=(...))")]
    fields = bench.method.Hyperparameters.model_fields
    gaps = [
        (not card.title, "its title is empty", "give the paper's title, or a few words"),
        (not card.reads, "reads is empty", 'list what it takes from outside, such as "teacher logits"'),
        (not card.tracks, "tracks is empty", "name Track.LABELLED, Track.LABEL_FREE or both"),
        (
            not (card.url or card.role == "reference" or card.venue == UNPUBLISHED),
            "url is empty",
            f"give the paper's address, or say venue={UNPUBLISHED!r}",
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
    return [_gap(found, cure) for missing, found, cure in gaps if missing] + _preset_faults(bench)


def _gap(found: str, cure: str) -> Finding:
    return Finding(f"the card: {found}", "a reader cannot know what a number of this method stands for", cure)


def _preset_faults(bench: Sandbox) -> list[Finding]:
    found = []
    for budget, preset in bench.method.presets.items():
        try:
            if budget not in BUDGETS:
                raise UserError(f"there is no budget {budget!r}; there are {', '.join(BUDGETS)}")
            check_hyperparameters(bench.method.Hyperparameters, preset, {}, f"budget {budget}")
        except UserError as error:
            found.append(Finding(f"presets: {error}", "no run of this budget can start", "correct the preset"))
    return found
