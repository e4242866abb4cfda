"""DFQ: adversarial distillation with batch-norm statistics, confident predictions and balanced classes."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from okdbench.api import Card, Deviation, Paper, Schedule, Stage, TaskKind, Track, hyper, legacy
from okdbench.distill.adversarial import PRIORS, QUICK, DataFree, Priors, SGDHyperparameters, teacher_as_student
from okdbench.distill.losses import batch_norm_kl
from okdbench.distill.networks.generators import HeadKind
from okdbench.distill.optim import cosine_overrun

#: search range of the three weights
SMALL = (1e-3, 1.0)


class DFQ(DataFree):
    """L_G = -KL(T || S) + 0.01 (sum p ln p + mean entropy + KL of batch-norm statistics); L_S = KL(T || S)."""

    card = Card(
        title="Data-Free Network Quantization With Adversarial Knowledge Distillation",
        venue="CVPR Workshops",
        year=2020,
        url="https://arxiv.org/abs/2005.04136",
        release="da2so/Data-Free_Network_Quantization_With_Adversarial_Knowledge_Distillation@c7c9d46",
        reads=("teacher logits, input gradients and batch-norm statistics",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "official code",
                "none; two re-implementations disagree in signs",
                "the signs of the first, da2so's",
                where="Hao840/CDFKD-MFS@9197b94 DFQ.py:125; da2so@c7c9d46 dfqad.py:85",
            ),
            Deviation(
                "weight 0.01",
                "da2so's; the paper's value is unknown",
                "the same, one hyper-parameter per term",
                where="@9c40587 main.py:29",
            ),
            Deviation(
                "warm-up",
                "da2so: 20,000 generator steps",
                "1000; the student is not trained in it",
                where="dfqad.py:146",
            ),
            Deviation("schedules", "da2so: cosine of G and S, per epoch", "per update", where="dfqad.py:127"),
            Deviation("student", "da2so: Nesterov momentum", "momentum", where="@9c40587 utils/core.py:28"),
            Deviation(
                "variance of a batch",
                "da2so: biased",
                "unbiased, as running statistics are",
                where="@9c40587 utils/core.py:56",
            ),
            Deviation(
                "divergence of statistics",
                "da2so: without epsilon",
                "epsilon of batch norm beside each variance",
                where="@9c40587 utils/core.py:69",
            ),
            Deviation(
                "generator in the student's steps",
                "da2so: eval mode",
                "train mode, as in its own step",
                where="dfqad.py:103",
            ),
        ),
    )

    class Hyperparameters(SGDHyperparameters):
        """Values of the re-implementation whose signs follow the paper."""

        latent: int = hyper(512, "latent dimensions", paper=512, ge=2, le=4096)
        head: HeadKind = hyper("tanh_bn", "end of the generator", paper="tanh_bn")
        stem: int = hyper(2, "channels of the generator's first stage, in widths", paper=2, ge=1, le=8)
        generator_beta1: float = hyper(0.5, "Adam's beta_1, generator", paper=0.5, ge=0, lt=1)
        weight_decay: float = hyper(0.0, "weight decay, student, data-free stage", paper=0, ge=0, le=1)
        inner_steps: int = hyper(10, "student steps per generator step", paper=10, ge=1, le=100)
        warm_up: int = hyper(1000, "generator steps on the priors alone", paper=20_000, ge=0)
        entropy: float = hyper(0.01, "weight of the predictions' entropy", paper=0.01, ge=0, search=SMALL)
        balance: float = hyper(0.01, "weight of the class balance, in nats", paper=0.01, ge=0, search=SMALL)
        bn: float = hyper(0.01, "weight of the divergence of batch-norm statistics", paper=0.01, ge=0, search=SMALL)
        legacy_teacher_as_student: bool = teacher_as_student()
        legacy_cosine_overrun: bool = legacy(
            "the generator's cosine runs beyond its end and rises", "cosine over all steps", "dfqad.py:176"
        )

    # da2so: 50 epochs of 400 generator steps, then 200 epochs of 400 iterations
    presets = DataFree.presets | {
        "smoke": {"generator_width": 8, "warm_up": 2},
        "quick": {**QUICK, "warm_up": 20},
    }
    # 200 epochs of 400 iterations after 50 of warm-up
    papers: ClassVar = {"": Paper(256, {"data_free_steps": 80_000, "warm_up": 20_000}, "main.py:24-35; dfqad.py:146")}

    def setup(self) -> None:
        self.prepare(self.task.student_images, self.hp.warm_up)

    def generator_schedule(self, warm_up: int) -> Schedule:
        # the release steps the schedule in the warm-up as well, but its length is that of the iterations alone
        return cosine_overrun(self.iterations) if self.hp.legacy_cosine_overrun else super().generator_schedule(warm_up)

    def available_priors(self) -> Priors:
        return PRIORS | {"bn": lambda output: batch_norm_kl(output.bn)}

    def stages(self) -> list[Stage]:
        return [Stage("warm-up", self.hp.warm_up, self.prior_step), *super().stages()]

    def adversary_logits(self, images: Tensor) -> Tensor:
        # KL(T || T) = 0 has no gradient, so with this switch only the priors train the generator
        return self.teacher(images) if self.hp.legacy_teacher_as_student else super().adversary_logits(images)
