"""Supervised fine-tuning on the student domain: a method of its own, and the last stage of every data-free method."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F

from okdbench.core.errors import UserError
from okdbench.data.loader import Batch
from okdbench.distill.card import BaseHyperparameters, hyper
from okdbench.distill.method import Clock, Losses, Stage, Task, Trainable
from okdbench.distill.optim import adam

# AuG-KD's README example (Office-31, A+W -> DSLR); its command line defaults to a weight decay of 1e-5
LEARNING_RATE = 1e-3
WEIGHT_DECAY = 1e-4
#: search ranges of okdbench tune, for Adam on real images
LEARNING_RATES, WEIGHT_DECAYS = (1e-4, 1e-2), (1e-6, 1e-2)


class ChainHyperparameters(BaseHyperparameters):
    """For methods that the shared fine-tuning stage follows where there are labels."""

    data_free_share: float = hyper(0.5, "share of the training images before the fine-tuning stage", gt=0, lt=1)


def data_free_share(hp: BaseHyperparameters) -> float:
    """Share of the budget that a method has before the shared fine-tuning stage.

    Raises:
        UserError: its hyper-parameters have no such share.
    """
    if not isinstance(hp, ChainHyperparameters):
        raise UserError(
            "a data-free method is fine-tuned in the end, so its Hyperparameters need a data_free_share: derive them "
            "from okdbench.distill.finetune.ChainHyperparameters"
        )
    return hp.data_free_share


class FineTuning(Trainable):
    """Cross-entropy on labelled images with Adam at a constant learning rate, as in AuG-KD's baselines.

    A data-free method X followed by this stage is the literature's "X+"; the recipe is the same for all methods.
    """

    def __init__(self, task: Task, lr: float = LEARNING_RATE, weight_decay: float = WEIGHT_DECAY) -> None:
        super().__init__(task.device, task.meter)
        self._student = task.student
        self._steps = task.student_images // task.batch_size
        # a new optimiser: the momenta of the data-free stage belong to another loss
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
    """Trainables in sequence, as one: their stages are concatenated and their states merged.

    Args:
        first: the trainable that runs first; its device and meter are those of the chain.
        others: the trainables that follow.
    """

    def __init__(self, first: Trainable, *others: Trainable) -> None:
        super().__init__(first._device, first._meter)
        self._parts = (first, *others)
        for part in self._parts:
            self.state.update(part.state)

    def set_clock(self, clock: Clock) -> None:
        """Set the clock of the chain and of every part, because any of them may own the running stage."""
        super().set_clock(clock)
        for part in self._parts:
            part.set_clock(clock)

    def stages(self) -> Sequence[Stage]:
        """The stages of all parts."""
        return [stage for part in self._parts for stage in part.stages()]
