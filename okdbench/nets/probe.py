"""A classifier as methods see it: raw pictures in, logits out, batch statistics on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """Channel-wise (x - mean) / std: the only place where pictures are normalised."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Normalise B x 3 x H x W pictures from [0, 1]."""
        return (images - self.mean) / self.std

    def inverse(self, images: Tensor) -> Tensor:
        """The pictures that :meth:`forward` maps to ``images``."""
        return images * self.std + self.mean


class BatchStatistics(NamedTuple):
    """What one batch does at the input of one batch-normalisation layer, beside what the layer remembers.

    Each tensor has the layer's C channels; variances are unbiased over batch and space.
    """

    mean: Tensor
    var: Tensor
    running_mean: Tensor
    running_var: Tensor


class Observation(NamedTuple):
    """Logits (B x classes) and the statistics of every batch-normalisation layer, in order of execution."""

    logits: Tensor
    bn: list[BatchStatistics]


class Probe(nn.Module):
    """A classifier behind its normaliser.

    ``probe(x)`` are the logits of raw pictures x in [0, 1]. ``probe.observe(x)`` gives batch statistics as well; hooks
    exist only while it runs, so a plain forward pays nothing for them.
    """

    def __init__(self, net: nn.Module, normaliser: Normaliser) -> None:
        super().__init__()
        self.net = net
        self.normaliser = normaliser
        self._locked = False

    def forward(self, images: Tensor) -> Tensor:
        """Logits, B x classes, of raw pictures, B x 3 x H x W."""
        logits: Tensor = self.net(self.normaliser(images))
        return logits

    def observe(self, images: Tensor) -> Observation:
        """Logits and batch statistics of raw pictures, with gradients to the pictures."""
        statistics: list[BatchStatistics] = []

        def record(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            var, mean = torch.var_mean(inputs[0], (0, 2, 3))
            statistics.append(BatchStatistics(mean, var, layer.running_mean, layer.running_var))  # type: ignore[arg-type]

        hooks = [layer.register_forward_pre_hook(record) for layer in self.norm_layers()]
        try:
            return Observation(self(images), statistics)
        finally:
            for hook in hooks:
                hook.remove()

    def norm_layers(self) -> list[nn.BatchNorm2d]:
        """The batch-normalisation layers that keep running statistics."""
        return [m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]

    def lock(self) -> Probe:
        """Freeze for good: no parameter gradient, eval mode whatever anyone calls."""
        self.requires_grad_(False).eval()
        self._locked = True
        return self

    def train(self, mode: bool = True) -> Probe:
        """Switch between train and eval mode; a locked probe stays in eval mode."""
        super().train(mode and not getattr(self, "_locked", False))
        return self

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Eval mode inside the block: the network gives an opinion and its running statistics stay as they are."""
        before = [(module, module.training) for module in self.modules()]  # a method may have frozen some layers
        self.eval()
        try:
            yield
        finally:
            for module, mode in before:
                module.training = mode
