"""Momentum Adversarial Distillation: the student also learns from a slow copy of the generator, so it forgets less.

G generator with weights phi, its copy with weights phi~ <- alpha phi~ + (1 - alpha) phi after every generator step.
With ema=false both halves of a batch come from G: the control row without the copy (ABM).
"""

from __future__ import annotations

from copy import deepcopy
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.api import Card, Deviation, Losses, Stage, TaskKind, Track, hyper
from okdbench.distill.adversarial import QUICK, BackboneHyperparameters, DataFree, SGDHyperparameters
from okdbench.distill.losses import kl
from okdbench.distill.networks.generators import ConditionalGenerator, Generator
from okdbench.distill.networks.wrapper import ClassifierOutput
from okdbench.distill.optim import copy_spectral_norms, forward_without_buffers

CONDITIONAL = {"conditional": True}


class MAD(DataFree):
    """L_S = (1 - lambda) D on images of G + lambda D on images of its copy, in one batch of the usual size."""

    card = Card(
        title="Momentum Adversarial Distillation: Handling Large Distribution Shifts in Data-Free KD",
        venue="NeurIPS",
        year=2022,
        url="https://arxiv.org/abs/2209.10359",
        reads=("teacher logits, input gradients and batch-norm statistics",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "released code", "none is known", "from the equations; what follows is chosen", where="no code known"
            ),
            Deviation("divergence D", "unknown", "KL at temperature 1", where="arXiv:2209.10359; no code known"),
            Deviation(
                "generator's loss",
                "unknown beyond adversary and batch-norm term",
                "the common backbone's",
                where="arXiv:2209.10359; no code known",
            ),
            Deviation(
                "batch",
                "unknown: halves or two whole batches",
                "halves; full_batches gives two",
                where="arXiv:2209.10359; no code known",
            ),
            Deviation(
                "steps",
                "unknown",
                "1000 of pre-training; one of the generator to ten of the student",
                where="arXiv:2209.10359, App. A; no code known",
            ),
            Deviation(
                "copy's batch norm",
                "unknown",
                "statistics of each batch; its forwards change no buffer",
                where="arXiv:2209.10359; no code known",
            ),
            Deviation(
                "norm term",
                "bound unknown",
                "max(|z + e|^2 - 1.5 N_z, 0)",
                where="arXiv:2209.10359, App. A; no code known",
            ),
        ),
    )

    class Hyperparameters(SGDHyperparameters, BackboneHyperparameters):
        """The copy, and the class-conditional generator; only momentum is the paper's."""

        latent: int = hyper(256, "latent dimensions N_z", ge=2, le=4096)
        generator_beta1: float = hyper(0.5, "Adam's beta_1, generator", ge=0, lt=1)
        inner_steps: int = hyper(10, "student steps per generator step", ge=1, le=100)
        warm_up: int = hyper(1000, "generator steps without the adversarial term", ge=0)
        momentum: float = hyper(
            0.95,
            "alpha of the copy; 1 freezes it, 0 makes it the generator",
            paper=0.95,
            ge=0,
            le=1,
            search=(0.5, 0.99),
        )
        copy_share: float = hyper(0.5, "lambda: share of the batch that the copy generates", ge=0, le=1)
        ema: bool = hyper(True, "false: the generator provides that share too (control)", paper=True)
        full_batches: bool = hyper(False, "a whole batch of each, for twice the budget")
        bounded_adversarial: bool = hyper(False, "log(1 + D) in the generator's loss")
        # Class-conditional variant
        conditional: bool = hyper(False, "the generator reads z + e_y for a class y", paper=False)
        nll: float = hyper(1.0, "weight of -log T(x)_y", ge=0, when=CONDITIONAL)
        norm: float = hyper(1.0, "weight of the bound on z + e_y", ge=0, when=CONDITIONAL)
        norm_bound: float = hyper(1.5, "bound on |z + e_y|^2 / N_z", ge=0, when=CONDITIONAL)
        stratified_labels: bool = hyper(False, "every class equally often in each batch", when=CONDITIONAL)
        ema_embeddings: bool = hyper(False, "the copy has embeddings of its own", paper=False, when=CONDITIONAL)

    presets = {**DataFree.presets, "smoke": {"generator_width": 8, "warm_up": 2}, "quick": {**QUICK, "warm_up": 20}}

    def setup(self) -> None:
        # the conditional loss has three terms: adversary, likelihood and norm
        if self.hp.conditional:
            self.hp = self.hp.model_copy(update={"one_hot": 0.0, "balance": 0.0, "bn": 0.0})
        self.prepare(self.task.student_images, self.hp.warm_up)
        self.ema_generator = self.place("slow generator", deepcopy(self.generator.module).requires_grad_(False))

    def make_generator(self) -> Generator:
        if not self.hp.conditional:
            return super().make_generator()
        options = self.generator_options()
        return ConditionalGenerator(self.task.classes, self.hp.latent, self.task.image_size, **options)

    def stages(self) -> list[Stage]:
        # phi~ = phi at the end of pre-training
        finish = partial(self.update_ema, momentum=0.0)
        return [Stage("warm-up", self.hp.warm_up, self.prior_step, finish=finish), *super().stages()]

    @torch.no_grad()
    def update_ema(self, momentum: float) -> None:
        """phi~ <- alpha phi~ + (1 - alpha) phi with the momentum alpha; the power iteration's vectors are phi's."""
        pair = (list(net.parameters()) for net in (self.ema_generator, self.generator.module))
        torch._foreach_lerp_(*pair, 1 - momentum)
        copy_spectral_norms(self.generator.module, self.ema_generator)

    # Generator

    def generator_step(self, images: Tensor) -> Losses:
        losses = super().generator_step(images)
        self.update_ema(self.hp.momentum)  # per generator step, never per student step
        return losses

    def generator_terms(
        self, images: Tensor, teacher_output: ClassifierOutput | None = None, adversarial: bool = True
    ) -> Losses:
        teacher_output = teacher_output or self.forward_teacher(images)
        terms = super().generator_terms(images, teacher_output, adversarial)
        if self.hp.conditional:
            terms["nll"] = F.cross_entropy(teacher_output.logits, self.labels)
            # |z|^2 is about N_z, so the bound leaves room for the embedding
            terms["norm"] = (self.code.square().sum(1) - self.hp.norm_bound * self.hp.latent).relu().mean()
        return terms

    def noise(self, count: int | None = None, generator: nn.Module | None = None) -> Tensor:
        """The generator's input: z, or z + e_y with a class y per image, from the embeddings of ``generator``."""
        z = super().noise(count)
        if not self.hp.conditional:
            return z
        self.labels = self.sample_labels(len(z))
        self.code: Tensor = z + (generator or self.generator.module).get_submodule("table")(self.labels)
        return self.code

    def sample_labels(self, count: int) -> Tensor:
        rng, classes = self.task.rng, self.task.classes
        if self.hp.stratified_labels:
            return torch.arange(count, device=rng.device) % classes
        return torch.randint(classes, (count,), generator=rng, device=rng.device)

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        divergence = kl(teacher_logits, student_logits)
        return divergence.log1p() if self.hp.bounded_adversarial else divergence

    # Student

    def student_loss(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        return kl(teacher_logits, student_logits)  # the bound is the generator's alone

    def sample_images(self) -> Tensor:
        """Images of the generator followed by images of its copy."""
        size, hp = self.step_images, self.hp
        slow = size if hp.full_batches else round(hp.copy_share * size)
        current = size if hp.full_batches else size - slow
        images = [self.generate(self.noise(current))] if current else []
        if slow:
            codes = self.noise(slow, self.ema_generator if hp.ema and hp.ema_embeddings else None)
            images.append(self.generate_ema(codes) if hp.ema else self.generate(codes))
        # one batch, so that the student's running statistics describe the mixture
        return torch.cat(images)

    @torch.no_grad()
    def generate_ema(self, codes: Tensor) -> Tensor:
        """Images of the copy, with batch statistics and without a change of its buffers."""
        return forward_without_buffers(self.ema_generator, codes)
