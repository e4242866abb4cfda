"""Random views of images that are optimised, with gradients that a GPU repeats to the bit.

:mod:`okdbench.data.augmentation` has the views of images that are not: there, an interpolation has no such gradients.
"""

from __future__ import annotations

import torch
from torch import Tensor

from okdbench.data.augmentation import SHIFT_SHARE, SMALLEST_CROP

# One view for all images of a batch


def rolled(images: Tensor, share: int, rng: torch.Generator) -> Tensor:
    """All images moved by one offset of up to 1/share of height and width, around the edges.

    Args:
        images: B x C x H x W.
        share: divides the height and the width.
        rng: random generator, on the device of the images.
    """
    for dim in (2, 3):
        size = images.shape[dim]
        limit = size // share
        # Indexed on the device, because torch.roll needs the offset as a number.
        offset = torch.randint(-limit, limit + 1, (1,), generator=rng, device=rng.device)
        images = images.index_select(dim, (torch.arange(size, device=rng.device) - offset) % size)
    return images


def mirrored(images: Tensor, rng: torch.Generator) -> Tensor:
    """All images left to right, or none, at random."""
    return torch.where(torch.rand((), generator=rng, device=rng.device) < 0.5, images.flip(3), images)


def exchanged(maps: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Feature maps that take channels from each other: image i keeps a random half, and has the others of B - 1 - i.

    Args:
        maps: B x K x H x W.
        probability: that it happens; otherwise all of them stay as they are.
        rng: random generator, on the device of the maps.
    """
    count, channels = maps.shape[:2]
    # The rank of random numbers: exactly half of the channels of each image are below K / 2.
    ranks = torch.rand(count, channels, generator=rng, device=rng.device).argsort(1).argsort(1)
    all_stay = torch.rand((), generator=rng, device=rng.device) >= probability
    return torch.where(((ranks < channels // 2) | all_stay)[:, :, None, None], maps, maps.flip(0))


# A view for each image


def shifted_each(images: Tensor, mirrors: bool, rng: torch.Generator) -> Tensor:
    """Each image moved by up to an eighth of height and width, with black at the border.

    Args:
        images: B x C x H x W.
        mirrors: whether each is mirrored as well, with probability 1/2.
        rng: random generator, on the device of the images.
    """
    rows, columns = (_moved(len(images), size, rng) for size in images.shape[2:])
    return interpolated(images, rows, _flipped(columns, mirrors, rng))


def cropped_each(images: Tensor, mirrors: bool, rng: torch.Generator) -> Tensor:
    """A random square of each image, of at least a quarter of its area, enlarged to the image's size.

    Args:
        images: B x C x H x W.
        mirrors: whether each is mirrored as well, with probability 1/2.
        rng: random generator, on the device of the images.
    """
    numbers = torch.rand(len(images), 3, generator=rng, device=images.device)
    rows, columns = crop_positions(numbers, images.shape[2], images.shape[3])
    return interpolated(images, rows, _flipped(columns, mirrors, rng))


def crop_positions(numbers: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Rows (B x height) and columns (B x width) of random squares; pixels beyond the border are those at the border.

    Args:
        numbers: B x 3 in [0, 1): area, place from left to right and from top to bottom.
        height: of the images, in pixels.
        width: the same.
    """
    scale = (SMALLEST_CROP + (1 - SMALLEST_CROP) * numbers[:, :1]).sqrt()

    def along(size: int, place: Tensor) -> Tensor:
        centres = torch.arange(size, device=numbers.device) + 0.5
        return (place * (1 - scale) * size + scale * centres - 0.5).clamp(0, size - 1)

    return along(height, numbers[:, 2:]), along(width, numbers[:, 1:2])


def interpolated(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear interpolation of each image on a grid of its own; black outside of the image.

    Args:
        images: B x C x H x W.
        rows: B x H', positions in pixels.
        columns: B x W', the same.
    """
    # Products with matrices, because the backward pass of grid_sample adds in any order on a GPU. In float32, because
    # bfloat16 would round the pixels.
    vertical, horizontal = _weights(rows, images.shape[2]), _weights(columns, images.shape[3])
    with torch.autocast(images.device.type, enabled=False):
        made = vertical @ images.to(vertical.dtype) @ horizontal.mT
    return made.contiguous(memory_format=torch.channels_last)


def _weights(positions: Tensor, size: int) -> Tensor:
    distances = positions[:, :, None] - torch.arange(size, device=positions.device)
    # One for all channels.
    return (1 - distances.abs()).clamp(min=0)[:, None]


def _moved(count: int, size: int, rng: torch.Generator) -> Tensor:
    limit = size // SHIFT_SHARE
    offsets = torch.randint(-limit, limit + 1, (count, 1), generator=rng, device=rng.device)
    return offsets + torch.arange(size, device=rng.device, dtype=torch.get_default_dtype())


def _flipped(positions: Tensor, mirrors: bool, rng: torch.Generator) -> Tensor:
    if not mirrors:
        return positions
    chosen = torch.randint(2, (len(positions), 1), generator=rng, device=rng.device) == 1
    return torch.where(chosen, positions.flip(1), positions)
