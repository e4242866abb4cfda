"""The wrapper of a classifier: one normalisation, features on request, and no hooks left behind."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny_task import MEAN, STD
from torch import Tensor, nn

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state

pytestmark = pytest.mark.usefixtures("seeded")


@pytest.fixture
def classifier() -> ClassifierWrapper:
    """A residual network with running statistics of its own."""
    wrapper = ClassifierWrapper(build_classifier("test_resnet", 10, 32), Normaliser(MEAN, STD))
    for _ in range(3):
        wrapper(torch.rand(16, 3, 32, 32))
    return wrapper.eval()


def hooks(net: nn.Module) -> int:
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) + len(m._backward_hooks) for m in net.modules())


def test_normaliser_is_channelwise_and_inverse_undoes_it() -> None:
    images = torch.rand(4, 3, 8, 8)
    normaliser = Normaliser(MEAN, STD)
    expected = (images.permute(0, 2, 3, 1).numpy() - np.float32(MEAN)) / np.float32(STD)
    np.testing.assert_allclose(normaliser(images).permute(0, 2, 3, 1), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(normaliser.inverse(normaliser(images)), images)
    torch.testing.assert_close(normaliser(normaliser.inverse(images)), images)
    assert not normaliser.state_dict()


@pytest.mark.parametrize("forward", ["__call__", "forward_with_features"])
def test_the_network_gets_images_that_were_normalised_once(classifier: ClassifierWrapper, forward: str) -> None:
    inputs: list[Tensor] = []
    classifier.net.register_forward_pre_hook(lambda _net, arguments: inputs.append(arguments[0]))
    images = torch.rand(4, 3, 32, 32)
    getattr(classifier, forward)(images)
    (received,) = inputs
    expected = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(received, expected)


def test_features_are_the_logits_and_the_statistics_in_order_of_execution(classifier: ClassifierWrapper) -> None:
    images = torch.rand(8, 3, 32, 32)
    layers: list[nn.BatchNorm2d] = []
    inputs: list[Tensor] = []

    def spy(layer: nn.BatchNorm2d, received: tuple[Tensor]) -> None:
        layers.append(layer)
        inputs.append(received[0].detach())

    handles = [layer.register_forward_pre_hook(spy) for layer in reversed(classifier.norm_layers())]
    logits = classifier(images)
    for handle in handles:
        handle.remove()
    output = classifier.forward_with_features(images, "bn", "bn_means")
    assert torch.equal(output.logits, logits)
    assert len(output.bn) == len(layers) == 15
    for statistics, means, layer, x in zip(output.bn, output.bn_means, layers, inputs, strict=True):
        np.testing.assert_allclose(means.detach(), x.double().numpy().mean((2, 3)), rtol=1e-4, atol=1e-5)
        values = x.double().transpose(0, 1).flatten(1).numpy()
        np.testing.assert_allclose(statistics.mean.detach(), values.mean(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(statistics.var.detach(), values.var(1, ddof=1), rtol=1e-4, atol=1e-6)
        assert torch.equal(statistics.running_mean, layer.running_mean)
        assert torch.equal(statistics.running_var, layer.running_var)


def test_batch_statistics_carry_gradients_to_the_images_and_change_no_buffer(
    classifier: ClassifierWrapper,
) -> None:
    classifier.lock()
    before = clone_state(classifier)
    images = torch.rand(8, 3, 32, 32, requires_grad=True)
    output = classifier.forward_with_features(images, "bn", "bn_means")
    for statistic in (output.bn[-1].mean, output.bn[-1].var, output.bn_means[-1]):
        (gradient,) = torch.autograd.grad(statistic.sum(), images, retain_graph=True)
        assert gradient.norm() > 1e-6
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


def test_features_leave_no_hook_even_after_an_error(classifier: ClassifierWrapper) -> None:
    classifier.forward_with_features(torch.rand(2, 3, 32, 32), "bn")
    assert hooks(classifier) == 0
    with pytest.raises(RuntimeError):
        classifier.forward_with_features(torch.rand(2, 5, 32, 32), "bn")
    assert hooks(classifier) == 0


def test_a_locked_classifier_stays_frozen_and_in_eval_mode(classifier: ClassifierWrapper) -> None:
    nn.Sequential(classifier.train().lock()).train()
    assert not any(module.training for module in classifier.modules())
    assert not any(p.requires_grad for p in classifier.parameters())
    before = clone_state(classifier)
    classifier.train()(torch.rand(4, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in classifier.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_eval_mode_lasts_for_the_block_and_the_mode_is_restored_even_after_an_error(
    classifier: ClassifierWrapper, training: bool
) -> None:
    classifier.train(training)
    with classifier.eval_mode():
        assert not any(module.training for module in classifier.modules())
    assert all(module.training is training for module in classifier.modules())
    with pytest.raises(ZeroDivisionError), classifier.eval_mode():
        raise ZeroDivisionError
    assert all(module.training is training for module in classifier.modules())
