"""LeNet-5 and its half for images of 32 pixels (LeCun et al., 1998; as in DAFL, Chen et al., 2019).

They are registered in timm, so their names work wherever timm's do. The variants with batch norm have it after each
convolution, for methods that compare its statistics.
"""

from __future__ import annotations

from typing import Any

from timm.models import register_model
from torch import Tensor, nn

from okdbench.distill.networks.convolutions import FEW, ContiguousConv2d

#: channels of the three convolutions and the linear layer of LeNet-5
WIDTHS = (6, 16, 120, 84)


class LeNet5(nn.Module):
    """Three 5x5 convolutions with max pooling between them, and two linear layers.

    B x ``in_chans`` x 32 x 32 -> B x ``num_classes``. With one channel and ten classes, 61,706 parameters.

    Args:
        num_classes: number of outputs.
        in_chans: channels of the images.
        divisor: of all widths; 2 for LeNet-5-half, 15,738 parameters.
        norm: whether batch norm follows each convolution.
    """

    def __init__(self, num_classes: int = 10, in_chans: int = 1, divisor: int = 1, norm: bool = False) -> None:
        super().__init__()
        first, second, third, self.num_features = (width // divisor for width in WIDTHS)
        self.num_classes = num_classes
        self.conv1 = _block(in_chans, first, norm, nn.MaxPool2d(2))
        self.conv2 = _block(first, second, norm, nn.MaxPool2d(2))
        self.conv3 = _block(second, third, norm)
        self.hidden = nn.Sequential(nn.Flatten(), nn.Linear(third, self.num_features), nn.ReLU(inplace=True))
        self.fc = nn.Linear(self.num_features, num_classes)
        # what timm's networks declare: the modules at the end of their stages
        self.feature_info = [{"num_chs": c, "module": f"conv{i}"} for i, c in enumerate((first, second, third), 1)]

    def forward(self, images: Tensor) -> Tensor:
        """Logits of normalised images."""
        logits: Tensor = self.fc(self.hidden(self.conv3(self.conv2(self.conv1(images)))))
        return logits

    def get_classifier(self) -> nn.Module:
        """The last layer, as in timm's networks."""
        return self.fc


def _block(channels_in: int, channels_out: int, norm: bool, *after: nn.Module) -> nn.Sequential:
    make = ContiguousConv2d if norm and channels_out < FEW else nn.Conv2d
    conv = make(channels_in, channels_out, 5, bias=not norm)
    normalised = [nn.BatchNorm2d(channels_out)] if norm else []
    return nn.Sequential(conv, *normalised, nn.ReLU(inplace=True), *after)


def _make(kwargs: dict[str, Any], **shape: Any) -> LeNet5:
    # timm passes what it knows of every network, such as pretrained weights, of which there are none
    return LeNet5(kwargs.get("num_classes", 10), kwargs.get("in_chans", 1), **shape)


@register_model
def lenet5(**kwargs: Any) -> LeNet5:
    """LeNet-5."""
    return _make(kwargs)


@register_model
def lenet5_half(**kwargs: Any) -> LeNet5:
    """LeNet-5 with half of the channels."""
    return _make(kwargs, divisor=2)


@register_model
def lenet5_bn(**kwargs: Any) -> LeNet5:
    """LeNet-5 with batch norm."""
    return _make(kwargs, norm=True)


@register_model
def lenet5_half_bn(**kwargs: Any) -> LeNet5:
    """LeNet-5 with batch norm and half of the channels."""
    return _make(kwargs, divisor=2, norm=True)
