"""MosaicKD: generated images are authentic in each patch and legitimate as a whole; patches come from another domain.

T teacher, S student, G generator, D patch discriminator. Images are raw, in [0, 1]; every network reads them through
the teacher's normaliser. The label-free track runs form M0; the others run M1 (form=plus) or M2 (form=joint).
"""

from __future__ import annotations

import math
from typing import ClassVar, Literal

import torch
from torch import Tensor

from okdbench.api import (
    BaseHyperparameters,
    Batch,
    Card,
    Deviation,
    Losses,
    Paper,
    Stage,
    TaskKind,
    Track,
    adam,
    cosine,
    hyper,
    legacy,
)
from okdbench.distill.adversarial import (
    LR_GENERATOR,
    PRIORS,
    QUICK,
    RELEASED_GENERATOR,
    WEIGHT,
    DataFree,
    Priors,
    SGDHyperparameters,
)
from okdbench.distill.losses import kl, partial_cross_entropy
from okdbench.distill.networks.discriminators import PatchDiscriminator, patch_loss
from okdbench.distill.optim import forward_without_buffers

#: defaults of the released code's command line; its README sets 1, 1, 1, 10
RELEASED_WEIGHTS = {"local": 0.1, "align": 0.1, "adversarial": 1.0, "balance": 0.0}
JOINT = {"form": "joint"}


class MosaicKD(DataFree):
    """One step of D, one of G, five of S: on generated images and on student-domain ones, labels unused.

    min over S, max over G in a ball of admissible distributions, of KL(T || S); the ball's constraint is a penalty:
    L_G = local (Eq. 3) + align (Eq. 4) - KL(T || S) (Eq. 7) + balance (appendix).
    """

    card = Card(
        title="Mosaicking to Distill: Knowledge Distillation from Out-of-Domain Data",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2110.15094",
        release="zju-vipa/MosaicKD@ed68157",
        paper=RELEASED_GENERATOR,
        reads=("teacher logits and input gradients", "student-domain images", "their labels, with form=joint"),
        tasks=(TaskKind.ADAPT, TaskKind.TRANSFER),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "student's batch",
                "release: 256 generated and 256 real images",
                "half and half of one batch",
                where="kd_mosaic.py:455",
            ),
            Deviation(
                "out-of-domain subset",
                "release: of the whole set, once",
                "of each batch, with ood_share below 1",
                where="kd_mosaic.py:368",
            ),
            Deviation(
                "a domain's own statistics",
                "release: of the whole set",
                "legacy switch: of each batch",
                where="registry.py:21",
            ),
            Deviation(
                "balance",
                "release: 10 on log2; README's weights",
                "the same in nats: 10 / ln 2",
                where="kd_mosaic.py:430",
            ),
            Deviation(
                "weight of D's loss",
                "release: that of the local term",
                "1, as the README; 0.1 with legacy_argparse_weights",
                where="kd_mosaic.py:398",
            ),
            Deviation(
                "student's schedule", "release: cosine, per round", "cosine, per update", where="kd_mosaic.py:469"
            ),
            Deviation(
                "fine-tuning of form plus",
                "unknown; with KL of the teacher beside it",
                "labels alone, as after all methods",
                where="not in the release",
            ),
            Deviation(
                "weight of balance",
                "published for 100 classes",
                "the same for any number of classes",
                where="zju-vipa/MosaicKD@26745c6 README.md:39",
            ),
            Deviation(
                "larger images",
                "release: networks without a script",
                "one rule: at least 8 x 8 windows",
                where="zju-vipa/MosaicKD@a8d8e2c engine/models/generator.py",
            ),
        ),
    )

    class Hyperparameters(SGDHyperparameters):
        """Values of the release's README."""

        data_free_share: float = hyper(
            0.5, "share of the training images before the fine-tuning stage", gt=0, lt=1, when={"form": "plus"}
        )
        latent: int = hyper(100, "latent dimensions", paper=100, ge=2, le=4096)
        generator_beta1: float = hyper(0.5, "Adam's beta_1, generator and discriminator", paper=0.5, ge=0, lt=1)
        weight_decay: float = hyper(1e-4, "weight decay, student, data-free stage", paper=1e-4, ge=0, le=1)
        lr_discriminator: float = hyper(
            1e-3, "learning rate of Adam, discriminator; cosine to 0", paper=1e-3, gt=0, le=1, search=LR_GENERATOR
        )
        discriminator_width: int = hyper(128, "channels of the discriminator's first layer", paper=128, ge=4, le=512)
        receptive_field: int | None = hyper(
            None, "of the discriminator's logits in pixels: 4, 10, 22, ...; none: by image size", paper=10
        )
        local: float = hyper(1.0, "weight of the patches' authenticity", paper=1, ge=0, search=WEIGHT)
        align: float = hyper(1.0, "weight of the teacher's entropy", paper=1, ge=0, search=WEIGHT)
        # the release has 10 in bits
        balance: float = hyper(
            10 / math.log(2), "weight of the class balance, in nats", paper=10 / math.log(2), ge=0, search=(1.4, 140.0)
        )
        use_ood_in_student: bool = hyper(True, "half of the student's training images are real", paper=True)
        ood_share: float = hyper(1.0, "share of a real batch that is used, the highest in teacher entropy", gt=0, le=1)
        augment_discriminator: bool = hyper(
            False, "change the input of D at random as a student's images, for small domains", paper=False
        )
        form: Literal["plus", "joint"] = hyper("plus", "with labels: fine-tuning after it, or labels within it")
        joint_start: float = hyper(0.8, "weight w of generated images, at the start", ge=0, le=1, when=JOINT)
        joint_end: float = hyper(0.2, "the same at the end, linear between", ge=0, le=1, when=JOINT)
        hard_weight: float = hyper(0.5, "weight u of the labels", ge=0, le=1, when=JOINT)
        temperature: float = hyper(10.0, "temperature tau for real images", gt=0, le=100, when=JOINT)
        legacy_argparse_weights: bool = legacy(
            "weights 0.1, 0.1, 1, 0 without flags", "the README's 1, 1, 1, 10", "kd_mosaic.py:58"
        )
        legacy_ood_normalisation: bool = legacy(
            "real images are normalised with their own statistics for T and S", "the teacher's", "kd_mosaic.py:160"
        )
        legacy_patch_sum: bool = legacy(
            "sum over windows", "64 x their mean", "kd_mosaic.py:423", when={"receptive_field": 22}
        )
        legacy_student_train_mode: bool = legacy("student in train mode in G's step", "eval mode", "kd_mosaic.py:380")
        legacy_entropy_rank: bool = legacy(
            "p log p is NaN at p = 0 and ranks first", "finite", "kd_mosaic.py:365, :368", when={"ood_share": 0.5}
        )

    # 256 generated and 256 real images; 200 epochs of 196 iterations
    presets = {
        **DataFree.presets,
        "smoke": {"generator_width": 8, "discriminator_width": 8},
        "quick": {**QUICK, "discriminator_width": 32},
    }
    # 200 epochs of 196 iterations
    papers: ClassVar = {"": Paper(512, {"data_free_steps": 39_200}, "kd_mosaic.py:36-56")}

    @classmethod
    def is_data_free(cls, hp: BaseHyperparameters) -> bool:
        return hp.form == "plus"

    def setup(self) -> None:
        if self.hp.legacy_argparse_weights:
            self.hp = self.hp.model_copy(update=RELEASED_WEIGHTS)
        super().setup()
        hp, size = self.hp, self.task.image_size
        discriminator = PatchDiscriminator(size, hp.receptive_field, hp.discriminator_width, self.task.channels)
        optimizer = adam(discriminator, hp.lr_discriminator, betas=(hp.generator_beta1, 0.999))
        self.discriminator = self.own("discriminator", discriminator, optimizer, cosine(self.iterations))

    @property
    def batch_size(self) -> int:
        return max(1, self.step_images // 2)

    def available_priors(self) -> Priors:
        # label-space alignment (Eq. 4): the soft entropy, of which one-hot cross-entropy is the hard form
        return PRIORS | {"align": PRIORS["entropy"]}

    def stages(self) -> list[Stage]:
        data = "partly" if self.hp.form == "joint" else "images"
        # one batch for D and one per step of S, each with images to discard if ood_share is below 1
        size, batches = round(self.batch_size / self.hp.ood_share), 1 + self.hp.inner_steps
        # not augmented: D sees real images as they are, S augments its own
        return [Stage("mosaic", self.iterations, self.mosaic_iteration, data, size, batches, augment=False)]

    def mosaic_iteration(self, real: Batch, *student_batches: Batch) -> Losses:
        """One step of D and one of G on the same generated images, then the steps of S."""
        images = self.generator.module(self.noise())
        losses = self.discriminator_step(self.select_ood(real).images, images.detach()) | self.generator_step(images)
        for batch in student_batches:
            losses |= self.joint_step(batch) if self.hp.form == "joint" else self.mosaic_step(batch)
        return losses

    # D and G

    def window_logits(self, images: Tensor) -> Tensor:
        """D's logits of the windows of raw images."""
        images = self.task.augment(images) if self.hp.augment_discriminator else images
        return self.discriminator.module(self.task.normaliser(images))

    def discriminator_step(self, real: Tensor, fake: Tensor) -> Losses:
        """L_D = 1/2 [patch loss of fake images + patch loss of real images], each a mean of its own."""
        summed = self.hp.legacy_patch_sum
        fake_loss = patch_loss(self.window_logits(fake), False, summed)
        real_loss = patch_loss(self.window_logits(real), True, summed)
        loss = (fake_loss + real_loss) / 2
        if self.hp.legacy_argparse_weights:
            loss = self.hp.local * loss
        self.discriminator.update(loss)
        return {"discriminator": loss}

    def generator_terms(self, images: Tensor, *args: object, **options: object) -> Losses:
        """L_G, weighted; its local term is the non-saturating loss that fools D (Eq. 3)."""
        terms = super().generator_terms(images, *args, **options)
        return terms | {"local": patch_loss(self.window_logits(images), True, self.hp.legacy_patch_sum)}

    def adversary_logits(self, images: Tensor) -> Tensor:
        return self.student(images) if self.hp.legacy_student_train_mode else super().adversary_logits(images)

    # S

    def mosaic_step(self, batch: Batch) -> Losses:
        """L_S = KL(T || S) on generated and real images (appendix, Sec. 2), or on generated ones alone."""
        if self.hp.use_ood_in_student:
            images = torch.cat([self.sample_images(), self.student_view(self.select_ood(batch))])
        else:
            images = self.generate(self.noise(self.step_images))
        return self.distill_step(images, self.teacher.targets(images))

    def joint_step(self, batch: Batch) -> Losses:
        """L_S = w KL(fakes) + (1 - w) [u CE(real, y) + (1 - u) KL_tau(real)], w linear in the stage's share."""
        hp, selected, count = self.hp, self.select_ood(batch), self.batch_size
        # the first `count` images are generated, the others real
        images = torch.cat([self.sample_images(), self.student_view(selected)])
        teacher_logits, student_logits = self.teacher.targets(images), self.student(images)
        fake = kl(teacher_logits[:count], student_logits[:count])
        hard = partial_cross_entropy(student_logits[count:], selected.labels)
        soft = kl(teacher_logits[count:], student_logits[count:], hp.temperature)
        w = hp.joint_start + (hp.joint_end - hp.joint_start) * self.clock.share
        self.learner.update(w * fake + (1 - w) * (hp.hard_weight * hard + (1 - hp.hard_weight) * soft))
        return {"disagreement": fake, "cross_entropy": hard, "kl": soft}

    def student_view(self, batch: Batch) -> Tensor:
        """Real images as T and S see them: augmented."""
        images = self.task.augment(batch.images)
        if not self.hp.legacy_ood_normalisation:
            return images
        # the networks normalise with the teacher's statistics, so the inverse leaves those of the batch in effect
        std, mean = torch.std_mean(images, (0, 2, 3), keepdim=True)
        return self.task.normaliser.inverse((images - mean) / std)

    def select_ood(self, batch: Batch) -> Batch:
        """The share of the batch in which the teacher's entropy is highest: the images most out of its domain."""
        if self.hp.ood_share == 1:
            return batch
        with torch.no_grad():
            log_p = self.teacher(batch.images).log_softmax(1)
        p = log_p.exp()
        # in the release, 0 * log 0 is NaN, which argsort ranks highest, so the most confident images come first
        entropy = -(p * (p.log() if self.hp.legacy_entropy_rank else log_p)).sum(1)
        kept = entropy.argsort(descending=True)[: self.batch_size]
        return Batch(batch.images[kept], None if batch.classes is None else batch.classes[kept])

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:
        """Generated images, and per image the windows with the highest and the lowest logit of D."""
        images = super().samples(batch)
        logits = forward_without_buffers(self.discriminator.module, self.task.normaliser(images["generated"]))
        windows = self.discriminator.module.windows_by_logit(images["generated"], logits)
        title = f"{windows.shape[-1]} x {windows.shape[-1]} windows"
        return images | {
            f"{title}, most real according to D": windows[:, :1].flatten(0, 1),
            f"{title}, least real according to D": windows[:, -1:].flatten(0, 1),
        }
