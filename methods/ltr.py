"""Learning to Retain while Acquiring: the effect of a step on previous samples is part of the loss.

T teacher, S student with parameters theta, d mean absolute difference of logits, alpha the inner learning rate:
min L_Acq(theta) + L_Ret(theta'), theta' = theta - alpha (grad L_Acq(theta) + w theta)   (Eq. 7).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from torch import Tensor

from okdbench.api import Card, Deviation, Losses, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.networks.classifiers import make_twice_differentiable
from okdbench.distill.optim import forward_without_buffers
from okdbench.distill.replay import Rehearsal, RehearsalHyperparameters


class LTR(Rehearsal):
    """Acquisition is meta-training, retention is meta-testing; the meta-gradient is live and of second order."""

    card = Card(
        title="Learning to Retain while Acquiring: Combating Distribution-Shift in Adversarial DFKD",
        venue="CVPR",
        year=2023,
        url="https://arxiv.org/abs/2302.14290",
        release="gaurav104/LRA@5a5dd67",
        reads=("teacher logits, input gradients and penultimate features",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "running statistics",
                "release: follow [new; old]",
                "one update a step, from the new images",
                where="src/agents/predfkd_meta_memory.py:323",
            ),
            Deviation(
                "batch",
                "release: B new and B/8 old images",
                "8B/9 and B/9: the same budget as other methods",
                where="src/agents/predfkd_meta_memory.py:278",
            ),
            Deviation(
                "generator's learning rate",
                "release: 0.02, constant",
                "0.02, cosine; constant at budget paper",
                where="src/configs/Ours-1.json:25; agents/predfkd_meta_memory.py:101",
            ),
            Deviation(
                "generative memory",
                "release: student and auto-encoder sample separately",
                "one sample for both",
                where="src/agents/base.py:149; agents/predfkd_meta.py:323",
            ),
            Deviation(
                "networks",
                "unknown for dropout and hard sigmoids",
                "dropout off, the sigmoids made of ReLU6",
                where="not in the release",
            ),
            Deviation(
                "generator's batch norm and initialisation",
                "release: eps 0.8 in the blocks, U(-0.08, 0.08)",
                "PyTorch's defaults",
                where="src/networks/generator.py:16, :34",
            ),
            Deviation(
                "steps at paper",
                "release: 28,800 of batch 512",
                "14,400 of 1024, as its controls",
                where="src/agents/predfkd_meta_memory.py:254",
            ),
            Deviation(
                "auto-encoder",
                "release: its own encoder; errors in normalised space; latents drawn in train mode",
                "the common encoder; errors of raw images; eval mode",
                where="src/networks/generator.py:98; agents/predfkd_meta.py:296",
            ),
            Deviation(
                "replay in the first round",
                "release: images of an untrained memory generator",
                "none",
                where="src/agents/predfkd_meta.py:302",
            ),
            Deviation(
                "first push to the buffer",
                "release: after the first epoch",
                "after the first iteration",
                where="src/agents/predfkd_meta_memory.py:277",
            ),
            Deviation(
                "student's schedule",
                "release: cosine, per epoch",
                "cosine, per update",
                where="src/agents/predfkd_meta_memory.py:99, :282",
            ),
        ),
    )

    class Hyperparameters(RehearsalHyperparameters):
        """Constants of the inner step."""

        order: Literal[1, 2] = hyper(2, "order of the meta-gradient: 1 omits the Hessian", ge=1, le=2)
        alpha: float = hyper(0.9, "learning rate of the inner step", paper=0.9, ge=0, le=10, search=(0.01, 1.0))
        inner_decay: float = hyper(5e-4, "weight decay w of the inner step", paper=5e-4, ge=0, le=1)
        legacy_inert_meta: bool = legacy(
            "no gradient through theta': one L1 mean over [new; old]",
            "a live one",
            "src/agents/predfkd_meta_memory.py:309",
        )
        legacy_concat_outer: bool = legacy(
            "outer loss: one L1 mean over [new; old]",
            "on the new images alone",
            "src/agents/predfkd_meta_memory.py:325",
        )
        legacy_double_steps: bool = legacy(
            "half the batch and twice the steps of the controls",
            "equal steps",
            "src/configs/Ours-1.json:23; configs/MB-DFKD.json:23",
        )

    # 400 epochs of 36 iterations, as its controls
    papers: ClassVar = {
        "": Paper(
            1024,
            {"data_free_steps": 14_400, "schedule_generator": "constant"},
            "src/configs/PRE-DFKD.json:17-25; src/agents/predfkd.py:284",
        )
    }

    @property
    def step_images(self) -> int:
        return self.task.batch_size // (2 if self.hp.legacy_double_steps else 1)

    def setup(self) -> None:
        # the second-order gradient differentiates the student twice
        make_twice_differentiable(self.student.net)
        super().setup()

    def count_iterations(self, student_images: int) -> int:
        requested = self.hp.data_free_steps
        if requested and self.hp.legacy_double_steps:
            return 2 * requested
        return super().count_iterations(student_images)

    def replay_step(self, new: Tensor, new_teacher_logits: Tensor, old: Tensor, old_teacher_logits: Tensor) -> Losses:
        """One update of the student: L_Acq(theta) + L_Ret(theta'), of new and old images with the teacher's logits."""
        if self.hp.legacy_inert_meta or self.hp.legacy_concat_outer:
            return self.released_replay_step(new, new_teacher_logits, old, old_teacher_logits)
        acquisition = self.student_loss(new_teacher_logits, self.student(new))
        retention, gradients, meta_gradients = self.meta_step(acquisition, old, old_teacher_logits)
        self.learner.update_by(torch._foreach_add(gradients, meta_gradients))
        return {"disagreement": acquisition, "retention": retention}

    def meta_step(
        self, acquisition: Tensor, old: Tensor, old_teacher_logits: Tensor
    ) -> tuple[Tensor, list[Tensor], Sequence[Tensor]]:
        """L_Ret(theta'), grad L_Acq(theta) and d L_Ret(theta') / d theta.

        The last is (1 - alpha w) v - alpha H v, with v = grad L_Ret(theta') and the Hessian H of L_Acq; in first order
        it is v. Written out, because a graph through theta' has four operations for each parameter.
        """
        hp, second_order = self.hp, self.hp.order == 2
        graph = self.learner.gradients(acquisition, differentiable=second_order)
        gradients = [gradient.detach() for gradient in graph]
        theta = [parameter.detach() for parameter in self.learner.parameters]
        decayed = torch._foreach_add(gradients, theta, alpha=hp.inner_decay)
        theta_prime = [new.requires_grad_() for new in torch._foreach_add(theta, decayed, alpha=-hp.alpha)]
        # An evaluation at theta': the student itself keeps theta, and its running statistics.
        logits = forward_without_buffers(self.student, old, self.learner.named(theta_prime))
        retention = self.student_loss(old_teacher_logits, logits)
        v = self.learner.gradients(retention, of=theta_prime)
        if not second_order:
            return retention, gradients, v
        meta = torch._foreach_mul(v, 1 - hp.alpha * hp.inner_decay)
        torch._foreach_add_(meta, self.learner.product(graph, v), alpha=-hp.alpha)
        return retention, gradients, meta

    def released_replay_step(
        self, new: Tensor, new_teacher_logits: Tensor, old: Tensor, old_teacher_logits: Tensor
    ) -> Losses:
        """One L1 mean over [new; old] under joint batch statistics, plus retention at theta' unless it is inert.

        Args:
            new: newly generated images.
            new_teacher_logits: the teacher's logits on them.
            old: images from the memory.
            old_teacher_logits: the teacher's logits on them.
        """
        # higher.innerloop_ctx copies the initial weights by default, which cuts the graph from theta' to theta
        retention = torch.zeros((), device=new.device)
        meta_gradients: Sequence[Tensor] = ()
        if not self.hp.legacy_inert_meta:
            acquisition = self.student_loss(new_teacher_logits, forward_without_buffers(self.student, new))
            retention, _, meta_gradients = self.meta_step(acquisition, old, old_teacher_logits)
        teacher_logits = torch.cat([new_teacher_logits, old_teacher_logits])
        joint = self.student_loss(teacher_logits, self.student(torch.cat([new, old])))
        self.learner.update(joint, meta_gradients)
        return {"disagreement": joint, "retention": retention}
