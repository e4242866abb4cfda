"""Learning to Retain while Acquiring: what a step on new pictures would do to old ones is part of the loss.

T teacher, S student with parameters theta, d mean absolute difference of logits, alpha the inner rate:
min L_Acq(theta) + L_Ret(theta'), theta' = theta - alpha (grad L_Acq(theta) + w theta)   (Eq. 7).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, Losses, Track, hyper, legacy
from okdbench.distill.networks.classifiers import make_twice_differentiable
from okdbench.distill.optim import forward_without_buffers
from okdbench.distill.replay import Rehearsal, RehearsalHyperparameters


class LTR(Rehearsal):
    """Acquisition is meta-training, retention is meta-testing; the meta-gradient is alive and of second order."""

    card = Card(
        title="Learning to Retain while Acquiring: Combating Distribution-Shift in Adversarial DFKD",
        venue="CVPR",
        year=2023,
        url="https://arxiv.org/abs/2302.14290",
        reads=("teacher logits, input gradients and penultimate features",),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
        deviations=(
            Deviation("running statistics", "release: follow [new; old]", "one update a step, from the new pictures"),
            Deviation("batch", "release: B new and B/8 old pictures", "8B/9 and B/9: the same budget as other methods"),
            Deviation("generator's head", "release: spectral norm, tanh, batch norm", "sigmoid: raw pictures"),
            Deviation("generator's rate", "release: 0.02, constant", "0.02, cosine"),
            Deviation("generative memory", "release: student and auto-encoder dream apart", "one dream serves both"),
            Deviation("networks", "unknown for dropout and hard sigmoids", "dropout off, the sigmoids made of ReLU6"),
            Deviation(
                "inner rate at quick",
                "0.9, which the release never brought to bear",
                "0.1: 0.9 steps past the new pictures",
            ),
            Deviation(
                "generator's blocks and start", "release: 128, 64 channels, U(-0.08, 0.08)", "the common generator's"
            ),
            Deviation("steps at paper", "release: 28,800 of batch 512", "14,400 of 1024, as its controls"),
        ),
    )

    class Hyperparameters(RehearsalHyperparameters):
        """Constants of the inner step."""

        order: Literal[1, 2] = hyper(2, "of the meta-gradient: 1 leaves the Hessian out", ge=1, le=2)
        alpha: float = hyper(0.9, "rate of the inner step", paper=0.9, ge=0, le=10)
        inner_decay: float = hyper(5e-4, "weight decay w of the inner step", paper=5e-4, ge=0, le=1)
        legacy_inert_meta: bool = legacy("no gradient through theta': one L1 mean over [new; old]", "a live one")
        legacy_concat_outer: bool = legacy("outer loss: one L1 mean over [new; old]", "on the new pictures alone")
        legacy_double_steps: bool = legacy("half the batch and twice the steps of the controls", "equal steps")

    paper_batch_size = 1024
    presets = {
        **Rehearsal.presets,
        "quick": {**Rehearsal.presets["quick"], "alpha": 0.1},
        "paper": {"data_free_steps": 14_400},
    }

    @property
    def step_pictures(self) -> int:
        return self.task.batch_size // (2 if self.hp.legacy_double_steps else 1)

    def setup(self) -> None:
        make_twice_differentiable(self.student.net)
        super().setup()

    def count_rounds(self, student_images: int) -> int:
        asked = self.hp.data_free_steps
        return 2 * asked if asked and self.hp.legacy_double_steps else super().count_rounds(student_images)

    def rehearse(self, new: Tensor, teacher_logits: Tensor, old: Tensor, known: Tensor) -> Losses:
        if self.hp.legacy_inert_meta or self.hp.legacy_concat_outer:
            return self.rehearse_as_released(new, teacher_logits, old, known)
        acquisition = self.student_loss(teacher_logits, self.student(new))
        ahead, gradients = self.step_ahead(acquisition)
        retention = self.student_loss(known, forward_without_buffers(self.student, old, ahead))
        self.learner.update(retention, also=gradients)
        return {"disagreement": acquisition, "retention": retention}

    def step_ahead(self, acquisition: Tensor) -> tuple[dict[str, Tensor], list[Tensor]]:
        """The parameters theta' by name, differentiable through the gradient in second order, and grad L_Acq(theta)."""
        hp, second = self.hp, self.hp.order == 2
        gradients = self.learner.gradients(acquisition, differentiable=second)
        ahead = {}
        for (name, theta), gradient in zip(self.learner.named_parameters().items(), gradients, strict=True):
            decay = hp.inner_decay * (theta if second else theta.detach())
            ahead[name] = theta - hp.alpha * (gradient + decay)
        return ahead, [gradient.detach() for gradient in gradients]

    def rehearse_as_released(self, new: Tensor, teacher_logits: Tensor, old: Tensor, known: Tensor) -> Losses:
        """One L1 mean over [new; old] under joint batch statistics, plus retention at theta' unless that is inert."""
        if self.hp.legacy_inert_meta:
            acquisition = retention = torch.zeros((), device=new.device)
        else:
            acquisition = self.student_loss(teacher_logits, forward_without_buffers(self.student, new))
            retention = self.student_loss(
                known, forward_without_buffers(self.student, old, self.step_ahead(acquisition)[0])
            )
        joint = self.student_loss(torch.cat([teacher_logits, known]), self.student(torch.cat([new, old])))
        self.learner.update(joint + retention)
        return {"disagreement": joint, "retention": retention}
