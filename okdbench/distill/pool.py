"""Bounded memories on the device, without files: rows of numbers, and the pool of synthesised images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from okdbench.data.loader import Batch


class Ring:
    """Rows of one shape on one device; the oldest are replaced when it is full.

    Memory for all of them is taken at once, and how many there are is known without a look at the device.

    Args:
        capacity: largest number of rows.
        shape: of a row.
        device: where they are.
        dtype: of their numbers; that of new tensors by default.
    """

    def __init__(self, capacity: int, *shape: int, device: torch.device, dtype: torch.dtype | None = None) -> None:
        #: number of rows that there ever were
        self.added = 0
        self._rows = torch.zeros(capacity, *shape, dtype=dtype, device=device)

    def __len__(self) -> int:
        return min(self.added, self.capacity)

    @property
    def capacity(self) -> int:
        """Largest number of rows."""
        return len(self._rows)

    def __getitem__(self, numbers: Tensor) -> Tensor:
        return self._rows[numbers]

    def add(self, rows: Tensor) -> None:
        """Store copies of these rows."""
        fitting = min(len(rows), self.capacity)
        numbers = torch.arange(self.added + len(rows) - fitting, self.added + len(rows), device=self._rows.device)
        self._rows[numbers % self.capacity] = rows[-fitting:].detach().to(self._rows.dtype)
        self.added += len(rows)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Numbers of ``count`` rows, drawn uniformly with replacement."""
        # An empty ring has rows of zeros: the time of a step can be measured before there are others.
        return torch.randint(max(1, len(self)), (count,), generator=rng, device=rng.device)

    def newest(self, count: int) -> Tensor:
        """The last rows that were added, at most ``count``."""
        numbers = torch.arange(max(0, self.added - min(count, len(self))), self.added, device=self._rows.device)
        return self._rows[numbers % self.capacity]

    def state_dict(self) -> dict[str, Any]:
        """The stored rows, and how many there were."""
        # A copy, because a file of a part of a tensor holds all of it; not on a GPU, whose memory may be full.
        return {"added": self.added, "rows": self._rows[: len(self)].to("cpu", copy=True)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.added = state["added"]
        self._rows[: len(self)] = state["rows"]


class Pool:
    """Raw images and their classes on one device; the oldest are replaced when it is full.

    Pixels are bytes, as in the files of released code, so the pool has capacity x channels x size^2 bytes of images and
    eight bytes per class. A new pool is empty: nothing of an earlier run can be in it.

    Args:
        capacity: largest number of images.
        channels: of an image.
        image_size: height and width in pixels.
        device: where the images are.
    """

    def __init__(self, capacity: int, channels: int, image_size: int, device: torch.device) -> None:
        self._images = Ring(capacity, channels, image_size, image_size, device=device, dtype=torch.uint8)
        self._labels = Ring(capacity, device=device, dtype=torch.long)

    def __len__(self) -> int:
        return len(self._labels)

    def add(self, images: Tensor, labels: Tensor) -> None:
        """Store copies of raw images (B x C x H x W in [0, 1]) and of their classes (B)."""
        self._images.add((images.clamp(0, 1) * 255).round())
        self._labels.add(labels)

    def sample(self, count: int, rng: torch.Generator) -> Batch:
        """``count`` images and their classes, drawn uniformly with replacement."""
        numbers = self._labels.draw(count, rng)
        return Batch(_raw(self._images[numbers]), self._labels[numbers])

    def newest(self, count: int) -> Tensor:
        """The last images that were added, at most ``count``."""
        return _raw(self._images.newest(count))

    def state_dict(self) -> dict[str, Any]:
        """The stored images and classes, and how many there were."""
        return {"images": self._images.state_dict(), "labels": self._labels.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self._images.load_state_dict(state["images"])
        self._labels.load_state_dict(state["labels"])


def _raw(pixels: Tensor) -> Tensor:
    images = pixels.to(torch.get_default_dtype()) / 255
    return images.contiguous(memory_format=torch.channels_last)
