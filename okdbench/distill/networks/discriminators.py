"""A patch discriminator: one logit per window of an image (MosaicKD)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.core.errors import UserError


def receptive_field(halvings: int) -> int:
    """Side in pixels of the window behind one logit after ``halvings`` 4x4 convolutions of stride 2.

    >>> [receptive_field(n) for n in (1, 2, 3, 4)]
    [4, 10, 22, 46]
    """
    # each layer adds (kernel - 1) * stride so far: 1 + 3 (1 + 2 + ... + 2^(n - 1)) = 3 * 2^n - 2
    return int(3 * 2**halvings - 2)


def usual_halvings(image_size: int) -> int:
    """The largest number that leaves at least 8 x 8 windows: MosaicKD's choice at 32, 112 and 224 pixels.

    >>> [usual_halvings(size) for size in (32, 64, 112, 128, 224)]
    [2, 3, 3, 4, 4]
    """
    return max(1, (image_size // 8).bit_length() - 1)


class PatchDiscriminator(nn.Module):
    """Normalised B x C x H x W -> logits of windows, B x 1 x h x w, high for real ones.

    4x4 convolutions of stride 2 with leaky ReLU, all but the first with batch norm and twice the channels of the
    previous one, then a 1x1 convolution. At 32 pixels and width 128 these are the layers of MosaicKD's released code
    (531,328 parameters, receptive field 10, stride 4, 64 windows).

    Args:
        image_size: input resolution in pixels.
        field: side of the windows in pixels, 4, 10, 22, 46, ...; None for :func:`usual_halvings`.
        width: channels of the first convolution.
        channels: of the images.

    Raises:
        UserError: no number of convolutions has this receptive field.
    """

    def __init__(self, image_size: int, field: int | None = None, width: int = 128, channels: int = 3) -> None:
        super().__init__()
        allowed = {receptive_field(n): n for n in range(1, image_size.bit_length() - 1)}
        if field is not None and field not in allowed:
            raise UserError(
                f"no discriminator of {image_size} pixels has a receptive field of {field}; choose one of "
                + ", ".join(map(str, allowed))
            )
        halvings = usual_halvings(image_size) if field is None else allowed[field]
        self.field, self.stride = receptive_field(halvings), 2**halvings
        layers: list[nn.Module] = [nn.Conv2d(channels, width, 4, stride=2, padding=1), nn.LeakyReLU(0.2, inplace=True)]
        for _ in range(halvings - 1):
            conv = nn.Conv2d(width, 2 * width, 4, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(2 * width), nn.LeakyReLU(0.2, inplace=True)]
            width *= 2
        self.windows = nn.Sequential(*layers, nn.Conv2d(width, 1, 1, bias=False))

    def forward(self, images: Tensor) -> Tensor:
        """One logit per window."""
        logits: Tensor = self.windows(images)
        return logits

    def windows_by_logit(self, images: Tensor, logits: Tensor) -> Tensor:
        """The windows of each image that lie fully inside it, sorted by logit, the highest first.

        Args:
            images: B x C x H x W.
            logits: B x 1 x h x w, of the same images.

        Returns:
            B x L x C x field x field; L is 0 if the field is larger than the images.
        """
        if self.field >= images.shape[-1]:
            return images.new_empty(len(images), 0, images.shape[1], self.field, self.field)
        # A window starts stride - 1 pixels before its multiple of the stride (padding), so those of the first row and
        # column are not fully inside.
        inner = images[..., 1:, 1:].unfold(2, self.field, self.stride).unfold(3, self.field, self.stride)
        rows, columns = inner.shape[2:4]
        order = logits[:, 0, 1 : 1 + rows, 1 : 1 + columns].flatten(1).argsort(1, descending=True)
        index = torch.arange(len(images), device=images.device)[:, None]
        return inner.permute(0, 2, 3, 1, 4, 5).flatten(1, 2)[index, order]


#: number of windows at 32 pixels: the mean over windows times 64 equals the released code's sum there, and its weight
#: does not depend on the image size
WINDOWS = 64


def patch_loss(logits: Tensor, real: bool, summed: bool = False) -> Tensor:
    """Binary cross-entropy of the windows: softplus(-logit) for ``real``, softplus(logit) otherwise.

    It is the mean over images of 64 times the mean over windows; ``summed`` takes the sum over windows, whatever their
    number (MosaicKD's released code).
    """
    losses = F.softplus(-logits if real else logits).flatten(1)
    return torch.mean(losses.sum(1) if summed else WINDOWS * losses.mean(1))
