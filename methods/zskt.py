"""ZSKT: zero-shot knowledge transfer by adversarial belief matching, with attention transfer."""

from __future__ import annotations

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, Losses, Track, hyper, legacy
from okdbench.core.errors import UserError
from okdbench.distill.adversarial import DataFree, DataFreeHyperparameters
from okdbench.distill.losses import attention_gap, kl
from okdbench.distill.networks.wrapper import Observation


class ZSKT(DataFree):
    """L_G = -KL(T || S); L_S = KL(T || S) + beta * attention gap, ten times on the generator's pictures."""

    card = Card(
        title="Zero-shot Knowledge Transfer via Adversarial Belief Matching",
        venue="NeurIPS",
        year=2019,
        url="https://arxiv.org/abs/1905.09768",
        reads=("teacher logits, input gradients and feature maps",),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
        deviations=(
            Deviation("generator's head", "release: affine batch norm, unbounded", "sigmoid: raw pictures"),
            Deviation("pictures of the student's steps", "release: generated in each", "once: they are the same"),
            Deviation(
                "attention",
                "release: three blocks of WRNs; off for unlike networks",
                "on where all stages have equal sides",
            ),
            Deviation("beta", "250 beside a KL divided by the classes", "250 beside the KL; legacy_mean_reduction"),
        ),
    )

    class Hyperparameters(DataFreeHyperparameters):
        """Values of the release."""

        latent: int = hyper(100, "latent dimensions", paper=100, ge=2, le=4096)
        lr_student: float = hyper(2e-3, "student, data-free stage", paper=2e-3, gt=0, le=1)
        weight_decay: float = hyper(0.0, "student, data-free stage", paper=0, ge=0, le=1)
        inner_steps: int = hyper(10, "student steps on the pictures of one generator step", paper=10, ge=1, le=100)
        clip: float = hyper(5.0, "largest norm of a gradient; 0: any", paper=5, ge=0)
        attention: float = hyper(
            250.0, "weight beta of the attention gap; 0 for networks without maps", paper=250, ge=0
        )
        legacy_mean_reduction: bool = legacy("KL divided by the number of classes", "summed over classes")
        legacy_student_train_mode: bool = legacy("student in train mode in the generator's step", "eval mode")
        legacy_teacher_as_student: bool = legacy("Fast-Datafree's adversary is the teacher itself", "the student")

    paper_batch_size = 128
    presets = DataFree.presets | {"paper": {"data_free_steps": 80_000}}

    def setup(self) -> None:
        super().setup()
        self.clip = self.hp.clip
        blank = torch.zeros(2, 3, self.task.image_size, self.task.image_size, device=self.task.device)
        with torch.no_grad(), self.student.eval_mode():
            shapes = [
                [f.shape[2:] for f in net.observe(blank, "stages").stages] for net in (self.teacher, self.student)
            ]
        if self.hp.attention and (shapes[0] != shapes[1] or not all(len(shape) == 2 for shape in shapes[0])):
            raise UserError("teacher and student have no feature maps of equal sides; add --set attention=0")

    def round(self) -> Losses:
        z = self.noise()
        losses = self.generator_step(self.generator.module(z))
        images = self.generate(z)
        with torch.no_grad():
            seen = self.teacher.observe(images, "stages")
        for _ in range(self.hp.inner_steps):
            losses |= self.imitate(images, seen)
        return losses

    def imitate(self, images: Tensor, seen: Observation) -> Losses:
        if not self.hp.attention:
            return self.teach(images, seen.logits)
        own = self.student.observe(images, "stages")
        terms = {
            "disagreement": self.divergence(seen.logits, own.logits),
            "attention": attention_gap(seen.stages, own.stages),
        }
        self.learner.update(terms["disagreement"] + self.hp.attention * terms["attention"], clip=self.clip)
        return terms

    def opinion(self, images: Tensor) -> Tensor:
        if self.hp.legacy_teacher_as_student:
            return self.teacher(images)
        return self.student(images) if self.hp.legacy_student_train_mode else super().opinion(images)

    def divergence(self, teacher_logits: Tensor, said: Tensor) -> Tensor:
        return kl(teacher_logits, said) / (teacher_logits.shape[1] if self.hp.legacy_mean_reduction else 1)
