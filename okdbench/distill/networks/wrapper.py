"""A classifier as methods see it: raw images in, logits out; statistics and features on request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from okdbench.core.errors import UserError
from okdbench.distill.networks.folding import folded

#: shares of red, green and blue in grey, as Pillow has them
GREY = (19595 / 65536, 38470 / 65536, 7471 / 65536)


class Normaliser(nn.Module):
    """Channel-wise (x - mean) / std: the only place where images are normalised.

    Args:
        mean: of each channel, in the order of the network's input, for pixels in [0, 1].
        std: the same for the standard deviation.
        channel_order: rgb, bgr for a network that gets blue first, or grey for one that gets grey three times.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float], std: Sequence[float], channel_order: str = "rgb") -> None:
        super().__init__()
        self._order = channel_order
        # not persistent: they belong to the data set, and a student's weights file holds weights alone
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, -1, 1, 1), persistent=False)

    @property
    def channels(self) -> int:
        """Of the images."""
        return self.mean.shape[1]

    def forward(self, images: Tensor) -> Tensor:
        """Normalise raw images, B x C x H x W in [0, 1]."""
        return (self._ordered(images) - self.mean) / self.std

    def inverse(self, images: Tensor) -> Tensor:
        """The images that :meth:`forward` maps to ``images``; of a network for grey, it maps these to their grey."""
        raw = images * self.std + self.mean
        return self._ordered(raw) if self._order == "bgr" else raw

    def _ordered(self, images: Tensor) -> Tensor:
        if self._order == "grey":
            weighted = [share * images[:, [channel]] for channel, share in enumerate(GREY)]
            return sum(weighted[1:], weighted[0]).expand_as(images)
        return images.flip(1) if self._order == "bgr" else images


class BatchStatistics(NamedTuple):
    """Statistics of one batch at the input of one batch-norm layer, beside the layer's running statistics.

    Each tensor has the layer's C channels; variances are unbiased over batch and space, as the running ones are, or
    biased where that was asked for.
    """

    mean: Tensor
    var: Tensor
    running_mean: Tensor
    running_var: Tensor


Feature = Literal["bn", "biased_bn", "bn_means", "penultimate", "stages"]


@dataclass
class ClassifierOutput:
    """The logits of one forward pass and the requested features; the others are empty.

    Attributes:
        logits: B x classes.
        bn: the statistics at every batch-norm layer, in order of execution.
        bn_means: the mean over space of each image at the same places, each B x C.
        penultimate: the input of the last linear layer, B x F.
        stages: the feature maps at the end of each of the network's stages, B x C x H x W.
    """

    logits: Tensor
    bn: list[BatchStatistics]
    bn_means: list[Tensor]
    penultimate: Tensor
    stages: list[Tensor]


class ClassifierWrapper(nn.Module):
    """A classifier behind its normaliser.

    ``classifier(x)`` returns the logits of raw images x in [0, 1]. ``classifier.forward_with_features(x, "bn")``
    returns batch statistics as well.
    """

    def __init__(self, net: nn.Module, normaliser: Normaliser) -> None:
        super().__init__()
        self.net = net
        self.normaliser = normaliser
        self._locked = False
        # in a tuple, so that it is no part of this module
        self._fast: tuple[nn.Module, ...] = ()

    def forward(self, images: Tensor, as_targets: bool = False) -> Tensor:
        """Logits, B x classes, of raw images, B x C x H x W; ``as_targets`` is for :meth:`targets`."""
        normal = self.normaliser(images)
        if as_targets and self._fast:
            logits: Tensor = self._fast[0](normal.to(torch.bfloat16)).float()
        else:
            logits = self.net(normal)
        return logits

    @torch.no_grad()
    def targets(self, images: Tensor) -> Tensor:
        """The logits that a student learns to imitate, without gradients; the run's precision may be another here."""
        logits: Tensor = self(images, as_targets=True)
        return logits

    def make_targets_fast(self, image_size: int) -> None:
        """From now on :meth:`targets` are in bfloat16, from a folded copy of this locked network."""
        shape = (2, self.normaliser.channels, image_size, image_size)
        noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(self.normaliser.mean.device)
        self._fast = (folded(self.net, self.normaliser(noise)).to(torch.bfloat16),)

    def forward_with_features(self, images: Tensor, *features: Feature) -> ClassifierOutput:
        """Logits of raw images and ``features`` of the same forward pass, all differentiable."""
        output = ClassifierOutput(torch.empty(0), [], [], torch.empty(0), [])
        # hooks exist only during this call, so that a plain forward pass has no overhead
        hooks = [hook for feature in features for hook in self._hooks(feature, output)]
        try:
            output.logits = self(images)
        finally:
            for hook in hooks:
                hook.remove()
        return output

    def _hooks(self, feature: Feature, output: ClassifierOutput) -> list[RemovableHandle]:
        def statistics(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            # at the layer's input, because running statistics describe the input
            var, mean = torch.var_mean(inputs[0], (0, 2, 3), correction=int(feature == "bn"))
            output.bn.append(BatchStatistics(mean, var, layer.running_mean, layer.running_var))  # type: ignore[arg-type]

        def means(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            output.bn_means.append(inputs[0].mean((2, 3)))

        def penultimate(_layer: nn.Module, inputs: tuple[Any, ...]) -> None:
            output.penultimate = inputs[0]

        def stage(_layer: nn.Module, _inputs: tuple[Any, ...], feature_map: Tensor) -> None:
            output.stages.append(feature_map)

        if feature in ("bn", "biased_bn"):
            return [layer.register_forward_pre_hook(statistics) for layer in self.norm_layers()]
        if feature == "bn_means":
            return [layer.register_forward_pre_hook(means) for layer in self.norm_layers()]
        if feature == "penultimate":
            return [self.last_layer().register_forward_pre_hook(penultimate)]
        return [layer.register_forward_hook(stage) for layer in self.stage_layers()]

    def stage_layers(self) -> list[nn.Module]:
        """The modules whose outputs end the network's stages, as listed by timm; none if timm lists none."""
        names = [info["module"] for info in getattr(self.net, "feature_info", [])]
        return [self.net.get_submodule(name) for name in names if name in dict(self.net.named_modules())]

    def last_layer(self) -> nn.Module:
        """The linear layer whose output is the logits.

        Raises:
            UserError: the network is a user's own and ends otherwise, so that no method can read its features.
        """
        layer: nn.Module | None = self.net.get_classifier()  # type: ignore[operator]
        if layer is None:
            raise UserError("the logits of this network are not the output of a torch.nn.Linear, whose input is needed")
        return layer

    def norm_layers(self) -> list[nn.BatchNorm2d]:
        """The batch-norm layers with running statistics."""
        return [m for m in self.net.modules() if isinstance(m, nn.BatchNorm2d) and m.track_running_stats]

    def lock(self) -> ClassifierWrapper:
        """Freeze permanently: no parameter gets a gradient, and the network stays in eval mode.

        Gradients still flow through the network to its input.
        """
        self.requires_grad_(False).eval()
        self.zero_grad(set_to_none=True)
        self._locked = True
        return self

    def train(self, mode: bool = True) -> ClassifierWrapper:
        """Switch between train and eval mode; a locked network stays in eval mode."""
        super().train(mode and not getattr(self, "_locked", False))
        return self

    @contextmanager
    def eval_mode(self) -> Iterator[None]:
        """Eval mode inside the block, so that forward passes leave the running statistics unchanged."""
        # restored module by module, because a method may have frozen some layers
        before = [(module, module.training) for module in self.modules()]
        self.eval()
        try:
            yield
        finally:
            for module, mode in before:
                module.training = mode
