"""MosaicKD: pictures that are authentic in each patch and legitimate as a whole, made from another domain's patches.

T teacher, S student, G generator, D patch discriminator. Pictures are raw, in [0, 1]; every network reads them through
the teacher's normaliser. Form M0 is the label-free track, M1 the labelled one with form=plus, M2 that with form=joint.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.api import BaseHyperparameters, Batch, Card, Deviation, Losses, Stage, Track, adam, cosine, hyper, legacy
from okdbench.distill.adversarial import PRIORS, QUICK_SGD, DataFree, Priors, SGDHyperparameters
from okdbench.distill.losses import kl
from okdbench.distill.networks.discriminators import PatchDiscriminator, patch_loss
from okdbench.distill.optim import forward_without_buffers

RELEASED_WEIGHTS = {"local": 0.1, "align": 0.1, "adversarial": 1.0, "balance": 0.0}
JOINT = {"form": "joint"}


class MosaicKD(DataFree):
    """One step of D, one of G, five of S: on generated pictures and on student-domain ones, labels unused."""

    card = Card(
        title="Mosaicking to Distill: Knowledge Distillation from Out-of-Domain Data",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2110.15094",
        reads=("teacher logits and input gradients", "student-domain pictures", "their labels, with form=joint"),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
        deviations=(
            Deviation("student's batch", "release: 256 generated and 256 real pictures", "half and half of one batch"),
            Deviation(
                "out-of-domain subset", "release: of the whole set, once", "of each batch, with ood_share below 1"
            ),
            Deviation("a domain's own statistics", "release: of the whole set", "legacy switch: of each batch"),
            Deviation("balance", "release: 10 on log2; README's weights", "the same in nats: 14.427"),
            Deviation(
                "fine-tuning of form plus",
                "unknown; with KL of the teacher beside it",
                "labels alone, as behind all methods",
            ),
            Deviation("weight of balance", "published for 10 and 100 classes", "the same whatever the classes"),
            Deviation("larger pictures", "release: networks without a script", "one rule: at least 8 x 8 windows"),
        ),
    )

    class Hyperparameters(SGDHyperparameters):
        """Values of the release's README."""

        latent: int = hyper(100, "latent dimensions", paper=100, ge=2, le=4096)
        generator_beta1: float = hyper(0.5, "Adam's beta_1, generator and discriminator", paper=0.5, ge=0, lt=1)
        weight_decay: float = hyper(1e-4, "student, data-free stage", paper=1e-4, ge=0, le=1)
        lr_discriminator: float = hyper(1e-3, "Adam, discriminator; cosine to 0", paper=1e-3, gt=0, le=1)
        discriminator_width: int = hyper(128, "channels of its first layer", paper=128, ge=4, le=512)
        receptive_field: int | None = hyper(None, "of its logits in pixels: 4, 10, 22, ...; none: by size", paper=10)
        local: float = hyper(1.0, "weight of the patches' authenticity", paper=1, ge=0)
        align: float = hyper(1.0, "weight of the teacher's entropy", paper=1, ge=0)
        balance: float = hyper(14.427, "weight of the class balance, in nats", paper=14.427, ge=0)
        use_ood_in_student: bool = hyper(True, "half of the student's pictures are real ones", paper=True)
        ood_share: float = hyper(1.0, "share of a real batch that is used, the highest in teacher entropy", gt=0, le=1)
        augment_discriminator: bool = hyper(False, "shift and mirror what D sees, for small domains", paper=False)
        form: Literal["plus", "joint"] = hyper("plus", "labelled track: fine-tuning behind it, or labels within it")
        joint_start: float = hyper(0.8, "weight w of generated pictures, at the start", ge=0, le=1, when=JOINT)
        joint_end: float = hyper(0.2, "the same at the end, linear between", ge=0, le=1, when=JOINT)
        hard_weight: float = hyper(0.5, "weight u of the labels", ge=0, le=1, when=JOINT)
        temperature: float = hyper(10.0, "tau for real pictures", gt=0, le=100, when=JOINT)
        legacy_argparse_weights: bool = legacy("weights 0.1, 0.1, 1, 0 without flags", "the README's 1, 1, 1, 10")
        legacy_ood_normalisation: bool = legacy("real pictures reach T and S in their own statistics", "the teacher's")
        legacy_patch_sum: bool = legacy("sum over windows", "64 x their mean", when={"receptive_field": 22})
        legacy_student_train_mode: bool = legacy("student in train mode in G's step", "eval mode")
        legacy_entropy_rank: bool = legacy("p log p is NaN at p = 0 and ranks first", "finite", when={"ood_share": 0.5})

    paper_batch_size = 512
    presets = {
        **DataFree.presets,
        "smoke": {"generator_width": 8, "discriminator_width": 8},
        "quick": {**QUICK_SGD, "discriminator_width": 32},
        "paper": {"data_free_steps": 39_200},
    }

    @classmethod
    def is_data_free(cls, hp: BaseHyperparameters) -> bool:
        return hp.form == "plus"

    def setup(self) -> None:
        if self.hp.legacy_argparse_weights:
            self.hp = self.hp.model_copy(update=RELEASED_WEIGHTS)
        super().setup()
        hp, size = self.hp, self.task.image_size
        discriminator = PatchDiscriminator(size, hp.receptive_field, hp.discriminator_width)
        optimizer = adam(discriminator, hp.lr_discriminator, betas=(hp.generator_beta1, 0.999))
        self.discriminator = self.own("discriminator", discriminator, optimizer, cosine(self.rounds))

    @property
    def batch_size(self) -> int:
        return max(1, self.step_pictures // 2)

    def available_priors(self) -> Priors:
        return PRIORS | {"align": PRIORS["entropy"]}

    def stages(self) -> list[Stage]:
        data = "labelled" if self.hp.form == "joint" else "images"
        size, batches = round(self.batch_size / self.hp.ood_share), 1 + self.hp.inner_steps
        return [Stage("mosaic", self.rounds, self.iteration, data, size, batches, augment=False)]

    def iteration(self, real: Batch, *others: Batch) -> Losses:
        """One step of D and one of G on the same pictures, then S: L_S = KL(T || S) on fakes and real pictures."""
        images = self.generator.module(self.noise())
        losses = self.discriminator_step(self.select(real).images, images.detach()) | self.generator_step(images)
        for batch in others:
            losses |= self.joint_step(batch) if self.hp.form == "joint" else self.mosaic_step(batch)
        return losses

    # D and G

    def judge(self, images: Tensor) -> Tensor:
        seen = self.task.augment(images) if self.hp.augment_discriminator else images
        return self.discriminator.module(self.task.normaliser(seen))

    def discriminator_step(self, real: Tensor, fake: Tensor) -> Losses:
        """L_D = 1/2 [patch loss of fakes + patch loss of real pictures], each a mean of its own."""
        summed = self.hp.legacy_patch_sum
        loss = (patch_loss(self.judge(fake), False, summed) + patch_loss(self.judge(real), True, summed)) / 2
        self.discriminator.update(loss)
        return {"discriminator": loss}

    def generator_terms(self, images: Tensor, *args: object, **options: object) -> Losses:
        """L_G = local + align - KL(T || S) + balance, weighted."""
        terms = super().generator_terms(images, *args, **options)
        return terms | {"local": patch_loss(self.judge(images), True, self.hp.legacy_patch_sum)}

    def opinion(self, images: Tensor) -> Tensor:
        return self.student(images) if self.hp.legacy_student_train_mode else super().opinion(images)

    # S

    def mosaic_step(self, batch: Batch) -> Losses:
        if not self.hp.use_ood_in_student:
            return self.teach(both := self.generate(self.noise(self.step_pictures)), self.ask(both))
        images = torch.cat([self.draw(), self.real(self.select(batch))])
        return self.teach(images, self.ask(images))

    def joint_step(self, batch: Batch) -> Losses:
        """L_S = w KL(fakes) + (1 - w) [u CE(real, y) + (1 - u) KL_tau(real)], w linear in the stage's share."""
        hp, chosen = self.hp, self.select(batch)
        images = torch.cat([self.draw(), self.real(chosen)])
        teacher_logits, said, count = self.ask(images), self.student(images), self.batch_size
        w = hp.joint_start + (hp.joint_end - hp.joint_start) * self.clock.share
        fake, hard = kl(teacher_logits[:count], said[:count]), F.cross_entropy(said[count:], chosen.labels)
        soft = kl(teacher_logits[count:], said[count:], hp.temperature)
        self.learner.update(w * fake + (1 - w) * (hp.hard_weight * hard + (1 - hp.hard_weight) * soft))
        return {"disagreement": fake, "cross_entropy": hard, "kl": soft}

    def real(self, batch: Batch) -> Tensor:
        """Real pictures for T and S: augmented."""
        images = self.task.augment(batch.images)
        if not self.hp.legacy_ood_normalisation:
            return images
        std, mean = torch.std_mean(images, (0, 2, 3), keepdim=True)
        return self.task.normaliser.inverse((images - mean) / std)

    def select(self, batch: Batch) -> Batch:
        """The share of the batch in which the teacher's entropy is highest: the least in-domain pictures."""
        if self.hp.ood_share == 1:
            return batch
        log_p = self.ask(batch.images).log_softmax(1)
        p = log_p.exp()
        # the release: 0 * log 0 is NaN, which argsort takes for the largest, so the most confident come first
        entropy = -(p * (p.log() if self.hp.legacy_entropy_rank else log_p)).sum(1)
        kept = entropy.argsort(descending=True)[: self.batch_size]
        return Batch(batch.images[kept], None if batch.classes is None else batch.classes[kept])

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:
        """Generated pictures, and the windows of them that D sees: those most and least like real ones."""
        found = super().samples(batch)
        logits = forward_without_buffers(self.discriminator.module, self.task.normaliser(found["generated"]))
        patches = self.discriminator.module.cut(found["generated"], logits)
        ends = {"most": patches[:, :1], "least": patches[:, -1:]}
        title = f"{patches.shape[-1]} x {patches.shape[-1]} windows"
        return found | {f"{title}, judged {how} real": end.flatten(0, 1) for how, end in ends.items()}
