"""Teachers and students: any timm classifier, by name, those that are registered beside them, and the user's own."""

from __future__ import annotations

import inspect
from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.core.errors import UserError, one_line, unknown
from okdbench.core.network_names import HUB, installed
from okdbench.distill.networks.adapter import adapt
from okdbench.distill.networks.batch_norm import smooth
from okdbench.distill.networks.cifar import WideResNet as WideResNet  # as that of lenet
from okdbench.distill.networks.convolutions import trim
from okdbench.distill.networks.hub import fetched, hub_network
from okdbench.distill.networks.lenet import LeNet5 as LeNet5  # its import registers the networks in timm
from okdbench.distill.networks.timm_options import NO_OPTIONS, spelt
from okdbench.distill.networks.user_networks import Network, call, user_network


def build_classifier(
    network: str | Network, classes: int, image_size: int, pretrained: bool = False, channels: int = 3
) -> nn.Module:
    """A new classifier in train mode.

    Args:
        network: timm's name, such as ``resnet18``, or what :func:`find_network` returns.
        classes: number of outputs.
        image_size: input resolution in pixels; images are square.
        pretrained: whether to start from timm's pretrained weights.
        channels: of the images; timm adds up the pretrained weights of the first layer for grey ones.

    Raises:
        UserError: there is no such network, it does not accept this image size, or its weights cannot be fetched.
    """
    network = find_network(network, pretrained) if isinstance(network, str) else network
    if network.builder:
        net = call(network, classes, image_size, channels)
        return adapt(trim(net), network.place, classes, image_size, channels).train()
    name = network.name
    try:
        net = trim(_create(network, classes, image_size, pretrained, channels)).to(memory_format=torch.channels_last)
        # some networks reject an image size only in their first forward pass
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, image_size, image_size))
        return net.train()
    except Exception as error:
        if network.options:  # of another author's file, which may fail in any way
            raise UserError(
                f"{name} with {spelt(network.options)}, as the file of its weights says, cannot be built for images of "
                f"{image_size} pixels ({one_line(error)}); {NO_OPTIONS}"
            ) from error
        if not isinstance(error, AssertionError | RuntimeError | ValueError):
            raise
        raise UserError(
            f"{name} does not accept images of {image_size} pixels ({one_line(error)}); "
            "choose another network or image size"
        ) from error


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: the same function as PyTorch's hard sigmoid, which has no double backward."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, to [0, 1]."""
        return F.relu6(x + 3) / 6


def make_twice_differentiable(net: nn.Module) -> None:
    """Replace what has no second derivative, or a slow one, and disable dropout, in place."""
    smooth(net)
    # Dropout would draw another mask in each forward pass, so that a gradient at theta and one at theta' would belong
    # to different networks.
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.Hardsigmoid, timm.layers.HardSigmoid)):
                setattr(parent, name, HardSigmoid())
            if isinstance(child, nn.modules.dropout._DropoutNd):
                child.p = 0.0
    if hasattr(net, "drop_rate"):  # timm's heads call F.dropout with it
        net.drop_rate = 0.0  # type: ignore[assignment]


def find_network(name: str, pretrained: bool = False) -> Network:
    """The network of this name: timm's, or the user's own, whose code is executed.

    Args:
        name: timm's name, ``hf-hub:`` and a name there, a file, ``net.py`` or ``net.py:build``, or an entry point of an
            installed package.
        pretrained: whether pretrained weights must exist.

    Raises:
        UserError: there is no such network, it cannot be loaded, or there are no such weights.
    """
    if timm.is_model(name):
        _check_weights(name, pretrained)
        return Network(name)
    if name.startswith(HUB):
        return hub_network(name)
    if not (found := user_network(name)):
        raise unknown("network", name, [*timm.list_models(), *installed()])
    if pretrained:
        cure = "leave out --pretrained, or name files of weights: --teacher-init, --student-weights"
        raise UserError(f"timm has no pretrained weights for {found.name}; {cure}")
    return found


def own_networks() -> dict[str, str]:
    """Name -> title of the networks that are registered beside timm's."""
    names = [name for module in ("cifar", "lenet") for name in timm.list_models(module=module)]
    return {name: inspect.getdoc(timm.model_entrypoint(name)) or "" for name in names}


def _check_weights(name: str, pretrained: bool) -> None:
    base, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        raise unknown("network", name, timm.list_pretrained(f"{base}.*") or [base])
    if pretrained and not timm.is_model_pretrained(name):
        raise UserError(f"timm has no pretrained weights for {name}; leave out --pretrained")


def _create(network: Network, classes: int, image_size: int, pretrained: bool, channels: int) -> nn.Module:
    name = network.name
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": classes, "in_chans": channels}
    options |= dict(network.options)

    def create() -> nn.Module:
        # Only models with a fixed grid of patches accept `img_size`; the others reject the keyword and accept any size.
        try:
            return timm.create_model(name, img_size=image_size, **options)
        except TypeError:
            return timm.create_model(name, **options)

    if not pretrained and not name.startswith(HUB):
        return create()
    source = None if name.startswith(HUB) else timm.get_pretrained_cfg(name)
    elsewhere = "" if source is None or source.hf_hub_id else str(source.url)
    return fetched(create, f"{name} with its weights" if pretrained else name, elsewhere)
