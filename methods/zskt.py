"""ZSKT: zero-shot knowledge transfer through adversarial belief matching, with attention transfer."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, HyperparameterError, Losses, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.adversarial import LR_STUDENT, DataFree, DataFreeHyperparameters, teacher_as_student
from okdbench.distill.losses import attention_transfer, kl
from okdbench.distill.networks.generators import HeadKind
from okdbench.distill.networks.wrapper import ClassifierOutput


class ZSKT(DataFree):
    """L_G = -KL(T || S); L_S = KL(T || S) + beta * attention transfer, ten steps on the generator's images.

    Attention transfer: sum_l mean (A_T,l / |A_T,l| - A_S,l / |A_S,l|)^2 with A_l the channel mean of squared features.
    """

    card = Card(
        title="Zero-shot Knowledge Transfer via Adversarial Belief Matching",
        venue="NeurIPS",
        year=2019,
        url="https://arxiv.org/abs/1905.09768",
        release="polo5/ZeroShotKnowledgeTransfer@492cbff",
        reads=("teacher logits, input gradients and feature maps",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "images of the student's steps",
                "release: generated in each",
                "once: they are the same",
                where="solver.py:89",
            ),
            Deviation("student's schedule", "release: cosine, per round", "cosine, per update", where="solver.py:168"),
            Deviation(
                "attention",
                "release: for a teacher and a student of one family",
                "on if all stages have feature maps of equal size",
                where="polo5/ZeroShotKnowledgeTransfer@f9060a1 models/wresnet.py:99; @492cbff main.py:73",
            ),
            Deviation(
                "beta",
                "250 beside a KL divided by the classes",
                "250 beside the KL; legacy_mean_reduction",
                where="solver.py:215; main.py:59",
            ),
        ),
    )

    class Hyperparameters(DataFreeHyperparameters):
        """Values of the release."""

        latent: int = hyper(100, "latent dimensions", paper=100, ge=2, le=4096)
        head: HeadKind = hyper("bn", "end of the generator", paper="bn")
        stem: int = hyper(2, "channels of the generator's first stage, in widths", paper=2, ge=1, le=8)
        lr_student: float = hyper(
            2e-3, "learning rate, student, data-free stage", paper=2e-3, gt=0, le=1, search=LR_STUDENT
        )
        weight_decay: float = hyper(0.0, "weight decay, student, data-free stage", paper=0, ge=0, le=1)
        inner_steps: int = hyper(10, "student steps on the images of one generator step", paper=10, ge=1, le=100)
        clip: float = hyper(5.0, "largest gradient norm; 0: no clipping", paper=5, ge=0)
        attention: float = hyper(
            250.0,
            "weight beta of the attention transfer; 0 for networks without feature maps",
            paper=250,
            ge=0,
            search=(25.0, 2500.0),
        )
        legacy_mean_reduction: bool = legacy(
            "KL divided by the number of classes", "summed over classes", "solver.py:215"
        )
        legacy_student_train_mode: bool = legacy(
            "student in train mode in the generator's step", "eval mode", "solver.py:31"
        )
        legacy_teacher_as_student: bool = teacher_as_student()

    papers: ClassVar = {"": Paper(128, {"data_free_steps": 80_000}, "scripts/ZeroShot/main0.sh")}

    def setup(self) -> None:
        """Create networks and learners, and check that attention maps can be compared.

        Raises:
            UserError: the stages of teacher and student differ in size, or a network has no feature maps.
        """
        super().setup()
        self.clip = self.hp.clip
        # attention maps are compared pixel by pixel: H x W of the stages must agree, channels need not
        blank = torch.zeros(2, self.task.channels, self.task.image_size, self.task.image_size, device=self.task.device)
        with torch.no_grad(), self.student.eval_mode():
            shapes = [
                [f.shape[2:] for f in net.forward_with_features(blank, "stages").stages]
                for net in (self.teacher, self.student)
            ]
        comparable = shapes[0] and shapes[0] == shapes[1] and all(len(shape) == 2 for shape in shapes[0])
        if self.hp.attention and not comparable:
            raise HyperparameterError("teacher and student have no feature maps of equal size", attention=0)

    def iteration(self) -> Losses:
        z = self.noise()
        losses = self.generator_step(self.generator.module(z))
        # the same latents for all student steps, so images and teacher output are computed once
        images = self.generate(z)
        with torch.no_grad():
            teacher_output = self.teacher.forward_with_features(images, "stages")
        for _ in range(self.hp.inner_steps):
            losses |= self.attention_step(images, teacher_output)
        return losses

    def attention_step(self, images: Tensor, teacher_output: ClassifierOutput) -> Losses:
        """One update of the student: KL(T || S) + beta * attention transfer."""
        if not self.hp.attention:
            return self.distill_step(images, teacher_output.logits)
        student_output = self.student.forward_with_features(images, "stages")
        terms = {
            "disagreement": self.divergence(teacher_output.logits, student_output.logits),
            "attention": attention_transfer(teacher_output.stages, student_output.stages),
        }
        self.learner.update(terms["disagreement"] + self.hp.attention * terms["attention"], clip=self.clip)
        return terms

    def adversary_logits(self, images: Tensor) -> Tensor:
        if self.hp.legacy_teacher_as_student:
            return self.teacher(images)  # KL(T || T) = 0 has no gradient: the generator is never trained
        return self.student(images) if self.hp.legacy_student_train_mode else super().adversary_logits(images)

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        # reduction="mean" of the release divides by B * C; beta = 250 was tuned beside that
        return kl(teacher_logits, student_logits) / (teacher_logits.shape[1] if self.hp.legacy_mean_reduction else 1)
