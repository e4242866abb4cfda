"""Synthesis whose batch-norm statistics are averaged over rounds, and whose adversary joins after the warm-up."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from okdbench.distill.card import BaseHyperparameters, hyper
from okdbench.distill.generator_synthesis import GeneratorSynthesis, GeneratorSynthesisHyperparameters
from okdbench.distill.networks.wrapper import BatchStatistics
from okdbench.distill.optim import Schedule, cosine, raised


class AveragedHyperparameters(GeneratorSynthesisHyperparameters):
    """Values that FastDFKD and NAYER share."""

    rounds: int = hyper(
        200, "rounds of synthesis and training; fewer where the budget has fewer steps", paper=200, ge=1
    )
    warm_up_rounds: int = hyper(20, "rounds of synthesis alone before them, without adversary", paper=20, ge=0)
    bn: float = hyper(10.0, "weight of the batch-norm statistics", paper=10, ge=0, search=(1.0, 100.0))
    bn_momentum: float = hyper(
        0.9, "share of the average over rounds in the statistics; 0: a batch's own", paper=0.9, ge=0, lt=1
    )
    one_hot: float = hyper(
        0.5, "weight of the cross-entropy with the given classes", paper=0.5, ge=0, search=(0.05, 5.0)
    )
    adversarial: float = hyper(1.33, "weight of -D(teacher, student)", paper=1.33, ge=0)
    lr_student: float = hyper(
        0.2, "learning rate of SGD with momentum 0.9, student", paper=0.2, gt=0, le=1, search=(0.01, 0.5)
    )
    lr_student_end: float = hyper(2e-4, "the same at the end of its cosine", paper=2e-4, ge=0, le=1)


class StatisticsAverage:
    """A moving average, over rounds, of the mean and variance of images at each batch norm of the teacher.

    Images of one round need not have the statistics of the teacher's data, as long as those of many rounds have.

    Args:
        momentum: the weight m of what was before.
    """

    def __init__(self, momentum: float) -> None:
        self._momentum = momentum
        # mean and variance of each layer in turn
        self._average: list[Tensor] = []
        self._newest: list[Tensor] = []

    def blend(self, statistics: Sequence[BatchStatistics]) -> list[BatchStatistics]:
        """Statistics m average + (1 - m) batch; the batch's own as long as there is no average."""
        own = [tensor for layer in statistics for tensor in (layer.mean, layer.var)]
        self._newest = [tensor.detach() for tensor in own]
        blended = torch._foreach_lerp(own, self._average, self._momentum) if self._average else own
        pairs = zip(statistics, blended[::2], blended[1::2], strict=True)
        return [layer._replace(mean=mean, var=var) for layer, mean, var in pairs]

    def update(self) -> None:
        """Add the statistics that were blended last to the average."""
        if self._average:
            self._newest = list(torch._foreach_lerp(self._newest, self._average, self._momentum))
        self._average = self._newest

    def state_dict(self) -> dict[str, Any]:
        """The average, as tensors."""
        return {"average": self._average}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._average = state["average"]


class AveragedSynthesis(GeneratorSynthesis):
    """BN_ema: the L2 distance of m average + (1 - m) batch from the teacher's statistics."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = AveragedHyperparameters
    #: number of the first round that has the adversary; those of the warm-up are below 0
    adversary_from = 0

    def setup(self) -> None:
        """Create the average, the pool and the learners."""
        super().setup()
        self.average = self.state["average"] = StatisticsAverage(self.hp.bn_momentum)

    def schedule(self) -> Schedule:
        """A cosine that ends above 0."""
        return raised(cosine(self.rounds * self.distillation_steps), self.hp.lr_student_end / self.hp.lr_student)

    def bn_term(self, statistics: list[BatchStatistics]) -> Tensor:
        """The distance of the blended statistics from the teacher's."""
        return super().bn_term(self.average.blend(statistics))

    def adversary_plays(self) -> bool:
        """After the warm-up, in which the student learns nothing."""
        return super().adversary_plays() and self.round_number >= self.adversary_from

    def end_round(self) -> None:
        """Put the best images into the pool, and the statistics of the last step into the average."""
        super().end_round()
        if self.hp.bn:
            self.average.update()
