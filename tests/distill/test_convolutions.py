"""Cheaper convolutions: outputs, gradients and second-order gradients are those of the usual ones, in float64."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.convolutions import _TAPS, TrimmedConv2d, UpConv2d, trim

pytestmark = pytest.mark.usefixtures("seeded", "double")

SIDES = [8, 9, 16, 31, 64, 97, 224]


def derivatives(function: Callable[[Tensor], Tensor], images: Tensor, weight: Tensor) -> list[Tensor]:
    """Output, gradients to images and weight, and the gradients of a function of these."""
    images = images.clone().requires_grad_()
    output = function(images)
    first = torch.autograd.grad(output.sin().sum(), (images, weight), create_graph=True)
    second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), (images, weight))
    return [output, *first, *second]


def assert_equal(one: list[Tensor], other: list[Tensor]) -> None:
    for a, b in zip(one, other, strict=True):
        assert a.shape == b.shape
        assert (a - b).abs().max() <= 1e-12 * b.abs().max().clamp(min=1)


@pytest.mark.parametrize("side", SIDES)
def test_the_up_convolution_is_a_doubling_and_a_convolution(side: int) -> None:
    layer, images = UpConv2d(3, 2), torch.randn(2, 3, side // 2, side - side // 2)

    def usual(x: Tensor) -> Tensor:
        return F.conv2d(F.interpolate(x, scale_factor=2), layer.weight, padding=1)

    assert_equal(derivatives(layer, images, layer.weight), derivatives(usual, images, layer.weight))
    assert list(layer.state_dict()) == ["weight"]


@pytest.mark.parametrize("side", [1, 2, 3, 5, *SIDES])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation"),
    [(3, 1, 1, 1), (3, 2, 1, 1), (5, 1, 2, 1), (5, 2, 2, 1), (7, 2, 3, 1), (3, 1, 2, 2), (2, 1, 1, 1), (4, 3, 2, 1)],
)
def test_a_trimmed_convolution_is_the_usual_one(
    side: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    if side + 2 * padding < dilation * (kernel - 1) + 1:
        pytest.skip("the kernel is larger than the padded map, which is an error in PyTorch")
    usual = nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups=2)
    trimmed = trim(nn.Sequential(nn.Conv2d(4, 6, kernel, stride, padding, dilation, groups=2)))[0]
    trimmed.load_state_dict(usual.state_dict())
    assert isinstance(trimmed, TrimmedConv2d)
    images = torch.randn(2, 4, side, max(side // 2, dilation * (kernel - 1) + 1 - 2 * padding, 1))
    assert_equal(derivatives(trimmed, images, trimmed.weight), derivatives(usual, images, usual.weight))


@pytest.mark.parametrize("name", ["resnet18", "mobilenetv3_small_100", "test_byobnet", "test_efficientnet"])
def test_networks_load_the_weights_of_timm_and_give_its_logits(name: str) -> None:
    usual = timm.create_model(name, num_classes=7).eval()
    built = build_classifier(name, 7, 32).eval()
    built.load_state_dict(usual.state_dict())
    assert [*built.state_dict()] == [*usual.state_dict()]
    assert any(isinstance(layer, TrimmedConv2d) for layer in built.modules())
    images = torch.randn(2, 3, 32, 32)
    torch.testing.assert_close(built(images), usual(images), rtol=1e-9, atol=1e-9)


def test_layers_that_pad_in_another_way_stay_as_they_are() -> None:
    reflected = nn.Conv2d(3, 3, 3, padding=1, padding_mode="reflect")
    layers = [nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3, padding="same"), reflected]
    assert [type(layer) for layer in trim(nn.Sequential(*layers))] == [nn.Conv2d] * 3


def test_kernels_are_summed_in_float32_in_every_precision() -> None:
    layer, images = UpConv2d(8, 4).float(), torch.randn(2, 8, 5, 5, dtype=torch.float32)
    usual: list[Tensor] = []
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        found = layer(images)
        for dtype in (torch.float32, torch.bfloat16):
            rows = torch.tensor(_TAPS, dtype=dtype)
            with torch.autocast("cpu", enabled=False):
                kernel = rows @ layer.weight.to(dtype) @ rows.T
            usual.append(F.conv_transpose2d(images, kernel.transpose(0, 1), stride=2, padding=1))
    assert torch.equal(found, usual[0])
    assert not torch.equal(found, usual[1])
