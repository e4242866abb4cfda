"""Random views of a whole batch, for methods that optimise images; see :mod:`okdbench.data.augmentation` for others."""

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
