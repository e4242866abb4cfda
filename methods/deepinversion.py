"""DeepInversion: pixels are optimised until the teacher's batch-norm statistics are those of its data."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from okdbench.api import Card, Deviation, Learner, Losses, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.losses import clamped_js, js, total_variation
from okdbench.distill.networks.wrapper import ClassifierOutput
from okdbench.distill.synthesis import POOL_DRAWS, Synthesis, SynthesisHyperparameters
from okdbench.distill.views import mirrored, rolled

#: pixels move by up to this fraction of the image's height and width
JITTER_SHARE = 8
#: weight of the student's statistics beside the teacher's in Fast-Datafree
STUDENT_SHARE = 1e-3


class Pixels(nn.Module):
    """A batch of normalised images as parameters."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.pixels = nn.Parameter(torch.zeros(shape))

    def forward(self, labels: Tensor) -> Tensor:
        """The images, B x C x H x W, one for each of the labels (B)."""
        return self.pixels[: len(labels)]


class DeepInversion(Synthesis):
    """L_x = 10 BN + CE(T, y) - JS_3(T, S) + 0.001 TV(x) + l2 ||x||; L_S = KL_20(T || S) on a pool of such images."""

    card = Card(
        title="Dreaming to Distill: Data-free Knowledge Transfer via DeepInversion",
        venue="CVPR",
        year=2020,
        url="https://arxiv.org/abs/1912.08795",
        release="zju-vipa/CMI@9e79fa9",
        reads=("teacher logits, input gradients and batch-norm statistics",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        # DeepInvSyntheiszer of CMI's code, where alone the training of the student is released
        paper={"bn": 10.0, "one_hot": 1.0, "adversarial": 1.0, "rounds": 200, "lr_student": 0.1, "temperature": 20.0},
        deviations=(
            Deviation(
                "training of the student",
                "not released by the authors",
                "that of CMI's code",
                where="NVlabs/DeepInversion@2413af1 cifar10/deepinversion_cifar10.py; train: zju-vipa/CMI@9e79fa9",
            ),
            Deviation(
                "total variation",
                "authors: L2 norm, weight 2.5e-5",
                "mean absolute difference, 1e-3, as CMI's code",
                where="NVlabs/DeepInversion@2413af1 cifar10/deepinversion_cifar10.py",
            ),
            Deviation(
                "mirrored views",
                "always",
                "where the data set's own augmentation mirrors",
                where="datafree/synthesis/deepinversion.py:20-22",
            ),
            POOL_DRAWS,
        ),
    )

    class Hyperparameters(SynthesisHyperparameters):
        """Values of CMI's code."""

        synthesis_steps: int = hyper(1000, "steps of Adam on the pixels of a round", paper=1000, ge=1)
        lr_images: float = hyper(
            0.1, "learning rate of Adam, pixels; beta_1 0.5, beta_2 0.99", paper=0.1, gt=0, le=10, search=(0.01, 1.0)
        )
        bn: float = hyper(10.0, "weight of the batch-norm statistics", paper=10, ge=0, search=(1.0, 100.0))
        variation: float = hyper(1e-3, "weight of the total variation of normalised pixels", paper=1e-3, ge=0)
        l2: float = hyper(0.0, "weight of the norm of the normalised pixels of a batch", paper=0, ge=0)
        legacy_clamped_js: bool = legacy(
            "JS clamped to [0.01, 0.99]", "unclamped", "datafree/criterions.py", when={"adversarial": 1.0}
        )
        legacy_best_is_last: bool = legacy(
            "the best images are no copy, so the last are kept",
            "the best ones",
            "datafree/synthesis/deepinversion.py:83, :100",
        )
        legacy_student_bn: bool = legacy(
            "0.001 times the student's distance from its own statistics is subtracted; no total variation",
            "the teacher's statistics alone, and total variation",
            "zju-vipa/Fast-Datafree@7627110 datafree/synthesis/deepinversion.py:101",
        )

    presets = {
        **Synthesis.presets,
        "quick": {"rounds": 10, "synthesis_steps": 200},
    }
    papers: ClassVar = {"": Paper(256, {"student_steps": 400}, "datafree_kd.py; scripts/deepinversion")}

    def make_source(self) -> Learner:
        task = self.task
        pixels = Pixels(self.batch_size, task.channels, task.image_size, task.image_size)
        optimizer = torch.optim.Adam(pixels.parameters(), lr=self.hp.lr_images, betas=(0.5, 0.99), fused=True)
        return self.own("generator", pixels, optimizer)

    @torch.no_grad()
    def begin_round(self) -> None:
        pixels = self.source.parameters[0]
        pixels.copy_(self.task.noise(*pixels.shape))
        self.source.optimizer.state.clear()

    def render(self) -> Tensor:
        self.pixels: Tensor = self.source.module(self.round.labels)
        return self.task.normaliser.inverse(self.pixels)

    def view(self, images: Tensor) -> Tensor:
        """All images moved by the same random offset, around the edges, and at random mirrored."""
        images = rolled(images, JITTER_SHARE, self.task.rng)
        return mirrored(images, self.task.rng) if self.mirrors else images

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        if self.hp.legacy_clamped_js:
            return clamped_js(teacher_logits, student_logits) * self.task.classes
        return js(teacher_logits, student_logits)

    def inversion_terms(self, view: Tensor, output: ClassifierOutput) -> Losses:
        terms = super().inversion_terms(view, output)
        if self.hp.legacy_student_bn and self.hp.bn:
            with self.student.eval_mode():
                own = self.student.forward_with_features(view, "biased_bn").bn
            terms["bn"] = terms["bn"] - STUDENT_SHARE * self.bn_term(own)
        return terms

    def terms(self, images: Tensor) -> Losses:
        terms = super().terms(images)
        if self.hp.variation and not self.hp.legacy_student_bn:
            terms["variation"] = total_variation(self.pixels)
        return terms | {"l2": self.pixels.norm()} if self.hp.l2 else terms

    def keep(self, loss: Tensor, images: Tensor) -> None:
        # The release keeps the tensor that is then updated, so what it has in the end is the last state.
        if not self.hp.legacy_best_is_last:
            super().keep(loss, images)

    @torch.no_grad()
    def after_update(self) -> None:
        """Keep raw images in [0, 1], as the release's clamp of normalised pixels does."""
        pixels, normaliser = self.source.parameters[0], self.task.normaliser
        pixels.copy_(normaliser(normaliser.inverse(pixels).clamp(0, 1)))
        if self.hp.legacy_best_is_last:
            self.round.offer(pixels.new_zeros(()), {"images": normaliser.inverse(pixels)}, always=True)
