"""The supervised stage on the student's domain: a row of its own, and what follows every data-free method there."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F

from okdbench.data.loader import Batch
from okdbench.distill.method import Clock, Losses, Stage, Task, Trainable
from okdbench.distill.optim import adam

LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4


class FineTuning(Trainable):
    """Cross-entropy on labelled pictures with Adam at a constant rate, as AuG-KD's baselines do.

    A data-free method X with this stage behind it is the literature's "X+"; the recipe is the same for all.
    """

    def __init__(self, task: Task, lr: float = LEARNING_RATE, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(task.device, task.meter)
        self._student = task.student
        self._steps = task.student_images // task.batch_size
        optimizer = adam(task.student, lr, weight_decay=weight_decay)
        self._learner = self.own("student in fine-tuning", task.student, optimizer)

    def stages(self) -> Sequence[Stage]:
        """One stage."""
        return [Stage("fine-tuning", self._steps, self._step, data="labelled")]

    def _step(self, batch: Batch) -> Losses:
        loss = F.cross_entropy(self._student(batch.images), batch.labels)
        self._learner.update(loss)
        return {"cross_entropy": loss}


class Chain(Trainable):
    """Several trainables, one after the other, as one."""

    def __init__(self, *parts: Trainable) -> None:
        self._parts = parts
        self.state = {name: part for trainable in parts for name, part in trainable.state.items()}

    def tell(self, clock: Clock) -> None:
        """Tell every part the time."""
        for part in self._parts:
            part.tell(clock)

    def stages(self) -> Sequence[Stage]:
        """The stages of all parts."""
        return [stage for part in self._parts for stage in part.stages()]
