"""Distillation on the teacher's own training images: what is possible if they are available."""

from __future__ import annotations

from collections.abc import Sequence

from okdbench.api import BaseHyperparameters, Batch, Card, Losses, Method, Stage, TaskKind, Track, adam, hyper
from okdbench.distill.losses import kl


class OriginalData(Method):
    """KL_tau(T || S) on the teacher's training images, which no other method sees; their labels are unused."""

    card = Card(
        title="Distillation on the teacher's own training images",
        venue="reference row",
        year=2026,
        url="https://arxiv.org/abs/1503.02531",
        reads=("teacher logits", "the teacher's training images"),
        tasks=(TaskKind.TRANSFER, TaskKind.DATA_FREE),
        tracks=(Track.LABEL_FREE,),
        role="privileged",
    )

    class Hyperparameters(BaseHyperparameters):
        """Those of kd."""

        lr: float = hyper(1e-3, "learning rate of Adam, constant", gt=0, le=1)
        weight_decay: float = hyper(1e-4, "weight decay of Adam", ge=0, le=1)
        temperature: float = hyper(10.0, "temperature tau of the soft targets", gt=0, le=100)

    hp: Hyperparameters

    def setup(self) -> None:
        optimizer = adam(self.student, self.hp.lr, weight_decay=self.hp.weight_decay)
        self.learner = self.own("student", self.student, optimizer)

    def stages(self) -> Sequence[Stage]:
        return [Stage("distil", self.task.student_images // self.task.batch_size, self.step, data="teacher_train")]

    def step(self, batch: Batch) -> Losses:
        soft = kl(self.teacher.targets(batch.images), self.student(batch.images), self.hp.temperature)
        self.learner.update(soft)
        return {"kl": soft}
