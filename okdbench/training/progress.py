"""What the training loop reports while it runs. How that is displayed is not decided here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from okdbench.distill.method import Stage


class ProgressCallback(Protocol):
    """Called every few steps, whenever the losses have been read back from the device."""

    def __call__(self, stage: Stage, step: int, losses: dict[str, float], learned: int) -> None:
        """Report progress.

        Args:
            stage: the running stage.
            step: the number of its last finished step, from 0.
            losses: the loss terms of that step.
            learned: images learned from since this process entered the stage, by all networks together.
        """


def quiet(stage: Stage, step: int, losses: dict[str, float], learned: int) -> None:
    """Display nothing."""
