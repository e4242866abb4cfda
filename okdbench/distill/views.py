"""Random changes of a whole batch, for methods that optimise images; :mod:`okdbench.data.augmentation` has others."""

from __future__ import annotations

import torch
from torch import Tensor


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
