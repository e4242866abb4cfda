"""Frozen classifiers with adapters in the frequency domain, and distances of phases (4Ds, Tang et al., 2024).

A feature map is a sum of waves over the image: amplitudes are taken to be the style of a domain, and phases what the
image shows. An adapter changes amplitudes and keeps phases.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.distill.networks.wrapper import ClassifierWrapper

#: real parts and squared amplitudes are at least this far from 0, so that their gradients are finite
SMALLEST = 1e-5
#: divides the logits of an adapter's two shares
SHARE_TEMPERATURE = 0.1
#: channels of a gate for each of its hidden units
GATE_REDUCTION = 16


def transform(maps: Tensor) -> Tensor:
    """The two-dimensional Fourier transform of each channel, B x C x H x W and complex."""
    # there is none of bfloat16
    spectrum: Tensor = torch.fft.fft2(maps.to(torch.promote_types(maps.dtype, torch.float32)))
    return spectrum


def phases(spectrum: Tensor) -> Tensor:
    """The angles of its numbers, in [-pi, pi]."""
    real = torch.where(spectrum.real.abs() < SMALLEST, SMALLEST, spectrum.real)
    return torch.atan2(spectrum.imag, real)


def amplitudes(spectrum: Tensor) -> Tensor:
    """The lengths of its numbers."""
    return (spectrum.real.square() + spectrum.imag.square()).clamp(min=SMALLEST).sqrt()


def inverse(angles: Tensor, lengths: Tensor) -> Tensor:
    """The maps with these phases and amplitudes."""
    maps: Tensor = torch.fft.irfft2(torch.polar(lengths, angles), s=angles.shape[2:])
    return maps


class FourierAdapter(nn.Module):
    """Feature maps x -> maps with the phases of x and the amplitudes w_0 |F(a(x))| + w_1 |F(x)|.

    a is 1x1 convolution, batch norm, ReLU, 1x1 convolution, batch norm; (w_0, w_1) = softmax(theta / 0.1).

    Args:
        channels: of the maps.
        reduction: channels for each one between the two convolutions.
    """

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        narrow = max(1, channels // reduction)
        self.shares = nn.Parameter(torch.zeros(2))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, narrow, 1, bias=False),
            nn.BatchNorm2d(narrow),
            nn.ReLU(inplace=True),
            nn.Conv2d(narrow, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, maps: Tensor) -> tuple[Tensor, Tensor]:
        """The adapted maps, and the phases of the given ones."""
        spectrum = transform(maps)
        angles, old, new = phases(spectrum), amplitudes(spectrum), amplitudes(transform(self.layers(maps)))
        share = (self.shares / SHARE_TEMPERATURE).softmax(0)
        return inverse(angles, share[0] * new + share[1] * old).to(maps.dtype), angles


class AdaptedClassifier(nn.Module):
    """A classifier with an adapter after each of some layers; only the adapters are part of this module.

    Args:
        classifier: may be locked; neither its weights nor its forward passes elsewhere change.
        layers: modules of the classifier whose outputs are feature maps.
        adapters: one for each of the layers.
    """

    def __init__(
        self, classifier: ClassifierWrapper, layers: Sequence[nn.Module], adapters: Sequence[FourierAdapter]
    ) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(adapters)
        # in tuples, so that they are no part of this module
        self._classifier, self._layers = (classifier,), tuple(layers)

    def forward(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Logits of raw images, and the phases at the input of each adapter."""
        angles: list[Tensor] = []

        def insert(adapter: nn.Module) -> Callable[[nn.Module, Any, Tensor], Tensor]:
            def hook(_layer: nn.Module, _inputs: Any, maps: Tensor) -> Tensor:
                adapted: Tensor
                adapted, found = adapter(maps)
                angles.append(found)
                return adapted

            return hook

        # hooks exist only during this call, so that the classifier is unchanged elsewhere
        pairs = zip(self._layers, self.adapters, strict=True)
        hooks = [layer.register_forward_hook(insert(adapter)) for layer, adapter in pairs]
        try:
            return self._classifier[0](images), angles
        finally:
            for hook in hooks:
                hook.remove()


class PhaseDistance(nn.Module):
    """Mean squared difference of the phases of two networks, pooled to one size, concatenated and gated.

    The gate, a squeeze and excitation of the second network's phases, scales the channels of both. Maps of the first
    network that have another number of channels are projected by a 1x1 convolution before their transform. The gate
    reads mean phases, in which opposite frequencies cancel, so with odd sides it is 1/2 whatever it has learned.

    Args:
        channels: of each of the first network's maps.
        others: the same for the second network.
    """

    def __init__(self, channels: Sequence[int], others: Sequence[int]) -> None:
        super().__init__()
        self.projections = nn.ModuleList(
            nn.Identity() if own == other else nn.Conv2d(own, other, 1, bias=False)
            for own, other in zip(channels, others, strict=True)
        )
        total = sum(others)
        narrow = max(1, total // GATE_REDUCTION)
        self.gate = nn.Sequential(
            nn.Linear(total, narrow, bias=False), nn.ReLU(), nn.Linear(narrow, total, bias=False), nn.Sigmoid()
        )

    def forward(self, *maps: Tensor, others: Sequence[Tensor]) -> Tensor:
        """Of the first network's maps and the second one's phases, all pooled to the size of the last phases."""
        size = others[-1].shape[2:]
        projected = [projection(own) for projection, own in zip(self.projections, maps, strict=True)]
        own = torch.cat([pooled(phases(transform(one)), size) for one in projected], 1)
        other = torch.cat([pooled(angles, size) for angles in others], 1)
        gate = self.gate(other.mean((2, 3)))[:, :, None, None]
        return F.mse_loss(gate * own, gate * other)


def pooled(maps: Tensor, size: Sequence[int]) -> Tensor:
    """Adaptive average pooling, whose gradient is deterministic on a GPU as well."""
    if maps.shape[2:] == size:
        return maps
    rows, columns = (
        F.adaptive_avg_pool1d(torch.eye(before, dtype=maps.dtype, device=maps.device)[None], after)[0]
        for before, after in zip(maps.shape[2:], size, strict=True)
    )
    return rows.mT @ maps @ columns
