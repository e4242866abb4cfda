"""Batch norm that is cheap to differentiate twice: PyTorch's numbers, in fewer operations."""

from __future__ import annotations

import copy

import pytest
import timm
import torch
from support.scenes import Operations
from torch import Tensor, nn
from torch.func import functional_call

from okdbench.distill.networks.batch_norm import SmoothBatchNorm2d, smooth

pytestmark = pytest.mark.usefixtures("seeded", "double")


def pair() -> tuple[nn.BatchNorm2d, nn.BatchNorm2d]:
    """PyTorch's layer, with weights of both signs, and ours with the same state."""
    usual = nn.BatchNorm2d(3)
    for parameter in usual.parameters():
        nn.init.uniform_(parameter, -1, 1)
    ours = copy.deepcopy(usual)
    smooth(ours)
    assert type(ours) is SmoothBatchNorm2d
    return usual, ours


def second_order(layer: nn.Module, x: Tensor) -> list[Tensor]:
    inputs = [x.clone().requires_grad_(), *layer.parameters()]
    output = layer(inputs[0])
    first = torch.autograd.grad(output.sin().sum(), inputs, create_graph=True)
    second = torch.autograd.grad(sum((gradient**3).sum() for gradient in first), inputs)
    return [output, *first, *second]


SHAPES = [(64, 3, 1, 1), (4, 3, 5, 2), (8, 3, 8, 8), (2, 3, 33, 47), (2, 3, 223, 221), (2, 3, 224, 224)]


@pytest.mark.parametrize("shape", SHAPES)
def test_outputs_and_all_derivatives_are_those_of_pytorch(shape: tuple[int, ...]) -> None:
    usual, ours = pair()
    x = torch.randn(shape)
    for one, other in zip(second_order(ours, x), second_order(usual, x), strict=True):
        assert (one - other).abs().max() <= 1e-12 * other.abs().max().clamp(min=1)
    assert all(torch.equal(a, b) for a, b in zip(ours.buffers(), usual.buffers(), strict=True))


@pytest.mark.parametrize("shape", [(1, 3, 1, 1), (4, 3)])
def test_what_pytorch_refuses_is_refused(shape: tuple[int, ...]) -> None:
    for layer in pair():
        with pytest.raises(ValueError, match=r"(?i)expected"):
            layer(torch.randn(shape))


def test_the_second_derivative_of_the_weight_is_not_rounded_to_bfloat16() -> None:
    layer = pair()[1].float()
    images = torch.randn(64, 3, 8, 8, dtype=torch.bfloat16, requires_grad=True)
    factors = torch.randn(images.shape, dtype=torch.float32)  # a linear loss, so that its derivative has no other part
    (first,) = torch.autograd.grad((layer(images) * factors).sum(), images, create_graph=True)
    (second,) = torch.autograd.grad(first.float().square().sum(), layer.weight)
    assert not torch.equal(second, second.bfloat16().float())


def test_derivatives_are_those_of_finite_differences() -> None:
    _, ours = pair()
    ours.track_running_stats = False
    x = torch.randn(3, 3, 2, 2, requires_grad=True)

    def function(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return functional_call(ours, {"weight": weight, "bias": bias}, x)

    inputs = (x, *(parameter.detach().clone().requires_grad_() for parameter in ours.parameters()))
    assert torch.autograd.gradcheck(function, inputs)
    assert torch.autograd.gradgradcheck(function, inputs)


def test_a_second_derivative_takes_half_of_the_operations() -> None:
    totals = []
    for layer in pair():
        with Operations() as operations:
            second_order(layer, torch.randn(4, 3, 5, 2))
        totals.append(operations.total)
    assert totals[1] < totals[0] / 2


@pytest.mark.parametrize("name", ["test_resnet", "mobilenetv3_small_100"])
def test_a_network_of_timm_keeps_its_outputs_in_both_modes(name: str) -> None:
    usual = timm.create_model(name, num_classes=5, drop_rate=0.0)
    ours = copy.deepcopy(usual)
    smooth(ours)
    images = torch.randn(4, 3, 32, 32)
    for mode in (True, False):
        torch.testing.assert_close(ours.train(mode)(images), usual.train(mode)(images), rtol=1e-9, atol=1e-9)
    assert [*ours.state_dict()] == [*usual.state_dict()]
