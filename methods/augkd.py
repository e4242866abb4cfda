"""AuG-KD: anchor-based mixup generation, with the equations' behaviour by default and the release's behind switches.

Reads from top to bottom: card, constants, then the three stages in the paper's order. Every picture in this file is
raw, in [0, 1]; the probes normalise. T is the teacher, S the student, G the generator, E the encoder, A the anchor
network, z a latent, f the mixing factor.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.adversarial import generator_terms, weighted
from okdbench.api import (
    BaseHyperparameters,
    Batch,
    Card,
    Deviation,
    Losses,
    Method,
    Schedule,
    Snapshot,
    Stage,
    adam,
    cosine,
    hyper,
)  # fmt: skip
from okdbench.errors import UserError
from okdbench.losses import energy, gaussian_prior, kl
from okdbench.nets.anchor import AnchorNet
from okdbench.nets.generators import Encoder, Generator, sample

MONITORED_BATCHES = 10
MONITORINGS = 20


class AuGKD(Method):
    """Data-free distillation, then anchors between the domains, then distillation on mixtures with them."""

    card = Card(
        title="AuG-KD: Anchor-Based Mixup Generation for Out-of-Domain Knowledge Distillation",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2403.07030",
        reads=("teacher logits, input gradients and batch-norm statistics", "labelled student-domain pictures"),
        deviations=(
            Deviation("teacher of stage 3", "release: the student's own logits", "the true teacher", "legacy_self_kd"),
            Deviation("real half in stage 3", "release: not normalised", "normalised", "legacy_unnormalised_real"),
            Deviation("anchor loss", "release: sums over the batch", "means; mask per sample", "legacy_inv_sum"),
            Deviation("mask", "release: range [0, 1/3), 1 - rho unreachable", "sigmoid in (0, 1)", "legacy_mask"),
            Deviation("end of stage 1", "release: lowest generator loss", "last state", "legacy_ckpt_rule"),
            Deviation(
                "schedules",
                "release: per batch; E constant; slow start",
                "cosine over all steps",
                "legacy_sched",
            ),
            Deviation("latents in stages 2 and 3", "release: sampled", "the mean; sample_latents restores it"),
            Deviation("end of stage 2", "release: lowest loss on evaluation pictures", "last state: none are in reach"),
            Deviation("class balance", "release: weight 20 on log10", "the same in nats: 8.686"),
            Deviation("what f multiplies", "paper unknown; release: latents and pictures alike", "as the release"),
            Deviation("share of the budget in stage 1", "unknown at equal budgets", "0.5: data_free_share"),
            Deviation("budget quick", "width 64; Adam 1e-3, 1e-4, 1e-3", "16; 1e-2, 1e-3, 1e-2 for G, E, A: few steps"),
            Deviation("steps of stage 2", "release: 200 epochs, one or more steps each", "2000 steps"),
        ),
    )

    class Hyperparameters(BaseHyperparameters):
        """Constants of the three stages; ``paper`` values are those of the authors' Office-31 example."""

        latent: int = hyper(100, "latent dimensions N_z", paper=100, ge=2, le=4096)
        generator_width: int = hyper(64, "channels of the generator's last block", paper=64, ge=4, le=512)
        lr_generator: float = hyper(1e-3, "Adam, generator", paper=1e-3, gt=0, le=1)
        lr_encoder: float = hyper(1e-4, "Adam, encoder", paper=1e-4, gt=0, le=1)
        lr_student: float = hyper(1e-3, "Adam, student, stages 1 and 3", paper=1e-3, gt=0, le=1)
        weight_decay: float = hyper(1e-4, "Adam, student", paper=1e-4, ge=0, le=1)
        data_free_share: float = hyper(0.5, "share of the student's pictures spent in stage 1", gt=0, lt=1)
        data_free_steps: int | None = hyper(None, "iterations of stage 1, instead of the share", paper=40_000, ge=1)
        inner_steps: int = hyper(5, "student and encoder steps per generator step", paper=5, ge=1, le=100)
        adversarial: float = hyper(1.0, "weight of -KL(teacher || student)", paper=1, ge=0)
        one_hot: float = hyper(1.0, "weight of the teacher's confidence", paper=1, ge=0)
        balance: float = hyper(8.686, "weight of the class balance, in nats", paper=8.686, ge=0)
        bn: float = hyper(1.0, "weight of the batch-norm statistics", paper=1, ge=0)
        bn_per_layer: bool = hyper(False, "one norm for each layer instead of one for all", paper=False)
        prior: float = hyper(2.5e-4, "weight of the encoder's Gaussian prior", paper=2.5e-4, ge=0)
        keep: Literal["last", "lowest_kl"] = hyper("last", "state of stage 1 that the others build on")
        anchor_steps: int = hyper(2000, "steps of stage 2", ge=1)
        lr_anchor: float = hyper(1e-3, "Adam, anchor network", paper=1e-3, gt=0, le=1)
        rho: float = hyper(0.25, "share of latent dimensions that stay invariant", paper=0.25, ge=0, le=1)
        invariance: float | None = hyper(None, "weight beta of the mask term; none: N_z", ge=0)
        anchor_ce: float = hyper(0.1, "weight of the anchors' cross-entropy", paper=0.1, ge=0)
        uncertainty: Literal["energy", "max_softmax"] = hyper("energy", "uncertainty of the teacher", paper="energy")
        use_anchor: bool = hyper(True, "false: the anchor of z is z (ablation)")
        mixup_epochs: int | None = hyper(None, "epochs of stage 3, instead of the budget's rest", paper=200, ge=1)
        mix_a: float = hyper(0.6, "share of stage 3 at which f reaches 1", paper=0.6, gt=0, le=1)
        mix_b: float = hyper(0.2, "mixing factor f at the start", paper=0.2, ge=0, le=1)
        constant_f: float | None = hyper(None, "a fixed f instead of the ramp; 1: no mixup (ablation)", ge=0, le=1)
        temperature: float = hyper(10.0, "temperature tau of stage 3", paper=10, gt=0, le=100)
        hard_weight: float = hyper(0.5, "weight u of the labels in stage 3", paper=0.5, ge=0, le=1)
        kd_on: Literal["both", "mixed_only"] = hyper("both", "halves of the batch that are distilled on", paper="both")
        sample_latents: bool = hyper(False, "draw from the encoder in stages 2 and 3 instead of taking its mean")
        legacy_self_kd: bool = hyper(False, "stage 3 distils the student into itself")
        legacy_unnormalised_real: bool = hyper(False, "stage 3's real half reaches the networks unnormalised")
        legacy_inv_sum: bool = hyper(False, "anchor loss summed over the batch, mask target for the whole batch")
        legacy_mask: bool = hyper(False, "mask in [0, 1/3)")
        legacy_ckpt_rule: bool = hyper(False, "stage 1 keeps the state of the lowest generator loss")
        legacy_sched: bool = hyper(False, "cosine per batch, encoder without schedule, first five steps at 1/3")

    hp: Hyperparameters
    paper_batch_size = 2048
    presets = {
        "smoke": {"generator_width": 8, "anchor_steps": 8},
        "quick": {
            "generator_width": 16,
            "lr_generator": 1e-2,
            "lr_encoder": 1e-3,
            "anchor_steps": 60,
            "lr_anchor": 1e-2,
        },
        "paper": {"data_free_steps": 40_000, "mixup_epochs": 200},
    }

    def setup(self) -> None:
        hp, task = self.hp, self.task
        if hp.bn and not self.teacher.norm_layers():
            raise UserError("augkd: this teacher has no batch-norm statistics to match; add --set bn=0")
        per_step = hp.inner_steps * task.batch_size
        share = round(hp.data_free_share * task.student_images)
        self.data_free_steps = hp.data_free_steps or max(1, share // per_step)
        self.half = max(1, task.batch_size // 2)
        rest = max(0, task.student_images - self.data_free_steps * per_step)
        self.mixup_steps = (hp.mixup_epochs * task.train_size if hp.mixup_epochs else rest // 2) // self.half

        generator = Generator(hp.latent, task.image_size, hp.generator_width)
        encoder = Encoder(hp.latent, task.image_size, task.classes, hp.generator_width)
        anchor = AnchorNet(hp.latent, task.classes, third_range=hp.legacy_mask)
        inner = cosine(self.data_free_steps * hp.inner_steps)
        self.generator = self.own(
            "generator", generator, adam(generator, hp.lr_generator), cosine(self.data_free_steps)
        )
        self.encoder = self.own("encoder", encoder, adam(encoder, hp.lr_encoder), None if hp.legacy_sched else inner)
        self.anchor = self.own("anchor", anchor, adam(anchor, hp.lr_anchor), self.anchor_schedule())
        first, second = (adam(self.student, hp.lr_student, weight_decay=hp.weight_decay) for _ in range(2))
        self.first = self.own("student", self.student, first, inner)
        self.second = self.own("student in mixup", self.student, second, slow_start if hp.legacy_sched else None)
        monitors = hp.legacy_ckpt_rule or hp.keep == "lowest_kl"
        self.monitor_every = max(1, self.data_free_steps // MONITORINGS) if monitors else 0
        self.best = self.state["best of stage 1"] = Snapshot(generator, encoder, self.student)
        self.monitored = task.noise(MONITORED_BATCHES, task.batch_size, hp.latent)

    def anchor_schedule(self) -> Schedule:
        if not self.hp.legacy_sched:
            return cosine(self.hp.anchor_steps)
        epochs = max(1, self.hp.anchor_steps * self.task.batch_size // self.task.train_size)
        return lambda batch: 0.5 * (1 + math.cos(math.pi * batch / epochs))  # oscillates with several batches an epoch

    def stages(self) -> Sequence[Stage]:
        return [
            Stage("data-free", self.data_free_steps, self.data_free_step, finish=self.best.restore),
            Stage("anchor", self.hp.anchor_steps, self.anchor_step, data="labelled", begin=self.begin_anchor),
            Stage("mixup", self.mixup_steps, self.mixup_step, "labelled", self.half, begin=self.begin_mixup),
        ]

    # Stage 1: G, E and S from noise alone

    def data_free_step(self) -> Losses:
        losses = self.generator_step()
        for _ in range(self.hp.inner_steps):
            losses |= self.student_and_encoder_step()
        if self.monitor_every and self.clock.step % self.monitor_every == 0:
            self.monitor()
        return losses

    def generator_step(self) -> Losses:
        terms = self.generator_terms(self.noise())
        self.generator.update(weighted(terms, self.hp))
        return terms

    def generator_terms(self, z: Tensor) -> Losses:
        images = self.generator.module(z)
        return generator_terms(self.teacher, self.student, images, self.hp.bn_per_layer)

    def student_and_encoder_step(self) -> Losses:
        z = self.noise()
        with torch.no_grad():
            images = self.generator.module(z)
            taught = self.teacher(images)
        disagreement = kl(taught, self.student(images))
        self.first.update(disagreement)
        mean, log_var = self.encoder.module(images, taught.argmax(1))
        regression = (sample(mean, log_var, self.noise()) - z).square().sum(1).mean()
        prior = gaussian_prior(mean, log_var)
        self.encoder.update(regression + self.hp.prior * prior)
        return {"student_kl": disagreement, "latent_regression": regression, "prior": prior}

    def noise(self) -> Tensor:
        return self.task.noise(self.task.batch_size, self.hp.latent)

    @torch.no_grad()
    def monitor(self) -> None:
        """Remember the state with the lowest KL(T || S), or generator loss as the release does, on fixed latents."""
        self.generator.module.eval()
        with self.student.judging():
            results = [self.generator_terms(z) for z in self.monitored]
        self.generator.module.train()
        scores = [weighted(terms, self.hp) if self.hp.legacy_ckpt_rule else -terms["adversarial"] for terms in results]
        self.best.offer(float(torch.stack(scores).mean()))

    # Stage 2: A alone

    def begin_anchor(self) -> None:
        self.generator.module.eval()
        self.encoder.module.eval()

    def anchor_step(self, batch: Batch) -> Losses:
        with torch.no_grad():
            z = self.encode(batch)
        anchors, mask = self.anchor.module(z, batch.labels)
        logits = self.teacher(self.generator.module(anchors))
        terms = {
            "uncertainty": self.uncertainty(logits),
            "invariance": self.mask_gap(mask),
            "anchor_ce": F.cross_entropy(logits, batch.labels, reduction="none"),
        }
        terms = {name: term.sum() if self.hp.legacy_inv_sum else term.mean() for name, term in terms.items()}
        self.anchor.update(
            terms["uncertainty"] + self.beta * terms["invariance"] + self.hp.anchor_ce * terms["anchor_ce"]
        )
        return terms

    def encode(self, batch: Batch) -> Tensor:
        """Latents of real pictures: the mean, or a draw."""
        mean, log_var = self.encoder.module(batch.images, batch.labels)
        return sample(mean, log_var, self.task.noise(*mean.shape)) if self.hp.sample_latents else mean

    def uncertainty(self, logits: Tensor) -> Tensor:
        return energy(logits) if self.hp.uncertainty == "energy" else 1 - logits.softmax(1).amax(1)

    def mask_gap(self, mask: Tensor) -> Tensor:
        """|mean_j m - (1 - rho)| per sample; the release compares the whole batch's sum with N_z (1 - rho)."""
        if self.hp.legacy_inv_sum:
            return (mask.sum() - self.hp.latent * (1 - self.hp.rho)).abs()
        return (mask.mean(1) - (1 - self.hp.rho)).abs()

    @property
    def beta(self) -> float:
        if self.hp.legacy_inv_sum:
            return 1.0
        return float(self.hp.latent if self.hp.invariance is None else self.hp.invariance)

    # Stage 3: S on real pictures and their mixtures with generated anchors

    def begin_mixup(self) -> None:
        self.begin_anchor()
        self.anchor.module.eval()

    def mixup_step(self, batch: Batch) -> Losses:
        real = self.task.normaliser.inverse(batch.images) if self.hp.legacy_unnormalised_real else batch.images
        images = torch.cat([real, self.mix(batch)])
        logits = self.student(images)
        taught = self.teach(images)
        hard = F.cross_entropy(logits, torch.cat([batch.labels, batch.labels]))
        distilled = slice(len(real) if self.hp.kd_on == "mixed_only" else 0, None)
        soft = kl(taught[distilled], logits[distilled], self.hp.temperature)
        self.second.update(self.hp.hard_weight * hard + (1 - self.hp.hard_weight) * soft)
        return {"cross_entropy": hard, "kl": soft}

    def teach(self, images: Tensor) -> Tensor:
        if self.hp.legacy_self_kd:
            return self.student(images)
        with torch.no_grad():
            return self.teacher(images)

    @torch.no_grad()
    def mix(self, batch: Batch) -> Tensor:
        """x_m = (1 - f) G((1 - f) z_a + f z) + f x with the same f in latent and picture space; x itself at f = 1."""
        f = self.mixing_factor()
        if f == 1:
            return batch.images
        z = self.encode(batch)
        anchors = self.anchor.module(z, batch.labels)[0] if self.hp.use_anchor else z
        return (1 - f) * self.generator.module((1 - f) * anchors + f * z) + f * batch.images

    def mixing_factor(self) -> float:
        """F = min(1, b + (1 - b) t / a) at the share t of stage 3."""
        if self.hp.constant_f is not None:
            return self.hp.constant_f
        return min(1.0, self.hp.mix_b + (1 - self.hp.mix_b) * self.clock.share / self.hp.mix_a)


def slow_start(update: int) -> float:
    """PyTorch's ConstantLR: a third of the learning rate for five updates."""
    return 1 / 3 if update < 5 else 1.0
