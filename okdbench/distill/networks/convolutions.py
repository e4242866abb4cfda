"""Convolutions that give what the usual layers give in less time: fewer multiplications, or another layout.

Parameters and state dicts are those of :class:`torch.nn.Conv2d`. All are made of differentiable operations, so they
can be differentiated any number of times.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

#: with fewer channels than this, batch norm is slow in channels_last
FEW = 8
#: row t: the taps of a kernel of three that fall on one pixel of the small map at tap t of the transposed convolution
_TAPS = ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 1.0, 0.0), (1.0, 0.0, 0.0))


class UpConv2d(nn.Conv2d):
    """Nearest-neighbour doubling of the side, then a 3x3 convolution with padding 1 and without bias.

    Every pixel is there four times, so nine taps meet four different pixels: with R of 4 x 3, it is the transposed
    convolution of stride 2 and padding 1 with the 4x4 kernel R w R^T, which has 4/9 of the multiplications. Here
    R w R^T is one product with a 16 x 9 matrix, the Kronecker product of R with itself.
    """

    taps: Tensor

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 3, padding=1, bias=False)
        rows = torch.tensor(_TAPS)
        self.register_buffer("taps", torch.kron(rows, rows), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """B x C x H x W -> B x C' x 2H x 2W."""
        # Sums of taps in bfloat16 would be rounded twice.
        with torch.autocast(images.device.type, enabled=False):
            # Channels last, as the weight is in memory.
            kernel = self.taps @ self.weight.permute(0, 2, 3, 1).flatten(1, 2)
        kernel = kernel.view(-1, 4, 4, self.in_channels).permute(3, 0, 1, 2)
        return F.conv_transpose2d(images, kernel, stride=2, padding=1)


class TrimmedConv2d(nn.Conv2d):
    """A zero-padded convolution whose kernel is cut to the taps that can touch the map.

    On a map of 1 x 1 eight of the nine taps of a padded 3x3 kernel meet zeros alone.
    """

    padding: tuple[int, int]

    def forward(self, images: Tensor) -> Tensor:
        """B x C x H x W -> B x C' x H' x W', as :class:`torch.nn.Conv2d`."""
        sides = map(int, images.shape[-2:])
        rows, columns = map(live_taps, sides, self.kernel_size, self.stride, self.padding, self.dilation)
        # Negative padding cuts, and its backward pass fills the rest of the gradient with zeros in the same operation.
        cut = (-columns.before, -columns.after, -rows.before, -rows.after)
        weight = F.pad(self.weight, cut) if any(cut) else self.weight
        padding = (rows.padding, columns.padding)
        return F.conv2d(images, weight, self.bias, self.stride, padding, self.dilation, self.groups)


class ContiguousConv2d(nn.Conv2d):
    """A convolution with few output channels, whose output is in PyTorch's contiguous layout.

    On a CPU, batch norm of fewer than :data:`FEW` channels takes up to ten times as long in ``channels_last``.
    """

    def forward(self, images: Tensor) -> Tensor:
        """B x C x H x W -> B x C' x H' x W', as :class:`torch.nn.Conv2d`."""
        return super().forward(images).contiguous()


class Taps(NamedTuple):
    """What is cut from one axis of a kernel, and the padding that goes with the rest."""

    before: int
    after: int
    padding: int


@cache
def live_taps(side: int, kernel: int, stride: int, padding: int, dilation: int) -> Taps:
    """The taps of one axis of a convolution that touch a map of this side at any position.

    >>> live_taps(1, 3, 1, 1, 1), live_taps(2, 3, 2, 1, 1), live_taps(8, 3, 1, 1, 1)
    (Taps(before=1, after=1, padding=0), Taps(before=1, after=0, padding=0), Taps(before=0, after=0, padding=1))
    """

    def positions(taps: int, margin: int) -> int:
        return (side + 2 * margin - dilation * (taps - 1) - 1) // stride + 1

    count = positions(kernel, padding)
    places = [position * stride - padding for position in range(count)]
    touching = [tap for tap in range(kernel) if any(0 <= place + tap * dilation < side for place in places)]
    if touching:
        first, last = touching[0], touching[-1]
        margin = padding - first * dilation
        # Padding is the same on both sides, so the smallest kernel may have too many or too few positions.
        for taps in range(last - first + 1, kernel - first + 1):
            if margin >= 0 and positions(taps, margin) == count:
                return Taps(first, kernel - first - taps, margin)
    return Taps(0, 0, padding)


def trim(net: nn.Module) -> nn.Module:
    """Make a :class:`TrimmedConv2d` of every convolution that can be one; parameters stay the same."""
    for layer in net.modules():
        # Not of subclasses, which may pad by themselves.
        if type(layer) is nn.Conv2d and _can_be_cut(layer):
            layer.__class__ = TrimmedConv2d
    return net


def _can_be_cut(layer: nn.Conv2d) -> bool:
    return not isinstance(layer.padding, str) and any(layer.padding) and layer.padding_mode == "zeros"
