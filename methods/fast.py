"""FastDFKD: a meta generator learns a start from which a few steps make the images of a round."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from okdbench.api import Card, Deviation, Paper, Schedule, TaskKind, Track, adam, cosine_overrun, hyper, legacy
from okdbench.distill.adversarial import QUICK
from okdbench.distill.averaged_synthesis import AveragedHyperparameters, AveragedSynthesis
from okdbench.distill.optim import raised
from okdbench.distill.synthesis import POOL_DRAWS

#: rounds of the release's cosine, whatever their number
RELEASED_ROUNDS = 200
#: the release's factor of theta - theta_k, which Adam hardly notices
REPTILE_SCALE = 67.0
#: standard deviation of weights that are drawn anew
RESET_STD = 0.02


class GradientSum:
    """The sum of the gradients of a round's steps, one tensor per parameter."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []

    def add(self, gradients: Sequence[Tensor]) -> None:
        """Add the gradients of a step."""
        zeros = self.tensors or [torch.zeros_like(gradient) for gradient in gradients]
        self.tensors = list(torch._foreach_add(zeros, gradients))

    def state_dict(self) -> dict[str, Any]:
        """The sum so far."""
        return {"tensors": self.tensors}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.tensors = state["tensors"]


class FastDFKD(AveragedSynthesis):
    """k steps of Adam on a copy theta' of theta and on latents; then theta <- Adam(theta, sum of the k gradients).

    L_x = 10 BN_ema + 0.5 CE(T, y) - 1.33 KL(T || S) where T and S agree; L_S = KL_20(T || S) on a pool of images.
    """

    card = Card(
        title="Up to 100x Faster Data-free Knowledge Distillation",
        venue="AAAI",
        year=2022,
        url="https://arxiv.org/abs/2112.06253",
        release="zju-vipa/Fast-Datafree@0dcecbc",
        reads=("teacher logits, input gradients and batch-norm statistics",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        paper={
            "weight_decay": 1e-4,
            "temperature": 20.0,
            "latent": 256,
            "generator_width": 64,
            "head": "sigmoid",
            "stem": 2,
        },
        deviations=(
            Deviation(
                "one_hot and adversarial",
                "0.5 and 1.33 for ResNets, 0.5 and 1 for VGG, 0.4 and 1.1 for wide ResNets",
                "those for ResNets",
                where="@7627110 scripts/fast_cifar.sh",
            ),
            Deviation(
                "resets",
                "nothing reads the flag reset_bn, nor reset_l0 without a meta generator",
                "no reset_bn; reset_at holds in both cases",
                where="datafree/synthesis/fast_meta.py:84; @7627110 datafree/synthesis/fast.py:90",
            ),
            Deviation(
                "round of the reset",
                "the 120th of training",
                "the same share of the rounds",
                where="datafree/synthesis/fast_meta.py:110",
            ),
            Deviation(
                "mirrored views",
                "always",
                "where the data set's own augmentation mirrors",
                where="datafree/synthesis/fast_meta.py:97",
            ),
            Deviation(
                "student's schedule", "cosine, per round", "cosine, per update", where="@7627110 datafree_kd.py:324"
            ),
            POOL_DRAWS,
        ),
    )

    class Hyperparameters(AveragedHyperparameters):
        """Fast-10."""

        synthesis_steps: int = hyper(10, "steps k of a round", paper=10, ge=1)
        pool_size: int = hyper(
            56_320, "images in the pool, one byte per pixel and channel; the oldest go first", paper=56_320, ge=2
        )
        lr_images: float = hyper(
            2e-3, "learning rate of Adam, copy; the meta generator has k times as much", paper=2e-3, gt=0, le=1,
            search=(5e-4, 2e-2),
        )  # fmt: skip
        lr_latents: float | None = hyper(
            0.01, "learning rate of the latents; none: that of the weights", paper=0.01, gt=0, le=10
        )
        meta: Literal["maml", "reptile", "none"] = hyper(
            "maml", "gradient of the meta generator; none: one generator for all rounds", paper="maml"
        )
        reset_at: float = hyper(
            0.6, "share of the rounds at which the first linear layer and batch norm start anew; 0: never", paper=0.6,
            ge=0, le=1,
        )  # fmt: skip
        legacy_early_adversary: bool = legacy(
            "the adversary joins in the last round of the warm-up, with an untrained student",
            "after the warm-up",
            "datafree/synthesis/fast_meta.py:144",
        )
        legacy_cosine_of_200: bool = legacy(
            "the student's cosine has 200 rounds, whatever their number",
            "as many as there are",
            "@7627110 datafree_kd.py:324",
        )

    presets = {
        "smoke": {**AveragedSynthesis.presets["smoke"], "warm_up_rounds": 1},
        "quick": {**QUICK, "rounds": 100, "warm_up_rounds": 10, "synthesis_steps": 5},
    }
    papers: ClassVar = {
        "": Paper(
            256,
            {"student_steps": 400},
            "zju-vipa/Fast-Datafree@7627110 scripts/fast_cifar.sh",
        )
    }

    def setup(self) -> None:
        super().setup()
        if self.hp.meta != "none":
            meta = deepcopy(self.images.generator)
            optimizer = adam(meta, self.hp.synthesis_steps * self.hp.lr_images, betas=(0.5, 0.999))
            self.meta = self.own("meta generator", meta, optimizer)
            self.gradients = self.state["gradients"] = GradientSum()
        self.adversary_from = -1 if self.hp.legacy_early_adversary else 0

    def schedule(self) -> Schedule:
        if not self.hp.legacy_cosine_of_200:
            return super().schedule()
        lowest = self.hp.lr_student_end / self.hp.lr_student
        return raised(cosine_overrun(RELEASED_ROUNDS * self.distillation_steps), lowest)

    @torch.no_grad()
    def begin_round(self) -> None:
        """New latents, and a new copy of the meta generator."""
        start = self.images.generator if self.hp.meta == "none" else self.meta.module
        if self.round_number >= 0 and self.round_number + 1 == round(self.hp.reset_at * self.rounds):
            self.reset(start)
        if self.hp.meta != "none":
            self.images.generator.load_state_dict(start.state_dict())
            self.gradients.tensors = []
        super().begin_round()

    def reset(self, generator: nn.Module) -> None:
        """Draw the first linear layer and the first batch norm anew; as released, its scale has a mean of 0 too."""
        for name in ("seed", "grow.0"):
            weight, bias = generator.get_submodule(name).parameters()
            weight.copy_(RESET_STD * self.task.noise(*weight.shape))
            bias.zero_()

    def after_update(self) -> None:
        if self.hp.meta == "maml":
            self.gradients.add([p.grad for p in self.images.generator.parameters() if p.grad is not None])

    @torch.no_grad()
    def end_round(self) -> None:
        super().end_round()
        if self.hp.meta == "maml":
            self.meta.update_by(self.gradients.tensors)
        elif self.hp.meta == "reptile":
            moves = torch._foreach_sub(self.meta.parameters, list(self.images.generator.parameters()))
            self.meta.update_by(torch._foreach_mul(moves, REPTILE_SCALE))
