"""PRE-DFKD: an auto-encoder learns to generate the images of the past, so that the student does not forget them.

T teacher, S student, G generator of new images x, G_m memory generator. In each step the student minimises mean |T - S|
over [x; G_m(z)], one batch; in the first steps of a round the auto-encoder learns [x; G_m(z')] with images of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, Losses, Paper, TaskKind, Track, hyper
from okdbench.distill.losses import l1
from okdbench.distill.networks.wrapper import Feature
from okdbench.distill.replay import PRE_RELEASE, Rehearsal, RehearsalHyperparameters


class PRE(Rehearsal):
    """One L1 loss, and one batch norm, over new images and those of a generative memory."""

    card = Card(
        title="Robust and Resource-Efficient Data-Free Knowledge Distillation by Generative Pseudo Replay",
        venue="AAAI",
        year=2022,
        url="https://arxiv.org/abs/2201.03019",
        release="kuluhan/PRE-DFKD@604010d",
        reads=("teacher logits, input gradients and penultimate features",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "features in the auto-encoder's loss",
                "paper: of unknown layers; release: commented out",
                "none; features=1 has the penultimate ones",
                where="distillation.py:85, :124",
            ),
            Deviation(
                "generator's learning rate",
                "release: 0.02, constant",
                "0.02, cosine; constant at budget paper",
                where="main.py:28, :56",
            ),
            Deviation(
                "batch",
                "release: B new and B/8 old images",
                "8B/9 and B/9: the same budget as other methods; as released at budget paper",
                where="main.py:84",
            ),
            Deviation(
                "generators' batch norm and initialisation",
                "release: eps 0.8 in the blocks, U(-0.08, 0.08)",
                "PyTorch's defaults",
                where="networks/generator.py:17, :32",
            ),
            Deviation(
                "encoder",
                "release: its own, on images whose columns have length 1; any log-variance",
                "the common one; log-variances in [-5, 3]",
                where="networks/generator.py:99",
            ),
            *PRE_RELEASE,
        ),
    )

    class Hyperparameters(RehearsalHyperparameters):
        """With memory=buffer it is MB-DFKD, as in LTR's release."""

        memory: Literal["buffer", "generative"] = hyper(
            "generative", "ring buffer or variational auto-encoder", paper="generative"
        )
        features: float = hyper(
            0.0, "weight of |f_T(x') - f_T(x)| in the auto-encoder's loss", ge=0, when={"memory": "generative"}
        )

    # 400 epochs of 36 iterations; a step has 1024 new and 128 old images
    papers: ClassVar = {
        "": Paper(1152, {"data_free_steps": 14_400, "schedule_generator": "constant"}, "main.py:24-30, :93")
    }

    def setup(self) -> None:
        super().setup()
        if self.hp.features:
            self.require_penultimate("features")

    # Student

    def replay_step(self, new: Tensor, new_teacher_logits: Tensor, old: Tensor, old_teacher_logits: Tensor) -> Losses:
        """One update of the student on new and old images, in one batch, with the teacher's logits."""
        return self.distill_step(torch.cat([new, old]), torch.cat([new_teacher_logits, old_teacher_logits]))

    def sample_memory(self) -> Tensor | None:
        # as released, from the first round on, in which the auto-encoder has not learned yet
        return self.sample_vae() if self.hp.memory == "generative" else super().sample_memory()

    # Auto-encoder

    def update_vae(self, seen: Sequence[Tensor], targets: Sequence[Tensor]) -> Losses:
        """One update of the auto-encoder on half of the new images and, after the first round, on images of its own.

        Args:
            seen: new images, and the student's old ones.
            targets: the teacher's logits on them.
        """
        own = [self.sample_vae(train=True)] if self.clock.step else []
        return super().update_vae([seen[0], *own], [targets[0], *map(self.teacher.targets, own)])

    def reconstruction(self, images: Tensor, x: Tensor, x_teacher_logits: Tensor) -> Tensor:
        """The same on normalised images, as released, and lambda mean |f_T(x') - f_T(x)| of the teacher's features."""
        normaliser = self.task.normaliser
        weight: float = self.hp.features
        wanted: list[Feature] = ["penultimate"] if weight else []
        output = self.teacher.forward_with_features(images, *wanted)
        loss = l1(normaliser(x), normaliser(images)) + l1(x_teacher_logits, output.logits)
        if not weight:
            return loss
        with torch.no_grad():
            features = self.teacher.forward_with_features(x, *wanted).penultimate
        return loss + weight * l1(features, output.penultimate)
