"""What cannot be run, said in one line before anything is loaded: tracks, labels, sizes and networks."""

from __future__ import annotations

from okdbench.core import plugins
from okdbench.core.card_source import bundled_card
from okdbench.core.config import LARGEST_IMAGE, SMALLEST_IMAGE, RunConfig
from okdbench.core.errors import UserError
from okdbench.core.protocol import Track, tracks_of
from okdbench.core.settings import Setting, TaskKind
from okdbench.distill.method import Method


def check_access(name: str, method: type[Method], setting: Setting, track: Track, shots: int | None) -> None:
    """Refuse what a method does not run in, and a number of labels where there are none.

    Args:
        name: the method as it was typed.
        method: its class.
        setting: where it is to run.
        track: the track of the run.
        shots: labels per class; None for all.

    Raises:
        UserError: the combination cannot be run.
    """
    card, task = method.card, setting.task
    if task not in card.tasks:
        raise UserError(
            f"method {name!r} does not play task {task} ({setting.name}), only {', '.join(card.tasks)}; "
            f"these do: {', '.join(players(task))}"
        )
    if track not in tracks_of(task):
        raise UserError(f"task {task} ({setting.name}) has no {track} track, because no label reaches a method there")
    if track not in card.tracks:
        raise UserError(f"method {name!r} does not run in the {track} track; its tracks: {', '.join(card.tracks)}")
    if shots is not None and track is Track.LABEL_FREE:
        raise UserError(f"--shots {shots} counts labels, which the label-free track withholds; leave it out")
    if shots is None and track is Track.SEMI:
        raise UserError(
            "the semi track needs --shots N, the number of labels per class; with all labels it is labelled"
        )


def check_size(config: RunConfig, method: type[Method], note: str) -> None:
    """Refuse a size of images that a method does not take.

    Args:
        config: of the run, with the size.
        method: its class.
        note: what the file of the teacher says; empty without a file.

    Raises:
        UserError: it does not; the message names the nearest sizes that it takes.
    """
    size = config.image_size
    if method.takes_size(size):
        return
    ranges = range(size, SMALLEST_IMAGE - 1, -1), range(size, LARGEST_IMAGE + 1)
    near = [str(found) for sizes in ranges if (found := next(filter(method.takes_size, sizes), None))]
    raise UserError(
        f"method {config.method!r} does not take images of {size} pixels; the nearest that it takes: "
        f"--image-size {' or '.join(near)}" + (f" ({config.teacher_weights} {note})" if note else "")
    )


def players(task: TaskKind, track: str = "") -> list[str]:
    """The bundled methods that play a task, in this track if one is named."""
    # From the sources, because an error must not wait for the import of every method.
    cards = {name: bundled_card(name) for name in plugins.method_names()}
    return [
        name
        for name, card in cards.items()
        if task in card.get("tasks", ()) and (not track or track in card.get("tracks", ()))
    ]
