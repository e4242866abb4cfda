"""The student trained on the teacher's own images with labels: what is possible without distillation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from okdbench.api import BaseHyperparameters, Card, Method, Stage, TaskKind, Track, hyper
from okdbench.distill.finetune import LEARNING_RATE, WEIGHT_DECAY, FineTuning


class Scratch(Method):
    """Cross-entropy on the teacher's training images, which no other method sees."""

    card = Card(
        title="The student trained on the teacher's own images",
        venue="reference row",
        year=2026,
        url="",
        reads=("the teacher's labelled training images",),
        tasks=(TaskKind.TRANSFER, TaskKind.DATA_FREE),
        tracks=(Track.LABEL_FREE,),
        role="privileged",
    )

    class Hyperparameters(BaseHyperparameters):
        """The optimiser of fine-tuning."""

        lr: float = hyper(LEARNING_RATE, "learning rate of Adam, constant", gt=0, le=1)
        weight_decay: float = hyper(WEIGHT_DECAY, "weight decay of Adam", ge=0, le=1)

    hp: Hyperparameters

    def setup(self) -> None:
        self.tuning = FineTuning(self.task, self.hp.lr, self.hp.weight_decay)
        self.state = self.tuning.state

    def stages(self) -> Sequence[Stage]:
        return [replace(stage, name="supervised", data="teacher_train") for stage in self.tuning.stages()]
