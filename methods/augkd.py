"""AuG-KD: anchor-based mixup generation, three stages in the paper's order.

Images are raw, in [0, 1]. T teacher, S student, G generator, E encoder, A anchor network, z latent, f mixing factor.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.api import Batch, Card, Deviation, Losses, Paper, Snapshot, Stage, hyper, legacy
from okdbench.distill.adversarial import PRIORS, QUICK, RELEASED_GENERATOR, BackboneHyperparameters, DataFree, Priors
from okdbench.distill.losses import batch_norm_l2, energy, gaussian_prior, kl, least_confidence
from okdbench.distill.networks.anchor import AnchorNet
from okdbench.distill.networks.generators import Encoder, sample
from okdbench.distill.optim import adam, cosine, cosine_overrun, set_eval, slow_start

#: checkpoint rules score stage 1 on this many fixed batches of latents, as the release
FIXED_BATCHES = 10
#: states of stage 1 that the release compares, one for each epoch
RELEASED_CANDIDATES = 200


class AuGKD(DataFree):
    """Data-free distillation, then anchors between the domains, then distillation on mixtures with them."""

    card = Card(
        title="AuG-KD: Anchor-Based Mixup Generation for Out-of-Domain Knowledge Distillation",
        venue="ICLR",
        year=2024,
        url="https://arxiv.org/abs/2403.07030",
        release="IshiKura-a/AuG-KD@4c38ac9",
        paper={
            **RELEASED_GENERATOR,
            "latent": 100,
            "lr_generator": 1e-3,
            "lr_student": 1e-3,
            "weight_decay": 1e-4,
        },
        reads=("teacher logits, input gradients and batch-norm statistics", "labelled student-domain images"),
        deviations=(
            Deviation(
                "latents in stages 2 and 3",
                "release: sampled",
                "the mean; sample_latents restores it",
                where="models/generator.py:122",
            ),
            Deviation(
                "end of stage 2",
                "release: lowest loss on evaluation images",
                "last state: none are available",
                where="main.py:343",
            ),
            Deviation(
                "what f multiplies",
                "paper unknown; release: latents and images alike",
                "as the release",
                where="utils/trainer.py:119, :121",
            ),
            Deviation(
                "share of the budget in stage 1",
                "unknown at equal budgets",
                "0.5: data_free_share",
                where="not in the release",
            ),
            Deviation(
                "batch of stage 3",
                "release: B real and B mixed",
                "half and half: the budget of other methods",
                where="utils/trainer.py:124",
            ),
            Deviation("f", "release: constant in an epoch", "a ramp over the steps", where="utils/trainer.py:256"),
            Deviation("KL", "release: the teacher's are at least 1e-8", "exact", where="utils/criteria.py:16"),
            Deviation(
                "schedules of stage 1",
                "release: G and S, once in 200 iterations",
                "at each update",
                where="utils/trainer.py:433",
            ),
            Deviation(
                "steps of stage 2",
                "release: 200 epochs, one or more steps each",
                "2000 steps",
                where="IshiKura-a/AuG-KD@f0f6174 README.md:71",
            ),
        ),
    )

    class Hyperparameters(BackboneHyperparameters):
        """Constants of the three stages; ``paper`` values are those of the authors' Office-31 example."""

        # Stage 1
        lr_encoder: float = hyper(1e-4, "learning rate of Adam, encoder", paper=1e-4, gt=0, le=1)
        data_free_share: float = hyper(0.5, "share of the student's training images spent in stage 1", gt=0, lt=1)
        bn_per_layer: bool = hyper(False, "one norm for each layer instead of one for all", paper=False)
        prior: float = hyper(2.5e-4, "weight of the encoder's Gaussian prior", paper=2.5e-4, ge=0)
        keep: Literal["last", "lowest_kl"] = hyper("last", "state of stage 1 that the later stages start from")
        candidates: int = hyper(20, "states of stage 1 that are compared", paper=200, ge=1, when={"keep": "lowest_kl"})
        # Stage 2
        anchor_steps: int = hyper(2000, "steps of stage 2", ge=1)
        lr_anchor: float = hyper(
            1e-3, "learning rate of Adam, anchor network", paper=1e-3, gt=0, le=1, search=(1e-4, 3e-2)
        )
        rho: float = hyper(0.25, "share of latent dimensions that stay invariant", paper=0.25, ge=0, le=1)
        invariance: float = hyper(1.0, "weight beta / N_z of the mask term", ge=0)
        anchor_ce: float = hyper(0.1, "weight of the anchors' cross-entropy", paper=0.1, ge=0)
        uncertainty: Literal["energy", "max_softmax"] = hyper("energy", "uncertainty of the teacher", paper="energy")
        use_anchor: bool = hyper(True, "false: the anchor of z is z (ablation)")
        # Stage 3
        mixup_epochs: int | None = hyper(None, "epochs of stage 3, instead of the budget's rest", paper=200, ge=1)
        mix_a: float = hyper(0.6, "share of stage 3 at which f reaches 1", paper=0.6, gt=0, le=1)
        mix_b: float = hyper(0.2, "mixing factor f at the start", paper=0.2, ge=0, le=1)
        constant_f: float | None = hyper(None, "a fixed f instead of the ramp; 1: no mixup (ablation)", ge=0, le=1)
        temperature: float = hyper(10.0, "temperature tau of stage 3", paper=10, gt=0, le=100)
        hard_weight: float = hyper(0.5, "weight u of the labels in stage 3", paper=0.5, ge=0, le=1, search=(0.0, 1.0))
        kd_on: Literal["both", "mixed_only"] = hyper("both", "halves of the batch that are distilled on", paper="both")
        sample_latents: bool = hyper(False, "sample from the encoder in stages 2 and 3 instead of taking its mean")
        # Faults of the released code
        legacy_self_kd: bool = legacy(
            "stage 3 distils from the student instead of the teacher", "the true teacher", "utils/trainer.py:127"
        )
        legacy_unnormalised_real: bool = legacy(
            "stage 3's real half is not normalised", "both halves normalised", "utils/trainer.py:124"
        )
        legacy_inv_sum: bool = legacy(
            "anchor loss summed over the batch, one mask target for it", "means, per sample", "utils/criteria.py:314"
        )
        legacy_mask: bool = legacy(
            "mask in [0, 1/3), so that 1 - rho is out of reach", "sigmoid in (0, 1)", "models/anchor_net.py:47"
        )
        legacy_ckpt_rule: bool = legacy(
            "stage 1 keeps the lowest generator loss", "the last state", "utils/trainer.py:466"
        )
        legacy_sched: bool = legacy(
            "cosine per batch, E constant, first five steps at 1/3",
            "cosine; stage 3 constant",
            "utils/trainer.py:167, :433; main.py:355",
        )

    presets = {
        "smoke": {"generator_width": 8, "anchor_steps": 8},
        # as many anchor steps as the release takes with few images
        "quick": {**QUICK, "anchor_steps": 200},
    }
    papers: ClassVar = {
        "": Paper(
            2048,
            {"data_free_steps": 40_000, "candidates": 200, "mixup_epochs": 200},
            "README.md:58-71; utils/trainer.py:383, :408",
        )
    }
    data_free = False

    def setup(self) -> None:
        hp, task = self.hp, self.task
        # G and S
        self.prepare(round(hp.data_free_share * task.student_images))
        # Steps of stage 3: half of each batch is real and half is mixed
        self.half = max(1, task.batch_size // 2)
        remaining = max(0, task.student_images - self.iterations * hp.inner_steps * task.batch_size)
        self.mixup_steps = (hp.mixup_epochs * task.train_size if hp.mixup_epochs else remaining // 2) // self.half
        # E
        encoder = Encoder(hp.latent, task.image_size, task.classes, hp.generator_width, task.channels)
        schedule = None if hp.legacy_sched else cosine(self.iterations * hp.inner_steps)
        self.encoder = self.own("encoder", encoder, adam(encoder, hp.lr_encoder), schedule)
        # A; the release's cosine has the length of its epochs, but is stepped once per batch
        anchor = AnchorNet(hp.latent, task.classes, third_range=hp.legacy_mask)
        epochs = max(1, hp.anchor_steps * task.batch_size // task.train_size)
        schedule = cosine_overrun(epochs) if hp.legacy_sched else cosine(hp.anchor_steps)
        self.anchor = self.own("anchor", anchor, adam(anchor, hp.lr_anchor), schedule)
        # S in stage 3 has a new optimiser
        optimizer = adam(self.student, hp.lr_student, weight_decay=hp.weight_decay)
        schedule = slow_start if hp.legacy_sched else None
        self.mixup_learner = self.own("student in mixup", self.student, optimizer, schedule)
        # Checkpoint rule of stage 1
        candidates = RELEASED_CANDIDATES if hp.legacy_ckpt_rule else hp.candidates if hp.keep == "lowest_kl" else 0
        snapshot = Snapshot(self.generator.module, encoder, self.student, evaluations=candidates, steps=self.iterations)
        self.best = self.state["best of stage 1"] = snapshot
        self.fixed_latents = task.noise(FIXED_BATCHES, task.batch_size, hp.latent)

    def stages(self) -> list[Stage]:
        frozen = (self.generator, self.encoder)
        return [
            Stage("data-free", self.iterations, self.iteration, finish=self.best.restore),
            Stage("anchor", self.hp.anchor_steps, self.anchor_step, "labelled", begin=lambda: set_eval(*frozen)),
            Stage(
                "mixup",
                self.mixup_steps,
                self.mixup_step,
                "labelled",
                self.half,
                begin=lambda: set_eval(*frozen, self.anchor),
            ),
        ]

    # Stage 1: G, E and S from noise alone
    def available_priors(self) -> Priors:
        return PRIORS | {"bn": lambda output: batch_norm_l2(output.bn, self.hp.bn_per_layer)}

    def adversary_logits(self, images: Tensor) -> Tensor:
        return self.student(images)  # in train mode, as released

    def iteration(self) -> Losses:
        losses = super().iteration()
        if self.best.is_due(self.clock.step):
            self.evaluate_snapshot()
        return losses

    def student_step(self) -> Losses:
        """Updates of S and E: L_E = mean_b |z' - z|^2 + 2.5e-4 KL(N(mu, sigma^2) || N(0, I)), z' ~ E(G(z))."""
        z = self.noise()
        images = self.generate(z)
        teacher_logits = self.teacher.targets(images)
        losses = self.distill_step(images, teacher_logits)
        # the teacher's prediction is the label, because generated images have none
        mean, log_var = self.encoder.module(images, teacher_logits.argmax(1))
        regression = (sample(mean, log_var, self.noise()) - z).square().sum(1).mean()
        prior = gaussian_prior(mean, log_var)
        self.encoder.update(regression + self.hp.prior * prior)
        return losses | {"latent_regression": regression, "prior": prior}

    @torch.no_grad()
    def evaluate_snapshot(self) -> None:
        """Score the current state on fixed latents: KL(T || S), or the generator's loss as in the release."""
        self.generator.module.eval()
        with self.student.eval_mode():
            images = [self.generator.module(z) for z in self.fixed_latents]
            # the release's rule contains -KL(T || S), and so prefers a student that disagrees with the teacher
            if self.hp.legacy_ckpt_rule:
                scores = [self.weighted_sum(self.generator_terms(x)) for x in images]
            else:
                scores = [kl(self.teacher(x), self.student(x)) for x in images]
        self.generator.module.train()
        self.best.update(float(torch.stack(scores).mean()))

    # Stage 2: A alone
    def anchor_step(self, batch: Batch) -> Losses:
        """L_A = mean_b U(T(G(z_a))) + beta / N_z mean_b |sum_j m_j - N_z (1 - rho)| + 0.1 mean_b CE(T(G(z_a)), y)."""
        hp = self.hp
        z = self.encode(batch)
        anchors, mask = self.anchor.module(z, batch.labels)
        logits = self.teacher(self.generator.module(anchors))
        # the release compares the sum over the whole batch with the target of one sample
        mask_sum = mask.sum() if hp.legacy_inv_sum else mask.sum(1)
        terms = {
            "uncertainty": {"energy": energy, "max_softmax": least_confidence}[hp.uncertainty](logits),
            "invariance": (mask_sum - hp.latent * (1 - hp.rho)).abs(),
            "anchor_ce": F.cross_entropy(logits, batch.labels, reduction="none"),
        }
        terms = {name: term.sum() if hp.legacy_inv_sum else term.mean() for name, term in terms.items()}
        loss = terms["uncertainty"] + hp.invariance * terms["invariance"] + hp.anchor_ce * terms["anchor_ce"]
        self.anchor.update(loss)
        return terms

    @torch.no_grad()
    def encode(self, batch: Batch) -> Tensor:
        """Latents of real images: the mean, or a sample."""
        mean, log_var = self.encoder.module(batch.images, batch.labels)
        return sample(mean, log_var, self.task.noise(*mean.shape)) if self.hp.sample_latents else mean

    # Stage 3: S on real images and their mixtures with generated anchors
    def mixup_step(self, batch: Batch) -> Losses:
        """L_S = u CE(S(X), Y) + (1 - u) KL_tau(T(X) || S(X)) on X = [x; x_m], Y = [y; y]."""
        # the network normalises its input, so a real half that arrives unnormalised is inverted first
        real = self.task.normaliser.inverse(batch.images) if self.hp.legacy_unnormalised_real else batch.images
        images = torch.cat([real, self.mix(batch)])
        student_logits = self.student(images)
        first = len(real) if self.hp.kd_on == "mixed_only" else 0
        targets = self.student(images)[first:] if self.hp.legacy_self_kd else self.teacher.targets(images[first:])
        hard = F.cross_entropy(student_logits, torch.cat([batch.labels, batch.labels]))
        soft = kl(targets, student_logits[first:], self.hp.temperature)
        self.mixup_learner.update(self.hp.hard_weight * hard + (1 - self.hp.hard_weight) * soft)
        return {"cross_entropy": hard, "kl": soft}

    @torch.no_grad()
    def mix(self, batch: Batch, f: float | None = None) -> Tensor:
        """x_m = (1 - f) G((1 - f) z_a + f z) + f x with the same f in latent and image space; x itself at f = 1."""
        f = self.mixing_factor() if f is None else f
        if f == 1:
            return batch.images
        z = self.encode(batch)
        anchors = self.anchor.module(z, batch.labels)[0] if self.hp.use_anchor else z
        return (1 - f) * self.generator.module((1 - f) * anchors + f * z) + f * batch.images

    def mixing_factor(self) -> float:
        """The ramp f = min(1, b + (1 - b) t / a) at the share t of stage 3."""
        hp = self.hp
        ramp = min(1.0, hp.mix_b + (1 - hp.mix_b) * self.clock.share / hp.mix_a)
        return ramp if hp.constant_f is None else hp.constant_f

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:
        # the modes of stage 3, also if the run was resumed after its last step
        set_eval(self.generator, self.encoder, self.anchor)
        mixtures = {f"mixup/f = {f}": self.mix(batch, f) for f in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)} if batch else {}
        return super().samples(batch) | mixtures
