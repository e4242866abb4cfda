"""DFAD: adversarial training on logits alone, which needs nothing of the teacher but gradients."""

from __future__ import annotations

from typing import ClassVar

from torch import Tensor

from okdbench.api import Card, Deviation, Paper, TaskKind, Track, hyper
from okdbench.distill.adversarial import QUICK, DataFree, SGDHyperparameters, teacher_as_student
from okdbench.distill.losses import l1
from okdbench.distill.networks.generators import HeadKind


class DFAD(DataFree):
    """L_G = -mean|T - S|, L_S = mean|T - S| of logits, with five student steps per generator step."""

    card = Card(
        title="Data-Free Adversarial Distillation",
        venue="arXiv",
        year=2019,
        url="https://arxiv.org/abs/1912.11006",
        release="VainF/Data-Free-Adversarial-Distillation@053861f",
        reads=("teacher logits and input gradients",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "order in an iteration",
                "release: student steps, then generator",
                "generator first, as in the others",
                where="DFAD_cifar.py:24",
            ),
            Deviation(
                "schedule",
                "release: x0.1 at 1/5 and 2/5, optional",
                "cosine; as released at budget paper",
                where="DFAD_cifar.py:154",
            ),
            Deviation("student in the generator's step", "release: train mode", "eval mode", where="DFAD_cifar.py:19"),
        ),
    )

    class Hyperparameters(SGDHyperparameters):
        """Values of the release."""

        latent: int = hyper(256, "latent dimensions", paper=256, ge=2, le=4096)
        head: HeadKind = hyper("tanh_bn", "end of the generator", paper="tanh_bn")
        stem: int = hyper(2, "channels of the generator's first stage, in widths", paper=2, ge=1, le=8)
        adaptive: bool = hyper(
            False, "the generator maximises log(1 + D): its gradient shrinks where it is far ahead", paper=False
        )
        legacy_teacher_as_student: bool = teacher_as_student()

    presets = DataFree.presets | {"quick": QUICK}
    drops = (0.2, 0.4)
    papers: ClassVar = {
        # 500 epochs of 50 iterations
        "": Paper(
            256,
            {"data_free_steps": 25_000, "schedule_generator": "steps", "schedule_student": "steps"},
            "DFAD_cifar.py:86-118, :154",
            missing="on CIFAR-100, CIFAR-10's mean and standard deviation (dataloader.py)",
        ),
        # 40 epochs of 50 iterations
        "mnist": Paper(
            512,
            {
                "data_free_steps": 2_000,
                "latent": 100,
                "lr_student": 0.01,
                "weight_decay": 1e-4,
                "schedule_generator": "constant",
                "schedule_student": "constant",
            },
            "DFAD_mnist.py:89-121",
        ),
    }

    def adversary_logits(self, images: Tensor) -> Tensor:
        # |T - T| = 0 has no gradient, so with this switch the generator is never trained
        return self.teacher(images) if self.hp.legacy_teacher_as_student else super().adversary_logits(images)

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        distance = l1(teacher_logits, student_logits)
        return distance.log1p() if self.hp.adaptive else distance

    def student_loss(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        return l1(teacher_logits, student_logits)
