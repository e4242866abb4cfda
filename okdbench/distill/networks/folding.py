"""A frozen network in fewer operations: each batch norm is folded into the convolution before it."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy

import torch
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn

from okdbench.distill.networks.convolutions import ContiguousConv2d, TrimmedConv2d

#: those that use their weight as it is; a subclass may standardise it first
_CONVOLUTIONS = (nn.Conv2d, TrimmedConv2d, ContiguousConv2d)
#: the folded network's largest relative error, in float32, before the network is left as it is
_TOLERANCE = 1e-3


@torch.no_grad()
def folded(net: nn.Module, images: Tensor) -> nn.Module:
    """A frozen copy of a network in eval mode, with its batch norms folded where that does not change its output.

    Args:
        net: the network, frozen and in eval mode, which stays as it is.
        images: B x C x H x W, to find what follows what, and to compare the outputs.
    """
    copy, expected = deepcopy(net), net(images)
    for convolution, parent, name in list(_pairs(copy, images)):
        setattr(parent, name, _fold(convolution, getattr(parent, name)))
    error = (copy(images) - expected).abs().max()
    # A convolution whose output has a second reader, or that is used twice, cannot be folded.
    return copy if error <= _TOLERANCE * expected.abs().max() else deepcopy(net)


def _pairs(net: nn.Module, images: Tensor) -> Iterator[tuple[nn.Conv2d, nn.Module, str]]:
    """Each convolution whose output a batch norm reads, with the module that holds the norm and its name there."""
    made: list[tuple[Tensor, nn.Conv2d]] = []
    read: dict[nn.Module, nn.Conv2d] = {}

    def after(layer: nn.Conv2d, _inputs: tuple[Tensor, ...], output: Tensor) -> None:
        made.append((output, layer))

    def before(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        # Compared by identity, and kept in a list, so that no other tensor takes the identity over.
        for output, convolution in made:
            if output is inputs[0]:
                read[layer] = convolution

    hooks = [layer.register_forward_hook(after) for layer in net.modules() if type(layer) in _CONVOLUTIONS]
    hooks += [layer.register_forward_pre_hook(before) for layer in net.modules() if isinstance(layer, nn.BatchNorm2d)]
    try:
        net(images)
    finally:
        for hook in hooks:
            hook.remove()
    for parent in net.modules():
        for name, layer in parent.named_children():
            if layer in read and type(layer) in (nn.BatchNorm2d, BatchNormAct2d):
                yield read[layer], parent, name


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> nn.Module:
    """Gamma (w x + b - mean) / sigma + beta = (gamma / sigma) w x + gamma (b - mean) / sigma + beta.

    Returns:
        What is left of the norm: timm's has an activation. One without running statistics stays.
    """
    mean, var = norm.running_mean, norm.running_var
    if mean is None or var is None:
        return norm
    scale = (var + norm.eps).rsqrt()
    shift = -mean if convolution.bias is None else convolution.bias - mean
    if norm.affine:
        scale = scale * norm.weight
    bias = shift * scale + (norm.bias if norm.affine else 0)
    convolution.weight.mul_(scale[:, None, None, None])
    convolution.bias = nn.Parameter(bias, requires_grad=False)
    return nn.Sequential(norm.drop, norm.act) if isinstance(norm, BatchNormAct2d) else nn.Identity()
