"""Fine-tuning without a teacher: the baseline of every distillation method."""

from __future__ import annotations

from collections.abc import Sequence

from okdbench.api import BaseHyperparameters, Card, Method, Stage, Track, hyper
from okdbench.distill.finetune import LEARNING_RATE, LEARNING_RATES, WEIGHT_DECAY, WEIGHT_DECAYS, FineTuning


class FineTune(Method):
    """Cross-entropy on the student domain's labels (the literature's "w/o KD")."""

    card = Card(
        title="Fine-tuning without a teacher (w/o KD)",
        venue="AuG-KD's baseline, ICLR",
        year=2024,
        url="https://arxiv.org/abs/2403.07030",
        reads=("labelled student-domain images",),
        tracks=(Track.LABELLED, Track.SEMI),
        role="baseline",
    )

    class Hyperparameters(BaseHyperparameters):
        """Optimiser settings of AuG-KD's baselines."""

        lr: float = hyper(
            LEARNING_RATE, "learning rate of Adam, constant", paper=1e-3, gt=0, le=1, search=LEARNING_RATES
        )
        weight_decay: float = hyper(WEIGHT_DECAY, "weight decay of Adam", paper=1e-4, ge=0, le=1, search=WEIGHT_DECAYS)

    hp: Hyperparameters

    def setup(self) -> None:
        # the same code as the stage that follows data-free methods, so that their rows differ in the start alone
        self.tuning = FineTuning(self.task, self.hp.lr, self.hp.weight_decay)
        self.state = self.tuning.state

    def stages(self) -> Sequence[Stage]:
        return self.tuning.stages()
