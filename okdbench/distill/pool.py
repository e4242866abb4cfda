"""A bounded pool of synthesised images in memory, without files."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from okdbench.data.loader import Batch


class Pool:
    """A ring of raw images and their classes on one device; the oldest are replaced when it is full.

    Pixels are bytes, as in the files of released code, so the pool has capacity x channels x size^2 bytes of images and
    eight bytes per class. A new pool is empty: nothing of an earlier run can be in it.

    Args:
        capacity: largest number of images.
        channels: of an image.
        image_size: height and width in pixels.
        device: where the images are.
    """

    def __init__(self, capacity: int, channels: int, image_size: int, device: torch.device) -> None:
        self._added = 0
        self._images = torch.zeros(capacity, channels, image_size, image_size, dtype=torch.uint8, device=device)
        self._labels = torch.zeros(capacity, dtype=torch.long, device=device)

    def __len__(self) -> int:
        return min(self._added, len(self._labels))

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Store copies of raw images (B x C x H x W in [0, 1]) and of their classes (B)."""
        fitting = min(len(labels), len(self._labels))
        numbers = torch.arange(self._added + len(labels) - fitting, self._added + len(labels), device=labels.device)
        places = numbers % len(self._labels)
        self._images[places] = (images[-fitting:].detach().clamp(0, 1) * 255).round().to(torch.uint8)
        self._labels[places] = labels[-fitting:]
        self._added += len(labels)

    def sample(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` images and their classes, drawn uniformly with replacement."""
        # An empty pool has black images: their time can be measured before there are others.
        numbers = torch.randint(max(1, len(self)), (count,), generator=rng, device=rng.device)
        return Batch(self._raw(numbers), self._labels[numbers])

    def newest(self, count: int) -> Tensor:
        """The last images that were added, at most ``count``."""
        numbers = torch.arange(max(0, self._added - min(count, len(self))), self._added, device=self._labels.device)
        return self._raw(numbers % len(self._labels))

    def _raw(self, numbers: Tensor) -> Tensor:
        images = self._images[numbers].to(torch.get_default_dtype()) / 255
        return images.contiguous(memory_format=torch.channels_last)

    def state_dict(self) -> dict[str, Any]:
        """The stored images and classes, and how many there were."""
        return {"added": self._added, "images": self._images[: len(self)], "labels": self._labels[: len(self)]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._added = state["added"]
        self._images[: len(self)], self._labels[: len(self)] = state["images"], state["labels"]
