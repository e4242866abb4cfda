"""A bounded memory of a generator's feature maps, beside a pool of the images that it made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from okdbench.distill.pool import Ring

#: of stored feature maps, which follow a batch norm: their size is far from its limits
STORED = torch.float16


class FeaturePool:
    """Feature maps of some layers on one device, one row per image; the oldest are replaced when it is full.

    Numbers have two bytes. The first three stages of a generator of width 64 are 208 KiB for an image of 32 pixels, so
    10,240 images take 2.0 GiB, in memory and in each checkpoint.

    Args:
        capacity: largest number of images.
        shapes: of each layer's maps, without the batch.
        device: where they are.
    """

    def __init__(self, capacity: int, shapes: Sequence[torch.Size], device: torch.device) -> None:
        self._layers = [Ring(capacity, *shape, device=device, dtype=STORED) for shape in shapes]

    def __len__(self) -> int:
        return len(self._layers[0])

    def add(self, maps: Sequence[Tensor]) -> None:
        """Store copies of the maps of new images, B x K x H x W for each layer."""
        for stored, new in zip(self._layers, maps, strict=True):
            stored.add(new)

    def sample(self, layer: int, count: int, rng: torch.Generator) -> Tensor:
        """The maps of one layer for ``count`` images, drawn uniformly with replacement."""
        stored = self._layers[layer]
        maps = stored[stored.draw(count, rng)]
        return maps.to(torch.get_default_dtype(), memory_format=torch.channels_last)

    def state_dict(self) -> dict[str, Any]:
        """The stored maps, and how many images there were."""
        return {"layers": [stored.state_dict() for stored in self._layers]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        for stored, kept in zip(self._layers, state["layers"], strict=True):
            stored.load_state_dict(kept)
