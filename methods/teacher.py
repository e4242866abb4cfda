"""The teacher as released, without any student: the gap that distillation has to close."""

from __future__ import annotations

from collections.abc import Sequence

from okdbench.api import Card, Deviation, Losses, Method, Stage, Track
from okdbench.distill.networks.wrapper import ClassifierWrapper


class TeacherItself(Method):
    """Evaluates the frozen teacher on the student's domain; nothing is trained."""

    card = Card(
        title="The teacher, zero-shot on the student's domain",
        venue="reference row",
        year=2026,
        url="",
        reads=("teacher logits",),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
        role="reference",
        deviations=(Deviation("teacher's schedule", "AuG-KD: constant", "warm-up and cosine: short budgets converge"),),
    )

    @property
    def answer(self) -> ClassifierWrapper:
        return self.teacher

    def stages(self) -> Sequence[Stage]:
        return [Stage("as released", 0, self.step)]

    def step(self) -> Losses:
        return {}
