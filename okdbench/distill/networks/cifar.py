"""The networks of the papers' tables for images of 32 pixels, where timm's of the same name are others.

CIFAR's ResNets are timm's without the first subsamplings: a 3x3 stem of stride 1 and no pooling. timm and torchvision
have no wide ResNets of the first form (Zagoruyko and Komodakis, 2016), and no VGG-11 with one linear layer after a
global mean, which data-free distillation uses (CMI, Fang et al., 2021). All are registered in timm, so their names
work wherever timm's do.
"""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from timm.models import register_model
from timm.models.resnet import BasicBlock, ResNet
from torch import Tensor, nn

#: channels of the stages of VGG-11; the side is halved between two stages
VGG11 = ((64,), (128,), (256, 256), (512, 512), (512, 512))


class WideResNet(nn.Module):
    """Wide ResNet, B x ``in_chans`` x 32 x 32 -> B x ``num_classes``.

    Args:
        depth: number of layers, 6 n + 4 with n blocks in each of three stages.
        width: factor k of the channels 16, 32 and 64.
        num_classes: number of outputs.
        in_chans: channels of the images.
    """

    def __init__(self, depth: int, width: int, num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes, blocks = num_classes, (depth - 4) // 6
        channels = [16, *(width * c for c in (16, 32, 64))]
        self.conv = nn.Conv2d(in_chans, channels[0], 3, padding=1, bias=False)
        self.block1 = _stage(channels[0], channels[1], blocks, stride=1)
        self.block2 = _stage(channels[1], channels[2], blocks, stride=2)
        self.block3 = _stage(channels[2], channels[3], blocks, stride=2)
        self.norm = nn.Sequential(nn.BatchNorm2d(channels[-1]), nn.ReLU(inplace=True))
        self.num_features = channels[-1]
        self.fc = nn.Linear(self.num_features, num_classes)
        # what timm's networks declare: the modules at the end of their stages
        self.feature_info = [{"num_chs": c, "module": f"block{i}"} for i, c in enumerate(channels[1:], 1)]
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images."""
        maps = self.block3(self.block2(self.block1(self.conv(images))))
        logits: Tensor = self.fc(self.norm(maps).mean((2, 3)))
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer, as in timm's networks."""
        return self.fc


class WideBlock(nn.Module):
    """Two 3x3 convolutions, each after batch norm and ReLU, and a shortcut.

    Args:
        channels_in: of the input.
        channels_out: of the output.
        stride: of the first convolution.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels_in), nn.BatchNorm2d(channels_out)
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        same = channels_in == channels_out
        self.shortcut = None if same else nn.Conv2d(channels_in, channels_out, 1, stride, bias=False)

    def forward(self, maps: Tensor) -> Tensor:
        """B x C x H x W -> B x C' x H' x W'."""
        active = F.relu(self.norm1(maps))
        # A shortcut with a convolution starts after the activation, the plain one before it.
        past = maps if self.shortcut is None else self.shortcut(active)
        made: Tensor = past + self.conv2(F.relu(self.norm2(self.conv1(active))))
        return made


def _stage(channels_in: int, channels_out: int, blocks: int, stride: int) -> nn.Sequential:
    rest = [WideBlock(channels_out, channels_out, 1) for _ in range(blocks - 1)]
    return nn.Sequential(WideBlock(channels_in, channels_out, stride), *rest)


class CifarVGG(nn.Module):
    """VGG with batch norm and one linear layer, B x ``in_chans`` x 32 x 32 -> B x ``num_classes``.

    Args:
        stages: channels of the convolutions of each stage.
        num_classes: number of outputs.
        in_chans: channels of the images.
    """

    def __init__(self, stages: tuple[tuple[int, ...], ...], num_classes: int = 10, in_chans: int = 3) -> None:
        super().__init__()
        self.num_classes, self.num_features = num_classes, stages[-1][-1]
        self.blocks = nn.Sequential()
        channels = in_chans
        for stage in stages:
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if self.blocks else []
            for width in stage:
                conv = nn.Conv2d(channels, width, 3, padding=1)
                layers += [conv, nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
                channels = width
            self.blocks.append(nn.Sequential(*layers))
        self.fc = nn.Linear(self.num_features, num_classes)
        self.feature_info = [{"num_chs": s[-1], "module": f"blocks.{i}"} for i, s in enumerate(stages)]
        self.apply(_initialise)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images."""
        logits: Tensor = self.fc(self.blocks(images).mean((2, 3)))
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer, as in timm's networks."""
        return self.fc


def _initialise(layer: nn.Module) -> None:
    """He's initialisation of convolutions, as in both releases."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def _resnet(layers: tuple[int, int, int, int], kwargs: dict[str, Any]) -> ResNet:
    # Any, because timm annotates a block as an instance, and a stem as a sequence
    block: Any = BasicBlock
    net: Any = ResNet(block, layers, kwargs.get("num_classes", 10), kwargs.get("in_chans", 3))
    net.conv1 = nn.Conv2d(net.conv1.in_channels, 64, 3, padding=1, bias=False)
    _initialise(net.conv1)
    net.maxpool = nn.Identity()
    made: ResNet = net
    return made


def _shape(kwargs: dict[str, Any]) -> dict[str, int]:
    # timm passes what it knows of every network, such as pretrained weights, of which there are none
    return {"num_classes": kwargs.get("num_classes", 10), "in_chans": kwargs.get("in_chans", 3)}


@register_model
def cifar_resnet18(**kwargs: Any) -> ResNet:
    """ResNet-18 with a 3x3 stem of stride 1, without max pooling."""
    return _resnet((2, 2, 2, 2), kwargs)


@register_model
def cifar_resnet34(**kwargs: Any) -> ResNet:
    """ResNet-34 with a 3x3 stem of stride 1, without max pooling."""
    return _resnet((3, 4, 6, 3), kwargs)


@register_model
def cifar_vgg11_bn(**kwargs: Any) -> CifarVGG:
    """VGG-11 with batch norm."""
    return CifarVGG(VGG11, **_shape(kwargs))


@register_model
def wrn_16_1(**kwargs: Any) -> WideResNet:
    """Wide ResNet of 16 layers and the plain width."""
    return WideResNet(16, 1, **_shape(kwargs))


@register_model
def wrn_16_2(**kwargs: Any) -> WideResNet:
    """Wide ResNet of 16 layers and twice the width."""
    return WideResNet(16, 2, **_shape(kwargs))


@register_model
def wrn_40_1(**kwargs: Any) -> WideResNet:
    """Wide ResNet of 40 layers and the plain width."""
    return WideResNet(40, 1, **_shape(kwargs))


@register_model
def wrn_40_2(**kwargs: Any) -> WideResNet:
    """Wide ResNet of 40 layers and twice the width."""
    return WideResNet(40, 2, **_shape(kwargs))
