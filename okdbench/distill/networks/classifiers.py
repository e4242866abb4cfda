"""Teachers and students: any timm classifier, by name, and those that are registered beside them."""

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.core.errors import UserError, one_line, unknown
from okdbench.distill.networks.batch_norm import smooth
from okdbench.distill.networks.cifar import WideResNet as WideResNet  # as that of lenet
from okdbench.distill.networks.convolutions import trim
from okdbench.distill.networks.lenet import LeNet5 as LeNet5  # its import registers the networks in timm


def build_classifier(
    name: str, classes: int, image_size: int, pretrained: bool = False, channels: int = 3
) -> nn.Module:
    """A new timm classifier in train mode.

    Args:
        name: timm's name, such as ``resnet18``.
        classes: number of outputs.
        image_size: input resolution in pixels; images are square.
        pretrained: whether to start from timm's pretrained weights.
        channels: of the images; timm adds up the pretrained weights of the first layer for grey ones.

    Raises:
        UserError: timm has no such model, it does not accept this image size, or its weights cannot be fetched.
    """
    check_name(name, pretrained)
    try:
        net = trim(_create(name, classes, image_size, pretrained, channels)).to(memory_format=torch.channels_last)
        # some networks reject an image size only in their first forward pass
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, image_size, image_size))
        return net.train()
    except OSError as error:
        raise UserError(
            f"the pretrained weights of {name} could not be fetched ({one_line(error)}); leave out --pretrained"
        ) from error
    except (AssertionError, RuntimeError, ValueError) as error:
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


def check_name(name: str, pretrained: bool = False) -> None:
    """Check that timm has a classifier called ``name`` and, for ``pretrained``, weights for it.

    Raises:
        UserError: there is no such classifier or no such weights.
    """
    if not timm.is_model(name):
        raise unknown("network", name, timm.list_models())
    base, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        raise unknown("network", name, timm.list_pretrained(f"{base}.*") or [base])
    if pretrained and not timm.is_model_pretrained(name):
        raise UserError(f"timm has no pretrained weights for {name}; leave out --pretrained")


def _create(name: str, classes: int, image_size: int, pretrained: bool, channels: int) -> nn.Module:
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": classes, "in_chans": channels}
    # Only models with a fixed grid of patches accept `img_size`; the others reject the keyword and accept any size.
    try:
        return timm.create_model(name, img_size=image_size, **options)
    except TypeError:
        return timm.create_model(name, **options)
