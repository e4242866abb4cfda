"""A classifier as methods see it: raw pictures in, logits out, statistics and features on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


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


Wanted = Literal["bn", "penultimate", "stages"]


@dataclass
class Observation:
    """What one forward showed; only what was wanted is there.

    Attributes:
        logits: B x classes.
        bn: the statistics of every batch-normalisation layer, in order of execution.
        penultimate: what the last linear layer read, B x F.
        stages: the feature maps at the end of each of the network's stages, B x C x H x W.
    """

    logits: Tensor
    bn: list[BatchStatistics]
    penultimate: Tensor
    stages: list[Tensor]


class ClassifierWrapper(nn.Module):
    """A classifier behind its normaliser.

    ``probe(x)`` are the logits of raw pictures x in [0, 1]. ``probe.observe(x, "bn")`` gives batch statistics as well;
    hooks exist only while it runs, so a plain forward pays nothing for them.
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

    def observe(self, images: Tensor, *wanted: Wanted) -> Observation:
        """Logits of raw pictures and what else is ``wanted`` of this forward, all with gradients to the pictures."""
        seen = Observation(torch.empty(0), [], torch.empty(0), [])
        hooks = [hook for want in wanted for hook in self._hooks(want, seen)]
        try:
            seen.logits = self(images)
        finally:
            for hook in hooks:
                hook.remove()
        return seen

    def _hooks(self, want: Wanted, seen: Observation) -> list[RemovableHandle]:
        def statistics(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            var, mean = torch.var_mean(inputs[0], (0, 2, 3))
            seen.bn.append(BatchStatistics(mean, var, layer.running_mean, layer.running_var))  # type: ignore[arg-type]

        def penultimate(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            seen.penultimate = inputs[0]

        def stage(_layer: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
            seen.stages.append(output)

        if want == "bn":
            return [layer.register_forward_pre_hook(statistics) for layer in self.norm_layers()]
        if want == "penultimate":
            return [self.net.get_classifier().register_forward_pre_hook(penultimate)]  # type: ignore[operator]
        return [layer.register_forward_hook(stage) for layer in self.stage_layers()]

    def stage_layers(self) -> list[nn.Module]:
        """The modules whose outputs end the network's stages, as timm lists them; none where it lists none."""
        names = [info["module"] for info in getattr(self.net, "feature_info", [])]
        return [self.net.get_submodule(name) for name in names if name in dict(self.net.named_modules())]

    def norm_layers(self) -> list[nn.BatchNorm2d]:
        """The batch-normalisation layers that keep running statistics."""
        return [m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]

    def lock(self) -> ClassifierWrapper:
        """Freeze for good: no parameter gradient, not even one left over, and eval mode whatever anyone calls."""
        self.requires_grad_(False).eval()
        self.zero_grad(set_to_none=True)
        self._locked = True
        return self

    def train(self, mode: bool = True) -> ClassifierWrapper:
        """Switch between train and eval mode; a locked probe stays in eval mode."""
        super().train(mode and not getattr(self, "_locked", False))
        return self

    @contextmanager
    def eval_mode(self) -> Iterator[None]:
        """Eval mode inside the block: the network gives an opinion and its running statistics stay as they are."""
        before = [(module, module.training) for module in self.modules()]  # a method may have frozen some layers
        self.eval()
        try:
            yield
        finally:
            for module, mode in before:
                module.training = mode
