"""Fine-tuning without a teacher: what every distillation method has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F

from okdbench.api import BaseHyperparameters, Batch, Card, Losses, Method, Stage, adam, hyper


class FineTune(Method):
    """Cross-entropy on the student domain's labels (the literature's "w/o KD")."""

    card = Card(
        title="Fine-tuning without a teacher (w/o KD)",
        venue="AuG-KD's baseline, ICLR",
        year=2024,
        url="https://arxiv.org/abs/2403.07030",
        reads=("labelled student-domain pictures",),
        role="baseline",
    )

    class Hyperparameters(BaseHyperparameters):
        """Optimiser settings of AuG-KD's baselines."""

        lr: float = hyper(1e-3, "learning rate of Adam, constant", paper=1e-3, gt=0, le=1)
        weight_decay: float = hyper(1e-4, "weight decay of Adam", paper=1e-4, ge=0, le=1)

    hp: Hyperparameters

    def setup(self) -> None:
        optimizer = adam(self.student, self.hp.lr, weight_decay=self.hp.weight_decay)
        self.learner = self.own("student", self.student, optimizer)

    def stages(self) -> Sequence[Stage]:
        steps = self.task.student_images // self.task.batch_size
        return [Stage("finetune", steps, self.step, data="labelled")]

    def step(self, batch: Batch) -> Losses:
        loss = F.cross_entropy(self.student(batch.images), batch.labels)
        self.learner.update(loss)
        return {"cross_entropy": loss}
