"""Batches of augmented images, cut from bytes that stay on the device when they fit there."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from okdbench.core.devices import fits
from okdbench.core.seeding import derive_seed
from okdbench.data.augmentation import SHIFT_SHARE, cropped
from okdbench.data.dataset import Augmentation
from okdbench.data.images import Images


@dataclass(frozen=True, eq=False)
class Batch:
    """B images on the device.

    Attributes:
        images: B x C x H x W ``float32`` in [0, 1], in ``channels_last`` layout.
        classes: B ``int64`` class indices, or None if they are withheld.
    """

    images: Tensor
    classes: Tensor | None

    @property
    def labels(self) -> Tensor:
        """The class indices, B ``int64``.

        Raises:
            LookupError: the stage does not declare that it needs labels.
        """
        if self.classes is None:
            raise LookupError("labels are withheld: the stage does not declare data='labelled'")
        return self.classes


class Stream:
    """An endless sequence of augmented batches; batch ``i`` is a pure function of the images, the seed and ``i``.

    The data order is a sequence of random permutations of all images, cut into batches of equal size. So every batch is
    full, also where there are fewer images than in a batch, and ``i`` is all that a run needs to resume at step ``i``.
    The random numbers of the augmentation are drawn on the CPU, so that they are equal on all devices.

    Args:
        images: N images, N >= 1. Their bytes stay on ``device`` if they fit there; otherwise they are read batch by
            batch, one batch ahead. The batches are the same.
        batch_size: images in a batch.
        seed: seed of order and augmentation, in 0 .. 2**63 - 1.
        device: where the batches are.
        augmentation: random changes of the images.
        labelled: whether the batches have labels.
    """

    def __init__(
        self,
        images: Images,
        *,
        batch_size: int,
        seed: int,
        device: torch.device,
        augmentation: Collection[Augmentation] = (),
        labelled: bool = True,
    ) -> None:
        self.batch_size = batch_size
        self._size, self._channels = images.pixels.shape[1:3], images.pixels.shape[3]
        shifted = Augmentation.SHIFT in augmentation
        self._margins = tuple(side // SHIFT_SHARE if shifted else 0 for side in self._size)
        self._flip, self._crop = Augmentation.FLIP in augmentation, Augmentation.CROP in augmentation
        self._seed = seed
        self._device = device
        self._source, self._count = images.pixels, len(images)
        # Bytes on the device take a quarter of the memory of floats, and no batch has to be transferred.
        self._resident = self._padded(slice(None)) if fits(self._bytes(), device) else None
        self._reader = None if self._resident is not None else ThreadPoolExecutor(1)
        self._ahead: tuple[int, Future[Tensor]] | None = None
        self._labels = torch.from_numpy(images.labels).to(device) if labelled else None

    def __len__(self) -> int:
        """Number of images."""
        return self._count

    def batch(self, step: int) -> Batch:
        """Batch number ``step`` >= 0, always of ``batch_size`` images."""
        chosen, top, left, mirrored = self._moved(torch.from_numpy(self._draw(step)))
        height, width = (torch.arange(side, device=self._device) for side in self._size)
        if self._resident is None:
            padded, index = self._read(step), torch.arange(self.batch_size, device=self._device)
        else:
            padded, index = self._resident, chosen
        # Crop and mirror in one step: the position of each pixel of the batch among all pixels of the padded images.
        padded_height, padded_width = padded.shape[1:3]
        rows = (index * padded_height + top)[:, None] + height
        columns = left[:, None] + torch.where(mirrored[:, None] == 1, width.flip(0), width)
        positions = rows[:, :, None] * padded_width + columns[:, None, :]
        # On the CPU, selecting whole pixels takes a fifth of the time of indexing with three tensors.
        flat = padded.view(-1, self._channels).index_select(0, positions.view(-1))
        images = _to_float(flat.view(*positions.shape, self._channels))
        if self._crop:
            images = cropped(images, self._moved(self._draw_crops(step)))
        return Batch(images, None if self._labels is None else self._labels[chosen])

    def _bytes(self) -> int:
        padded: list[int] = [side + 2 * margin for side, margin in zip(self._size, self._margins, strict=True)]
        return math.prod((self._channels, len(self), *padded))

    def _padded(self, which: npt.NDArray[np.int64] | slice) -> Tensor:
        """The images at ``which`` with black margins, on the device; a batch is transferred asynchronously."""
        padding = [(0, 0), *((margin, margin) for margin in self._margins), (0, 0)]
        pixels = torch.from_numpy(np.pad(self._source[which], padding))
        return pixels.to(self._device) if isinstance(which, slice) else self._moved(pixels)

    def _moved(self, tensor: Tensor) -> Tensor:
        """The tensor on the device; a GPU gets it without a wait."""
        if self._device.type != "cuda":
            return tensor.to(self._device)
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _read(self, step: int) -> Tensor:
        """The padded images of batch ``step``; a thread has read them ahead if the last call was for ``step - 1``."""
        assert self._reader is not None
        number, pending = self._ahead or (-1, None)
        padded = pending.result() if pending and number == step else self._padded(self._order(step))
        self._ahead = step + 1, self._reader.submit(lambda: self._padded(self._order(step + 1)))
        return padded

    def _draw(self, step: int) -> npt.NDArray[np.int64]:
        """4 x B: index of the image, top and left edge of its crop in the padded image, and 1 to mirror it."""
        rng = np.random.default_rng(derive_seed("augmentation", self._seed, step))
        top, left = (rng.integers(0, 2 * margin + 1, self.batch_size) for margin in self._margins)
        mirrored = rng.integers(0, 2 if self._flip else 1, self.batch_size)
        return np.stack([self._order(step), top, left, mirrored])

    def _draw_crops(self, step: int) -> Tensor:
        """B x 3 numbers in [0, 1), of their own stream, so that the other draws are the same without crops."""
        rng = np.random.default_rng(derive_seed("crops", self._seed, step))
        return torch.from_numpy(rng.random((self.batch_size, 3), np.float32))

    def _order(self, step: int) -> npt.NDArray[np.int64]:
        """Images ``step * B`` to ``(step + 1) * B - 1`` of the endless order."""
        first, start = divmod(step * self.batch_size, len(self))
        last = (start + self.batch_size - 1) // len(self)
        epochs = [_permutation(self._seed, first + number, len(self)) for number in range(last + 1)]
        return np.concatenate(epochs)[start : start + self.batch_size]


def evaluation_batches(images: Images, batch_size: int, device: torch.device) -> Iterator[Batch]:
    """All images once, in their order and unchanged; the last batch may be smaller than ``batch_size``."""
    for start in range(0, len(images), batch_size):
        part = slice(start, start + batch_size)
        pixels = torch.from_numpy(np.array(images.pixels[part])).to(device)  # a copy: a memory map is read-only
        yield Batch(_to_float(pixels), torch.from_numpy(images.labels[part]).to(device))


@lru_cache(maxsize=8)
def _permutation(seed: int, epoch: int, count: int) -> npt.NDArray[np.int64]:
    """The order of ``count`` images in ``epoch``; cached, because all batches of an epoch need it."""
    return np.random.default_rng(derive_seed("order", seed, epoch)).permutation(count)


def _to_float(pixels: Tensor) -> Tensor:
    """B x H x W x C bytes -> B x C x H x W in [0, 1]."""
    # permute() does not move the bytes, so that the result is in channels_last layout.
    return pixels.permute(0, 3, 1, 2).to(torch.float32).div_(255)
