"""Batch norm whose second derivative takes a dozen operations instead of some forty.

With x^ = (x - mean) r and r = 1 / sqrt(var + eps), a gradient g of the output gives

    dx = gamma n(g), n(g) = r (g - mean g - x^ C / N), C = sum g x^

over the N values of a channel. n is linear and its own adjoint, so for a gradient v of dx, and c of sum g x^:

    d/dg = gamma n(v) + c x^ + (gradient of sum g)
    d/dgamma = S = sum v n(g)
    d/dx = c n(g) - gamma r / N (S x^ + C n(v) + B n(g)), B = sum v x^

PyTorch's own double backward is made of general operations, which read every map many times.
"""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class _Forward(torch.autograd.Function):
    """(x, gamma, beta) -> normalised x; updates the running statistics in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: nn.BatchNorm2d) -> Tensor:
        tracked = (layer.running_mean, layer.running_var) if layer.track_running_stats else (None, None)
        momentum = layer.momentum or 0.0
        output, mean, invstd = torch.native_batch_norm(x, weight, bias, *tracked, True, momentum, layer.eps)
        ctx.save_for_backward(x, weight, mean, invstd)
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return *_Backward.apply(gradient, *ctx.saved_tensors), None


class _Backward(torch.autograd.Function):
    """(g, x, gamma) -> (dx, sum g x^, sum g), which can be differentiated once more."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Tensor, x: Tensor, weight: Tensor, mean: Tensor, invstd: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        slope, along, total = _normalised(gradient, x, mean, invstd)
        ctx.save_for_backward(x, weight, mean, invstd, slope, along)
        # In bfloat16 the maps are smaller than the numbers of a channel.
        return (slope * _wide(weight)).to(x.dtype), along, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor | None, c: Tensor | None, total: Tensor | None) -> tuple[Tensor | None, ...]:
        x, weight, mean, invstd, slope, along = ctx.saved_tensors
        v = torch.zeros_like(x) if v is None else v.to(x.dtype)
        c = torch.zeros_like(weight) if c is None else c
        total = torch.zeros_like(weight) if total is None else total
        second, across, _ = _normalised(v, x, mean, invstd)
        weight_gradient = (v * slope).sum((0, 2, 3), dtype=weight.dtype)
        # Everything of one channel alone, so that each map is read once.
        scale = weight * invstd / (x.numel() / len(weight))
        gradient = _combined(second * _wide(weight), (x, c * invstd), total - c * invstd * mean)
        tilt = scale * weight_gradient * invstd
        x_gradient = _combined(slope * _wide(c - scale * across), (x, -tilt), tilt * mean)
        x_gradient.addcmul_(second, _wide(-scale * along))
        return gradient.to(x.dtype), x_gradient.to(x.dtype), weight_gradient, None, None


def _normalised(gradient: Tensor, x: Tensor, mean: Tensor, invstd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """n(gradient), sum gradient x^ and sum gradient."""
    # Without a weight, which the callers multiply by; the statistics of the batch make epsilon irrelevant.
    found: tuple[Tensor, Tensor, Tensor] = torch.ops.aten.native_batch_norm_backward(
        gradient, x, None, None, None, mean, invstd, True, 0.0, (True, True, True)
    )
    return found


def _combined(maps: Tensor, product: tuple[Tensor, Tensor], shift: Tensor) -> Tensor:
    """``maps`` + a map times a number for each channel + a number for each channel, in place."""
    return maps.addcmul_(product[0], _wide(product[1])).add_(_wide(shift))


def _wide(channels: Tensor) -> Tensor:
    return channels[:, None, None]


class SmoothBatchNorm2d(nn.BatchNorm2d):
    """A :class:`torch.nn.BatchNorm2d` that is cheap to differentiate twice in train mode."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        return _normalise(self, x) if _is_common(self, x) else super().forward(x)


class SmoothBatchNormAct2d(BatchNormAct2d):
    """The same for timm's batch norm with an activation."""

    def forward(self, x: Tensor) -> Tensor:
        """B x C x H x W -> the same."""
        output: Tensor = self.act(self.drop(_normalise(self, x))) if _is_common(self, x) else super().forward(x)  # type: ignore[no-untyped-call]
        return output


def smooth(net: nn.Module) -> None:
    """Let every batch norm of a network be cheap to differentiate twice; parameters and buffers stay the same."""
    kinds = {nn.BatchNorm2d: SmoothBatchNorm2d, BatchNormAct2d: SmoothBatchNormAct2d}
    for layer in net.modules():
        layer.__class__ = kinds.get(type(layer), type(layer))


def _is_common(layer: nn.BatchNorm2d, x: Tensor) -> bool:
    # PyTorch itself refuses other shapes, and channels with one value.
    has_variance = x.ndim == 4 and x.numel() > x.shape[1]
    return has_variance and layer.training and layer.affine and layer.momentum is not None


def _normalise(layer: nn.BatchNorm2d, x: Tensor) -> Tensor:
    if layer.track_running_stats and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
    output: Tensor = _Forward.apply(x, layer.weight, layer.bias, layer)
    return output
