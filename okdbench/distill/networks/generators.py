"""Generators (latents to images) and encoders (images to latents), for any image size by one rule."""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from okdbench.core.errors import UserError
from okdbench.distill.networks.convolutions import ContiguousConv2d, UpConv2d
from okdbench.distill.networks.wrapper import Normaliser

#: what ends a generator: a sigmoid gives raw images; tanh and batch norm without affine parameters, or an affine batch
#: norm alone, give normalised ones, whose statistics stay near the data's
HeadKind = Literal["sigmoid", "tanh_bn", "bn"]

#: largest side of the generator's first feature map, and of the encoder's last
LARGEST_GRID = 8
#: the sizes of generated images are multiples of it, so that discriminators can halve them as well
MULTIPLE = 16


def halvings(image_size: int) -> tuple[int, int]:
    """Number of times that ``image_size`` is halved until its side is at most 8, and that side.

    >>> halvings(32), halvings(224)
    ((2, 8), (5, 7))

    Raises:
        UserError: it does not halve evenly.
    """
    count, side = 0, image_size
    while side > LARGEST_GRID and side % 2 == 0:
        count, side = count + 1, side // 2
    if side > LARGEST_GRID:
        raise UserError(
            f"images of {image_size} pixels do not halve evenly down to {LARGEST_GRID} or fewer; "
            f"choose another image size, for example {2 ** (image_size.bit_length() - 1)}"
        )
    return count, side


def can_generate(image_size: int) -> bool:
    """Whether generators make images of this size.

    >>> [size for size in range(28, 150) if can_generate(size)]
    [32, 48, 64, 80, 96, 112, 128]
    """
    odd_part = image_size // (image_size & -image_size)
    return image_size % MULTIPLE == 0 and odd_part <= LARGEST_GRID


def _block(conv: nn.Conv2d, epsilon: float = 1e-5) -> list[nn.Module]:
    return [conv, nn.BatchNorm2d(conv.out_channels, epsilon), nn.LeakyReLU(0.2, inplace=True)]


class Generator(nn.Module):
    """Unconditional convolutional generator, B x latent -> raw B x C x H x W.

    A linear layer to ``stem`` times ``width`` channels on the smallest grid, then nearest-neighbour doublings each
    followed by 3x3 convolution, batch norm and leaky ReLU, and a 3x3 convolution with a head. At 32 pixels and width 64
    these are the layers of AuG-KD's and MosaicKD's released code (2,026,051 parameters at 100 latent dimensions);
    with a stem of 2, those of DAFL, DFAD and LTR.

    Args:
        latent: latent dimensions.
        image_size: resolution of the images in pixels.
        width: channels of the last block.
        normaliser: of the networks that see the images; it tells their channels. Three channels and no change by
            default.
        head: what ends the network; the images are in [0, 1] with ``sigmoid`` alone.
        stem: the largest number of channels, in widths.
        spectral: whether the convolutions have spectral normalisation.
        epsilon: of the batch norms that follow a doubling.

    Raises:
        UserError: the image size does not halve evenly.
    """

    def __init__(
        self,
        latent: int,
        image_size: int,
        width: int = 64,
        *,
        normaliser: Normaliser | None = None,
        head: HeadKind = "sigmoid",
        stem: int = 4,
        spectral: bool = False,
        epsilon: float = 1e-5,
    ) -> None:
        super().__init__()
        self.latent, self.head = latent, head
        self.normaliser = normaliser or Normaliser((0.0,) * 3, (1.0,) * 3)
        doublings, side = halvings(image_size)
        # channels halve with each doubling of the side and end at `width`
        widths = [stem * width] + [width * min(stem, 2 ** (doublings - 1 - i)) for i in range(doublings)]
        self.grid = (widths[0], side, side)
        self.seed = nn.Linear(latent, widths[0] * side * side)
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0])]  # without an activation, as released
        for channels_in, channels_out in pairwise(widths):
            layers += _block(UpConv2d(channels_in, channels_out), epsilon)
        channels = self.normaliser.channels
        last = nn.Conv2d if head == "sigmoid" else ContiguousConv2d
        layers += [last(widths[-1], channels, 3, padding=1), *_head(head, channels)]
        if spectral:
            layers = [spectral_norm(layer) if isinstance(layer, nn.Conv2d) else layer for layer in layers]
        self.grow = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        """Raw images of the latents ``z``, B x latent."""
        grid = self.seed(z).view(-1, *self.grid).contiguous(memory_format=torch.channels_last)
        return self._raw(self.grow(grid))

    def stage_layers(self) -> list[nn.Module]:
        """The layers whose outputs end its stages: the first batch norm, then the leaky ReLU of each doubling."""
        return [self.grow[0], *(layer for layer in self.grow if isinstance(layer, nn.LeakyReLU))]

    def decode(self, maps: Tensor, stage: int) -> Tensor:
        """Raw images of feature maps at the end of a stage, counted from 0."""
        end = list(self.grow).index(self.stage_layers()[stage])
        return self._raw(self.grow[end + 1 :](maps))

    def _raw(self, images: Tensor) -> Tensor:
        return images if self.head == "sigmoid" else self.normaliser.inverse(images)


def _head(kind: HeadKind, channels: int) -> list[nn.Module]:
    if kind == "sigmoid":
        return [nn.Sigmoid()]
    return [nn.Tanh(), nn.BatchNorm2d(channels, affine=False)] if kind == "tanh_bn" else [nn.BatchNorm2d(channels)]


class Decoder(nn.Module):
    """What a generator does after one of its stages; a module, so that its images can be counted.

    Args:
        generator: whose layers it calls.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.generator = generator

    def forward(self, maps: Tensor, stage: int) -> Tensor:
        """Raw images of feature maps at the end of a stage."""
        return self.generator.decode(maps, stage)


class ConditionalGenerator(Generator):
    """A generator with a table of class embeddings; its input is z + table(y) (MAD, Do et al., 2022).

    Args:
        classes: number of embeddings.
        latent: latent dimensions, and size of an embedding.
        image_size: resolution of the images in pixels.
        options: the other arguments of a generator.

    Raises:
        UserError: the image size does not halve evenly.
    """

    def __init__(self, classes: int, latent: int, image_size: int, **options: Any) -> None:
        super().__init__(latent, image_size, **options)
        self.table = nn.Embedding(classes, latent)


class Encoder(nn.Module):
    """Gaussian encoder, raw images and labels -> mean and log-variance, each B x latent.

    Layers of AuG-KD's released code: a 1x1 convolution of the image beside one channel made from the label, then
    subsamplings with 3x3 convolutions that mirror :class:`Generator`. Log-variances are in [-5, 3].

    Args:
        latent: latent dimensions.
        image_size: resolution of the images in pixels.
        classes: number of classes; 0 for an encoder without labels.
        width: channels of the first block.
        channels: of the images.

    Raises:
        UserError: the image size does not halve evenly.
    """

    def __init__(self, latent: int, image_size: int, classes: int, width: int = 64, channels: int = 3) -> None:
        super().__init__()
        count, side = halvings(image_size)
        self.image_size = image_size
        self.image = nn.Conv2d(channels, channels, 1)
        self.classes = classes
        self.label = nn.Linear(classes, image_size * image_size) if classes else None
        widths = [channels + bool(classes)] + [width * min(2, 2**i) for i in range(count)]
        layers: list[nn.Module] = [nn.BatchNorm2d(widths[0])]
        for channels_in, channels_out in pairwise(widths):
            layers += [Subsample(), *_block(nn.Conv2d(channels_in, channels_out, 3, padding=1, bias=False))]
        layers += [nn.Conv2d(widths[-1], 4 * width, 3, padding=1), nn.BatchNorm2d(4 * width), nn.Tanh(), nn.Flatten()]
        self.shrink = nn.Sequential(*layers)
        self.mean = nn.Linear(4 * width * side * side, latent)
        self.log_var = nn.Linear(4 * width * side * side, latent)
        self.apply(_uniform)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of the latents of raw images (B x C x H x W in [0, 1]) with labels (B)."""
        planes = self.image(images)
        if self.label is not None and labels is not None:
            plane = self.label(F.one_hot(labels, self.classes).to(images.dtype))
            planes = torch.cat([planes, plane.view(-1, 1, self.image_size, self.image_size)], 1)
        # contiguous, because the first batch norm has few channels
        features = self.shrink(planes.contiguous())
        # as released: sigma stays between exp(-2.5) = 0.08 and exp(1.5) = 4.5
        return self.mean(features), self.log_var(features).clamp(-5.0, 3.0)


class Subsample(nn.Module):
    """Nearest-neighbour interpolation by one half: keeps every second pixel."""

    def forward(self, images: Tensor) -> Tensor:
        """B x C x H x W -> B x C x H/2 x W/2."""
        return F.interpolate(images, scale_factor=0.5)


def _uniform(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.uniform_(module.weight, -0.08, 0.08)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def sample(mean: Tensor, log_var: Tensor, noise: Tensor) -> Tensor:
    """Reparameterised sample mean + noise * sigma, with the noise clamped to 10 standard deviations."""
    return mean + noise.clamp(-10.0, 10.0) * (0.5 * log_var).exp()
