"""NAYER: images from text embeddings of the class names, which a layer of noise varies."""

from __future__ import annotations

from math import ceil
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from okdbench.api import Card, Deviation, Paper, TaskKind, Track, hyper, legacy
from okdbench.distill.adversarial import QUICK
from okdbench.distill.averaged_synthesis import AveragedHyperparameters, AveragedSynthesis
from okdbench.distill.card import BaseHyperparameters
from okdbench.distill.generator_synthesis import RoundImages
from okdbench.distill.networks.generators import Generator

#: times that the release makes images in a round, each with its own noise: in the warm-up, and after it
WARM_UP_CALLS, CALLS = 10, 2
README = "tmtuan1307/nayer@c6bedcd README"
#: as many images as are made, and the half of 400 steps for each call
PAPER = {"synthesis_batch": 400, "pool_size": 160_000, "student_steps": 200}


class NoisyImages(RoundImages):
    """G(W_j n(e_y) + b_j): batch norm n of the class embedding e_y, and a noisy layer j for each set of all classes.

    Args:
        generator: its latent dimensions are the outputs of a noisy layer.
        embeddings: of the classes, C x E.
        count: images of a batch.
    """

    embeddings: Tensor

    def __init__(self, generator: Generator, embeddings: Tensor, count: int) -> None:
        classes, size = embeddings.shape
        layers = ceil(count / classes)
        super().__init__(generator, nn.Parameter(torch.zeros(layers, size, generator.latent)))
        self.bias = nn.Parameter(torch.zeros(layers, 1, generator.latent))
        self.norm = nn.BatchNorm1d(size)
        self.register_buffer("embeddings", embeddings)

    def forward(self, labels: Tensor) -> Tensor:
        """Raw images, B x C x H x W, of labels (B) that count through the classes, over and over."""
        known = self.norm(self.embeddings[labels])
        layers, size, _ = self.drawn.shape
        # The last set may lack classes.
        padding = known.new_zeros(layers * len(self.embeddings) - len(labels), size)
        sets = torch.cat([known, padding]).view(layers, -1, size)
        varied = torch.baddbmm(self.bias, sets, self.drawn).flatten(0, 1)
        images: Tensor = self.generator(varied[: len(labels)])
        return images


class NAYER(AveragedSynthesis):
    """L_x = 10 BN_ema + 0.5 CE(T, y) - 1.33 KL(T || S) where T and S agree; L_S = KL_20(T || S) on a pool of images."""

    card = Card(
        title="NAYER: Noisy Layer Data Generation for Efficient and Effective Data-free Knowledge Distillation",
        venue="CVPR",
        year=2024,
        url="https://arxiv.org/abs/2310.00258",
        release="tmtuan1307/nayer@c6bedcd",
        reads=("teacher logits, input gradients and batch-norm statistics", "text of the class names"),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        paper={"weight_decay": 1e-4, "temperature": 20.0, "generator_width": 64, "head": "sigmoid", "stem": 2},
        deviations=(
            Deviation(
                "text encoder",
                "CLIP's of ViT-B/32, 512 dimensions, of 'a image of' and the name",
                "mean of WordLlama's word vectors, 256 dimensions, of the name; a file of CLIP's can be given",
                where="docs/data.md",
            ),
            Deviation(
                "rounds",
                "two calls of synthesis, ten in the warm-up, then 400 steps of the student",
                "one call, then half as many steps; twice as many rounds, ten times as many in the warm-up",
            ),
            Deviation("mirrored views", "always", "where the data set's own augmentation mirrors"),
            Deviation("student's schedule", "cosine, per round", "cosine, per update"),
            Deviation("student's batches", "all images of the pool in turn", "drawn with replacement"),
        ),
    )

    class Hyperparameters(AveragedHyperparameters):
        """NAYER-100 on CIFAR-10."""

        latent: int = hyper(1000, "outputs of a noisy layer", paper=1000, ge=2, le=4096)
        names: Literal["text", "one_hot"] = hyper(
            "text", "embeddings of the classes; one-hot where a data set has none of text", paper="text"
        )
        warm_up_rounds: int = hyper(200, "rounds of synthesis alone before them", paper=200, ge=0)
        synthesis_steps: int = hyper(30, "steps of optimisation of a round", paper=30, ge=1)
        synthesis_batch: int | None = hyper(
            None, "images that a round makes; none: as a training batch", paper=400, ge=2
        )
        lr_images: float = hyper(4e-3, "learning rate of Adam, generator", paper=4e-3, gt=0, le=1, search=(5e-4, 2e-2))
        lr_latents: float | None = hyper(
            None, "learning rate of the noisy layers; none: that of the generator", gt=0, le=10
        )
        generator_life: int = hyper(
            10, "rounds of the release after which the generator starts anew; 0: never", paper=10, ge=0
        )
        legacy_carried_best: bool = legacy(
            "the later calls of a round keep images only below the lowest loss of those before, or else their first, "
            "untrained ones",
            "each call keeps its best",
        )

    presets = {
        "smoke": {**AveragedSynthesis.presets["smoke"], "warm_up_rounds": 1, "latent": 32},
        "quick": {**QUICK, "rounds": 40, "warm_up_rounds": 10, "synthesis_steps": 15},
    }
    papers: ClassVar = {
        "": Paper(512, PAPER, README),
        "cifar100": Paper(512, {**PAPER, "synthesis_steps": 40}, README),
    }

    every_class_in_turn = True

    @classmethod
    def reads_names(cls, hp: BaseHyperparameters) -> bool:
        return hp.names == "text"

    def make_images(self) -> RoundImages:
        return NoisyImages(self.make_generator(), self.task.class_embeddings, self.batch_size)

    def released_round(self) -> tuple[int, int]:
        """The round of the release that this one is a call of, and the place of the call in it."""
        if self.round_number < 0:
            return divmod(self.round_number + self.hp.warm_up_rounds, WARM_UP_CALLS)
        number, place = divmod(self.round_number, CALLS)
        return ceil(self.hp.warm_up_rounds / WARM_UP_CALLS) + number, place

    def continues(self) -> bool:
        return bool(self.hp.legacy_carried_best and self.released_round()[1])

    @torch.no_grad()
    def begin_round(self) -> None:
        """A new noise, and at times a new generator."""
        images, (number, place) = self.images, self.released_round()
        if self.hp.generator_life and number and not place and number % self.hp.generator_life == 0:
            for layer in images.modules():
                self.start_anew(layer)
        assert isinstance(images, NoisyImages)
        images.bias.zero_()
        super().begin_round()

    def start_anew(self, layer: nn.Module) -> None:
        """Draw weights and bias as PyTorch does, but from the run's generator."""
        if isinstance(layer, (nn.BatchNorm1d, nn.BatchNorm2d)):
            layer.reset_parameters()
        elif isinstance(layer, (nn.Linear, nn.Conv2d)):
            bound = layer.weight[0].numel() ** -0.5
            for parameter in layer.parameters():
                parameter.uniform_(-bound, bound, generator=self.task.rng)
