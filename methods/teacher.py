"""The teacher as released, without a student: the reference for the performance gap to the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from okdbench.api import Card, Deviation, Losses, Method, Stage, TaskKind, Track
from okdbench.distill.networks.wrapper import ClassifierWrapper


class TeacherItself(Method):
    """Evaluates the frozen teacher on the test images; nothing is trained."""

    card = Card(
        title="The teacher as released",
        venue="reference row",
        year=2026,
        url="",
        reads=("teacher logits",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        role="reference",
        deviations=(Deviation("teacher's schedule", "AuG-KD: constant", "warm-up and cosine: short budgets converge"),),
    )

    @property
    def evaluated_network(self) -> ClassifierWrapper:
        return self.teacher

    def stages(self) -> Sequence[Stage]:
        # a stage without steps: the network is evaluated at its end
        return [Stage("as released", 0, self.step)]

    def step(self) -> Losses:
        return {}
