"""Plain knowledge distillation on real images of another domain than the teacher's."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from okdbench.api import BaseHyperparameters, Batch, Card, Losses, Method, Stage, TaskKind, Track, adam, hyper
from okdbench.distill.finetune import LEARNING_RATES, WEIGHT_DECAYS
from okdbench.distill.losses import kl, partial_cross_entropy


class PlainKD(Method):
    """u * CE + (1 - u) * KL_tau(T || S), the CE on images that have a label; the KL alone in the label-free track.

    In task transfer it is the literature's blind distillation.
    """

    card = Card(
        title="Distilling the Knowledge in a Neural Network",
        venue="NIPS Deep Learning Workshop",
        year=2015,
        url="https://arxiv.org/abs/1503.02531",
        reads=("teacher logits", "real images", "their labels, except in the label-free track"),
        tasks=(TaskKind.ADAPT, TaskKind.TRANSFER),
        tracks=tuple(Track),
        role="reference",
    )

    class Hyperparameters(BaseHyperparameters):
        """Weights and temperature as in AuG-KD's comparison."""

        lr: float = hyper(1e-3, "learning rate of Adam, constant", paper=1e-3, gt=0, le=1, search=LEARNING_RATES)
        weight_decay: float = hyper(1e-4, "weight decay of Adam", paper=1e-4, ge=0, le=1, search=WEIGHT_DECAYS)
        temperature: float = hyper(
            10.0, "temperature tau of the soft targets", paper=10, gt=0, le=100, search=(1.0, 20.0)
        )
        hard_weight: float = hyper(0.5, "weight u of the cross-entropy", paper=0.5, ge=0, le=1, search=(0.0, 1.0))

    hp: Hyperparameters

    def setup(self) -> None:
        optimizer = adam(self.student, self.hp.lr, weight_decay=self.hp.weight_decay)
        self.learner = self.own("student", self.student, optimizer)

    def stages(self) -> Sequence[Stage]:
        steps = self.task.student_images // self.task.batch_size
        # a stage with labels is refused in the label-free track
        if self.task.track is Track.LABEL_FREE:
            return [Stage("distil", steps, self.label_free_step, data="images")]
        return [Stage("distil", steps, self.step, data="partly")]

    def step(self, batch: Batch) -> Losses:
        student_logits = self.student(batch.images)
        hard = partial_cross_entropy(student_logits, batch.labels)
        soft = self.soft_loss(batch, student_logits)
        self.learner.update(self.hp.hard_weight * hard + (1 - self.hp.hard_weight) * soft)
        return {"cross_entropy": hard, "kl": soft}

    def label_free_step(self, batch: Batch) -> Losses:
        soft = self.soft_loss(batch, self.student(batch.images))
        self.learner.update(soft)
        return {"kl": soft}

    def soft_loss(self, batch: Batch, student_logits: Tensor) -> Tensor:
        """KL_tau(T || S), with gradients to the student alone."""
        # kl() includes tau^2, which keeps the weight of the soft targets at any temperature (Hinton et al., Sec. 2)
        return kl(self.teacher.targets(batch.images), student_logits, self.hp.temperature)
