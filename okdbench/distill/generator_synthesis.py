"""Synthesis of images by a generator whose weights and latents are optimised, a round at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from okdbench.distill.adversarial import QUICK
from okdbench.distill.card import BaseHyperparameters, hyper
from okdbench.distill.losses import agreeing_kl
from okdbench.distill.networks.generators import Generator, HeadKind, can_generate
from okdbench.distill.optim import Learner
from okdbench.distill.synthesis import Synthesis, SynthesisHyperparameters


class GeneratorSynthesisHyperparameters(SynthesisHyperparameters):
    """The generator of CMI's code and of its descendants."""

    latent: int = hyper(256, "latent dimensions", ge=2, le=4096)
    generator_width: int = hyper(64, "channels of the generator's last block", ge=4, le=512)
    head: HeadKind = hyper("sigmoid", "end of the generator")
    stem: int = hyper(2, "channels of the generator's first stage, in widths", ge=1, le=8)
    lr_latents: float | None = hyper(None, "learning rate of the latents; none: that of the weights", gt=0, le=10)


class RoundImages(nn.Module):
    """A generator, and a parameter that each round draws anew."""

    def __init__(self, generator: Generator, drawn: nn.Parameter) -> None:
        super().__init__()
        self.generator, self.drawn = generator, drawn

    def weights(self) -> list[nn.Parameter]:
        """All other parameters."""
        return [parameter for parameter in self.parameters() if parameter is not self.drawn]


class LatentImages(RoundImages):
    """A generator and one latent for each image of a batch."""

    def __init__(self, generator: Generator, count: int) -> None:
        super().__init__(generator, nn.Parameter(torch.zeros(count, generator.latent)))

    def forward(self, labels: Tensor) -> Tensor:
        """Raw images, B x C x H x W, one for each of the labels (B)."""
        images: Tensor = self.generator(self.drawn[: len(labels)])
        return images


class GeneratorSynthesis(Synthesis):
    """What gives images their variety is drawn anew in each round; what happens to the weights is the method's."""

    Hyperparameters: ClassVar[type[BaseHyperparameters]] = GeneratorSynthesisHyperparameters
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "smoke": {**Synthesis.presets["smoke"], "generator_width": 8},
        "quick": QUICK,
    }

    @classmethod
    def takes_size(cls, image_size: int) -> bool:
        """Sizes that the generator can make."""
        return can_generate(image_size)

    def make_source(self) -> Learner:
        """Weights and what is drawn with one Adam."""
        images = self.make_images()
        return self.own("generator", images, self.make_optimizer(images))

    def make_images(self) -> RoundImages:
        """A generator and its latents."""
        return LatentImages(self.make_generator(), self.batch_size)

    def make_generator(self) -> Generator:
        """A new generator.

        Raises:
            UserError: the image size does not halve evenly.
        """
        hp, task = self.hp, self.task
        options = {"normaliser": task.normaliser, "head": hp.head, "stem": hp.stem}
        return Generator(hp.latent, task.image_size, hp.generator_width, **options)

    def make_optimizer(self, images: RoundImages) -> Optimizer:
        """Adam of weights and of what is drawn, with beta_1 0.5."""
        hp = self.hp
        weights = {"params": images.weights(), "lr": hp.lr_images}
        drawn = {"params": [images.drawn], "lr": hp.lr_images if hp.lr_latents is None else hp.lr_latents}
        return torch.optim.Adam([weights, drawn], betas=(0.5, 0.999), fused=True)

    @torch.no_grad()
    def begin_round(self) -> None:
        """Draw latents, and start the moments of Adam anew."""
        drawn = self.images.drawn
        drawn.copy_(self.task.noise(*drawn.shape))
        # A method may have more in the same optimiser, which goes on.
        for parameter in self.images.parameters():
            self.source.optimizer.state.pop(parameter, None)

    @property
    def images(self) -> RoundImages:
        """The generator, and what the round drew."""
        module = self.source.module
        assert isinstance(module, RoundImages)
        return module

    def render(self) -> Tensor:
        """The images of the parameters as they are now."""
        images: Tensor = self.source.module(self.round.labels)
        return images

    def divergence(self, teacher_logits: Tensor, student_logits: Tensor) -> Tensor:
        """KL(T || S) where both choose the same class."""
        return agreeing_kl(teacher_logits, student_logits)
