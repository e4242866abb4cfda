"""Random changes of training images that keep their class."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.data.dataset import Augmentation

#: an image is shifted by up to this fraction of its height and width
SHIFT_SHARE = 8
#: smallest area of a crop, as a share of the image's
SMALLEST_CROP = 0.25


def kinds_of(names: Collection[str]) -> frozenset[Augmentation]:
    """The changes of these names.

    Raises:
        ValueError: there is no such change.
    """
    return frozenset(map(Augmentation, names))


def augment(images: Tensor, rng: torch.Generator, kinds: Collection[Augmentation]) -> Tensor:
    """B x C x H x W images, changed as by :class:`okdbench.data.loader.Stream`, with random numbers from ``rng``."""
    count, _, height, width = images.shape
    draw = partial(torch.randint, size=(count, 1), generator=rng, device=images.device)
    down, right = (side // SHIFT_SHARE if Augmentation.SHIFT in kinds else 0 for side in (height, width))
    padded = F.pad(images, [right, right, down, down])
    rows = draw(high=2 * down + 1) + torch.arange(height, device=images.device)
    columns = draw(high=2 * right + 1) + torch.arange(width, device=images.device)
    # Mirroring reverses the columns of the crop, so that one indexing does both.
    if Augmentation.FLIP in kinds:
        columns = torch.where(draw(high=2) == 1, columns.flip(1), columns)
    each = torch.arange(count, device=images.device)[:, None, None]
    images = padded[each, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
    if Augmentation.CROP not in kinds:
        return images
    return cropped(images, torch.rand(count, 3, generator=rng, device=images.device))


def cropped(images: Tensor, numbers: Tensor) -> Tensor:
    """A random square of each image, enlarged to its size by bilinear interpolation.

    Args:
        images: B x C x H x W.
        numbers: B x 3 in [0, 1): area, vertical and horizontal place of each square.
    """
    scale = (SMALLEST_CROP + (1 - SMALLEST_CROP) * numbers[:, :1]).sqrt()
    # The centre is where the square stays inside the image, whose coordinates are in [-1, 1].
    centre = (2 * numbers[:, 1:] - 1) * (1 - scale)
    zero = torch.zeros_like(scale)
    matrix = torch.stack([torch.cat([scale, zero, centre[:, :1]], 1), torch.cat([zero, scale, centre[:, 1:]], 1)], 1)
    grid = F.affine_grid(matrix, list(images.shape), align_corners=False)
    made = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return made.contiguous(memory_format=torch.channels_last)
