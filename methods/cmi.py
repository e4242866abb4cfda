"""CMI: a generator is drawn anew for each batch, and its images must differ from all that were made before."""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from okdbench.api import Card, Deviation, Learner, Losses, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.adversarial import WEIGHT
from okdbench.distill.generator_synthesis import GeneratorSynthesis, GeneratorSynthesisHyperparameters, RoundImages
from okdbench.distill.losses import contrast
from okdbench.distill.networks.wrapper import ClassifierOutput, Feature
from okdbench.distill.pool import Ring
from okdbench.distill.synthesis import POOL_DRAWS
from okdbench.distill.views import cropped_each, shifted_each

SCRIPT = "scripts/cmi/scratch_cmi_cifar10_wrn402_wrn161.sh"
#: standard deviation of the weights that the release draws
WEIGHT_STD = 0.02


class CMI(GeneratorSynthesis):
    """L_G = BN + CE(T, y) - 0.5 KL(T || S) where both agree + 0.8 contrast; L_S = KL_20(T || S) on a pool of images.

    The contrast tells an image by two views of it from the others of its batch and of a memory; what is compared is a
    learned projection of the spatial means before each batch norm of T.
    """

    card = Card(
        title="Contrastive Model Inversion for Data-Free Knowledge Distillation",
        venue="IJCAI",
        year=2021,
        url="https://arxiv.org/abs/2105.08584",
        release="zju-vipa/CMI@9e79fa9",
        reads=("teacher logits, input gradients, batch-norm statistics and their inputs",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        paper={
            **{"latent": 256, "generator_width": 64, "head": "sigmoid", "stem": 2, "lr_images": 1e-3},
            **{"rounds": 200, "synthesis_steps": 200, "bn": 1.0, "one_hot": 1.0},
            **{"lr_student": 0.1, "weight_decay": 1e-4, "temperature": 20.0},
        },
        deviations=(
            Deviation(
                "start",
                "the best of three protocols first makes 50,000 images without the adversary, then 40 rounds",
                "200 rounds from an empty pool, the third protocol",
                where="scripts/cmi/adv_cmi_cifar10_wrn402_wrn161.sh",
            ),
            Deviation("steps of a round", "paper's table: 500", "200, as the release's scripts", where=SCRIPT),
            Deviation(
                "features of a ResNet-34",
                "inputs of its four stages",
                "inputs of all batch norms, as of other networks",
                where="datafree_kd.py",
            ),
            Deviation(
                "local view",
                "sides of 3:4 to 4:3",
                "squares of the same areas",
                where="datafree/synthesis/contrastive.py:253",
            ),
            Deviation(
                "mirrored views",
                "always",
                "where the data set's own augmentation mirrors",
                where="datafree/synthesis/contrastive.py:248",
            ),
            Deviation(
                "memory of the contrast",
                "on the CPU",
                "on the device, and in checkpoints: 0.9 GB for WRN-40-2",
                where="datafree/synthesis/contrastive.py",
            ),
            POOL_DRAWS,
        ),
    )

    class Hyperparameters(GeneratorSynthesisHyperparameters):
        """Values of the release's script that starts from scratch."""

        adversarial: float = hyper(0.5, "weight of -KL(T || S) where both agree", paper=0.5, ge=0, search=(0.05, 5.0))
        contrastive: float = hyper(0.8, "weight of the contrast between images", paper=0.8, ge=0, search=WEIGHT)
        contrast_temperature: float = hyper(0.1, "temperature of the contrast", paper=0.1, gt=0, search=(0.05, 0.5))
        projection: int = hyper(256, "dimensions in which images are contrasted", paper=256, ge=2, le=4096)
        negatives: int = hyper(4096, "images of the memory in each step; time grows with its square", paper=4096, ge=0)
        bank_size: int = hyper(40_960, "images in the memory; the oldest go first", paper=40_960, ge=1)
        legacy_empty_contrast: bool = legacy(
            "once the memory is exactly full, a round draws nothing from it; its loss is NaN, and it keeps its first, "
            "untrained images",
            "a full memory is drawn from",
            "datafree/synthesis/contrastive.py:158",
            # which is full in the middle of budget quick
            when={"bank_size": 640},
        )

    presets = {
        # the second round finds the memory full
        "smoke": {**GeneratorSynthesis.presets["smoke"], "bank_size": 16, "negatives": 8},
        "quick": {
            **GeneratorSynthesis.presets["quick"],
            **{"rounds": 10, "synthesis_steps": 80, "lr_images": 5e-3, "negatives": 256},
        },
    }
    papers: ClassVar = {"": Paper(128, {"synthesis_batch": 256, "student_steps": 400}, SCRIPT)}

    norm_terms = ("bn", "contrastive")

    def make_source(self) -> Learner:
        hp, task = self.hp, self.task
        if hp.contrastive:
            blank = torch.zeros(1, task.channels, task.image_size, task.image_size, device=task.device)
            with torch.no_grad():
                size = features_of(self.teacher.forward_with_features(blank, "bn_means")).shape[1]
            head = nn.Sequential(nn.Linear(size, size), nn.ReLU(), nn.Linear(size, hp.projection))
            self.projection = self.place("projection", head)
            self.bank = self.state["bank"] = Ring(min(hp.bank_size, self.made), 2 * size, device=task.device)
        return super().make_source()

    def make_optimizer(self, images: RoundImages) -> Optimizer:
        optimizer = super().make_optimizer(images)
        if self.hp.contrastive:
            head = {"params": list(self.projection.parameters()), "lr": self.hp.lr_images, "betas": (0.9, 0.999)}
            optimizer.add_param_group(head)
        return optimizer

    @torch.no_grad()
    def begin_round(self) -> None:
        for layer in self.images.generator.modules():
            if isinstance(layer, (nn.Linear, nn.Conv2d, nn.BatchNorm2d)) and layer.weight is not None:
                mean = float(isinstance(layer, nn.BatchNorm2d))
                layer.weight.copy_(mean + WEIGHT_STD * self.task.noise(*layer.weight.shape))
                if layer.bias is not None:
                    layer.bias.zero_()
        super().begin_round()

    def view(self, images: Tensor) -> Tensor:
        return shifted_each(images, self.mirrors, self.task.rng)

    def local_view(self, images: Tensor) -> Tensor:
        """Another view of the same images: a part of each."""
        return cropped_each(images, self.mirrors, self.task.rng)

    def features(self) -> list[Feature]:
        return [*super().features(), "bn_means"] if self.hp.contrastive else super().features()

    def terms(self, images: Tensor) -> Losses:
        view = self.view(images)
        output = self.teacher.forward_with_features(view, *self.features())
        terms = self.inversion_terms(view, output)
        if self.hp.contrastive:
            local = self.teacher.forward_with_features(self.local_view(images), "bn_means")
            self.pairs: Tensor = torch.cat([features_of(local), features_of(output).detach()], 1)
            terms["contrastive"] = self.contrast(torch.cat([self.pairs, self.remembered()]))
        return terms

    def contrast(self, pairs: Tensor) -> Tensor:
        """The contrast of images by the features of two views (N x 2F), of which those of this round come first."""
        local, whole = pairs.chunk(2, 1)
        anchors = F.normalize(self.projection(local))
        # As released, the whole view is a target: neither images nor projection learn through it.
        with torch.no_grad():
            others = F.normalize(self.projection(whole))
        return contrast(anchors, others, self.hp.contrast_temperature, self.batch_size)

    def remembered(self) -> Tensor:
        """Features of images of earlier rounds, drawn without replacement."""
        count = 0 if self.ignores_bank else len(self.bank)
        numbers = torch.randperm(count, generator=self.task.rng, device=self.task.device)
        return self.bank[numbers[: self.hp.negatives]]

    @property
    def ignores_bank(self) -> bool:
        """Whether the release draws nothing from the memory in this round."""
        return bool(self.hp.legacy_empty_contrast and self.hp.contrastive and self.bank.added == self.bank.capacity)

    def keep(self, loss: Tensor, images: Tensor) -> None:
        # The release has a loss of NaN then, which is not lower than any. Its gradients are those without a memory.
        if self.ignores_bank and self.round.best:
            return
        self.round.offer(loss, {"images": images} | ({"pairs": self.pairs} if self.hp.contrastive else {}))

    def end_round(self) -> None:
        super().end_round()
        if self.hp.contrastive:
            self.bank.add(self.round.best["pairs"])


def features_of(output: ClassifierOutput) -> Tensor:
    """The spatial means of all layers, B x F."""
    return torch.cat(output.bn_means, 1)
