"""Fourier adapters and distances of phases against NumPy, in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from support.tiny_task import untrained_classifier
from torch import Tensor

from okdbench.distill.networks.fourier import (
    SMALLEST,
    AdaptedClassifier,
    FourierAdapter,
    PhaseDistance,
    amplitudes,
    inverse,
    phases,
    pooled,
    transform,
)
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state

pytestmark = pytest.mark.usefixtures("double", "seeded")

#: sides of feature maps, even and odd ones
SIDES = (1, 2, 5, 8)


def maps(channels: int = 6, side: int = 5, batch: int = 4) -> Tensor:
    """What ReLU leaves: no map has a negative pixel."""
    return torch.rand(batch, channels, side, side)


def spectrum_of(x: Tensor) -> npt.NDArray[np.complex128]:
    return np.fft.fft2(x.detach().numpy())


def only_keeps(adapter: FourierAdapter) -> FourierAdapter:
    """All of the amplitudes are the old ones, up to 1e-20."""
    adapter.shares.data = torch.tensor([-2.3, 2.3])
    return adapter


# The transform


@pytest.mark.parametrize("side", SIDES)
def test_phases_and_amplitudes_are_those_of_numpy(side: int) -> None:
    x = maps(side=side)
    found = transform(x)
    np.testing.assert_allclose(amplitudes(found), np.abs(spectrum_of(x)), rtol=1e-9)
    # pi and -pi are one angle
    np.testing.assert_allclose(np.exp(1j * phases(found).numpy()), np.exp(1j * np.angle(spectrum_of(x))), atol=1e-9)


@pytest.mark.parametrize("side", SIDES)
def test_the_inverse_restores_the_maps(side: int) -> None:
    x = maps(side=side)
    torch.testing.assert_close(inverse(phases(transform(x)), amplitudes(transform(x))), x, rtol=0, atol=1e-9)


def test_a_map_of_zeros_has_finite_gradients() -> None:
    x = torch.zeros(2, 3, 5, 5, requires_grad=True)
    angles, lengths = phases(transform(x)), amplitudes(transform(x))
    assert angles.abs().max() == 0
    assert lengths.unique().item() == pytest.approx(SMALLEST**0.5)
    (gradient,) = torch.autograd.grad(angles.sum() + lengths.sum(), x)
    assert gradient.isfinite().all()


@pytest.mark.parametrize(("side", "moves"), [(1, False), (2, False), (3, True), (4, True)])
def test_maps_of_less_than_three_pixels_a_side_have_phases_without_a_gradient(side: int, moves: bool) -> None:
    x = maps(side=side).requires_grad_()
    angles = phases(transform(x))
    (gradient,) = torch.autograd.grad(angles.square().sum(), x)
    assert bool(gradient.abs().max() > 1e-6) is moves
    at_an_end = torch.isclose(angles.abs(), torch.tensor(0.0)) | torch.isclose(angles.abs(), torch.tensor(np.pi))
    assert bool(at_an_end.all()) is not moves


# The adapter


def test_an_adapter_keeps_phases_and_mixes_amplitudes() -> None:
    adapter, x = FourierAdapter(8).eval(), maps(8)
    for buffer in adapter.buffers():
        buffer.add_(1)
    adapter.shares.data = torch.tensor([0.03, -0.04])
    adapted, angles = adapter(x)
    share = np.exp([0.3, -0.4]) / np.exp([0.3, -0.4]).sum()
    new = np.maximum(np.abs(spectrum_of(adapter.layers(x))), SMALLEST**0.5)
    lengths = share[0] * new + share[1] * np.abs(spectrum_of(x))
    np.testing.assert_allclose(np.abs(spectrum_of(adapted)), lengths, rtol=1e-6)
    np.testing.assert_allclose(spectrum_of(adapted), lengths * np.exp(1j * np.angle(spectrum_of(x))), atol=1e-9)
    assert torch.equal(angles, phases(transform(x)))
    assert not torch.allclose(adapted, x, atol=0.01)


def test_an_adapter_that_takes_no_new_amplitudes_changes_nothing() -> None:
    x = maps()
    torch.testing.assert_close(only_keeps(FourierAdapter(6))(x)[0], x, rtol=0, atol=1e-9)


def test_gradients_reach_all_of_an_adapter_and_its_input() -> None:
    adapter, x = FourierAdapter(8), maps(8).requires_grad_()
    weights = [x, *adapter.parameters()]
    gradients = torch.autograd.grad(adapter(x)[0].square().sum(), weights)
    assert len(weights) == 1 + 1 + 2 + 4
    assert all(gradient.norm() > 1e-6 for gradient in gradients)


@pytest.mark.parametrize(("channels", "reduction", "inside"), [(8, 4, 2), (8, 2, 4), (3, 4, 1)])
def test_an_adapter_is_narrower_inside(channels: int, reduction: int, inside: int) -> None:
    assert FourierAdapter(channels, reduction).layers[0].out_channels == inside


# A classifier with adapters


@pytest.fixture
def classifier() -> ClassifierWrapper:
    return untrained_classifier(1).double().lock()


def adapters_for(classifier: ClassifierWrapper, images: Tensor) -> list[FourierAdapter]:
    stages = classifier.forward_with_features(images, "stages").stages[1:]
    return [FourierAdapter(one.shape[1]) for one in stages]


def test_adapters_that_change_nothing_leave_the_logits(classifier: ClassifierWrapper) -> None:
    images = torch.rand(4, 3, 32, 32)
    output = classifier.forward_with_features(images, "stages")
    adapters = [only_keeps(adapter) for adapter in adapters_for(classifier, images)]
    logits, angles = AdaptedClassifier(classifier, classifier.stage_layers()[1:], adapters)(images)
    # a dead channel has an amplitude as well
    torch.testing.assert_close(logits, output.logits, rtol=0, atol=0.02 * float(output.logits.abs().max()))
    assert torch.equal(angles[0], phases(transform(output.stages[1])))
    assert [one.shape for one in angles] == [stage.shape for stage in output.stages[1:]]


def test_a_classifier_is_adapted_inside_of_the_module_alone(classifier: ClassifierWrapper) -> None:
    images = torch.rand(4, 3, 32, 32)
    before, usual = clone_state(classifier), classifier(images)
    adapters = adapters_for(classifier, images)
    adapted = AdaptedClassifier(classifier, classifier.stage_layers()[1:], adapters)
    logits, _ = adapted(images)
    assert (logits - usual).abs().max() > 0.1
    with pytest.raises(RuntimeError):
        adapted(torch.rand(4, 5, 32, 32))
    assert torch.equal(classifier(images), usual)
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())
    assert {*adapted.parameters()} == {weight for adapter in adapters for weight in adapter.parameters()}
    gradients = torch.autograd.grad(logits.square().sum(), [adapter.shares for adapter in adapters])
    assert all(gradient.norm() > 1e-6 for gradient in gradients)


# The distance of phases


@pytest.mark.parametrize(("side", "size"), [((14, 14), (5, 5)), ((8, 6), (4, 3)), ((2, 2), (4, 4)), ((5, 5), (5, 5))])
def test_pooling_is_adaptive_average_pooling(side: tuple[int, int], size: tuple[int, int]) -> None:
    x = torch.randn(2, 3, *side)
    torch.testing.assert_close(pooled(x, size), F.adaptive_avg_pool2d(x, size))


def test_the_distance_is_the_mean_square_of_the_gated_difference() -> None:
    own, other = [maps(6, 8), maps(40, 4)], [maps(6, 8), maps(40, 4)]
    distance = PhaseDistance([6, 40], [6, 40])
    target = [phases(transform(one)) for one in other]

    def joined(stages: list[Tensor]) -> npt.NDArray[np.float64]:
        angles = [np.angle(spectrum_of(one)) for one in stages]
        halved = angles[0].reshape(*angles[0].shape[:2], 4, 2, 4, 2).mean((3, 5))
        return np.concatenate([halved, angles[1]], 1)

    first, second = (layer.weight.detach().numpy() for layer in (distance.gate[0], distance.gate[2]))
    hidden = np.maximum(joined(other).mean((2, 3)) @ first.T, 0)
    gate = 1 / (1 + np.exp(-hidden @ second.T))
    expected = np.square(gate[:, :, None, None] * (joined(own) - joined(other))).mean()
    assert first.shape == (46 // 16, 46)
    assert np.ptp(gate) > 0.01
    assert distance(*own, others=target).item() == pytest.approx(expected, rel=1e-6)
    assert distance(*other, others=target).item() == 0


def test_maps_are_projected_where_channels_differ_alone() -> None:
    distance = PhaseDistance([3, 8], [6, 8])
    assert distance.projections[0].weight.shape == (6, 3, 1, 1)
    assert [*distance.projections[1].parameters()] == []
    own = [maps(3, 8).requires_grad_(), maps(8, 4).requires_grad_()]
    target = [phases(transform(maps(6, 8))), phases(transform(maps(8, 4)))]
    moved = [*own, distance.projections[0].weight, distance.gate[2].weight]
    gradients = torch.autograd.grad(distance(*own, others=target), moved)
    assert all(gradient.norm() > 1e-9 for gradient in gradients)


def test_the_gate_of_odd_maps_is_a_half_whatever_it_has_learned() -> None:
    """Phases of opposite frequencies cancel in the mean that the gate reads, and it has no bias."""
    odd = phases(transform(maps(40, 7)))
    gate = PhaseDistance([40], [40]).gate
    for weight in gate.parameters():
        weight.data.mul_(100)
    torch.testing.assert_close(gate(odd.mean((2, 3))), torch.full((4, 40), 0.5))
    even = phases(transform(maps(40, 8)))
    assert (gate(even.mean((2, 3))) - 0.5).abs().max() > 0.1
