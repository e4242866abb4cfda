"""Loss terms against NumPy, SciPy and torch.distributions."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from scipy.special import logsumexp, softmax
from scipy.stats import entropy
from torch import Tensor, nn
from torch.distributions import Normal, kl_divergence

from okdbench.distill.losses import (
    EPSILON,
    batch_norm_kl,
    batch_norm_l2,
    class_imbalance,
    contrast,
    energy,
    gaussian_prior,
    js,
    kl,
    one_hotness,
    partial_cross_entropy,
)
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import BatchStatistics, ClassifierWrapper, Normaliser

Array = npt.NDArray[np.float64]

#: log-softmax of these is exact in float32 and their softmax is 0 or 1
EXTREME = torch.tensor([[1e4, -1e4, 0.0, 3.0], [-1e4, 1e4, 1e4, 0.0], [0.0, 0.0, 0.0, -1e4]])


def logits(seed: int, scale: float = 3.0, batch: int = 6, classes: int = 5) -> Tensor:
    return scale * torch.randn(batch, classes, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def make_classifier(name: str, seed: int) -> ClassifierWrapper:
    """A network with 4 classes and, if it has batch norm, running statistics that differ from their defaults."""
    torch.manual_seed(seed)
    net = ClassifierWrapper(build_classifier(name, 4, 32), Normaliser((0.4, 0.5, 0.6), (0.2, 0.3, 0.25)))
    net(torch.rand(16, 3, 32, 32))
    return net.eval()


@pytest.fixture(scope="module")
def images() -> Tensor:
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))


# partial_cross_entropy


def test_partial_cross_entropy_is_the_mean_over_the_samples_that_have_a_label() -> None:
    student, labels = logits(0).requires_grad_(), torch.tensor([2, -1, 0, -1, -1, 4])
    shown = labels >= 0
    loss = partial_cross_entropy(student, labels)
    expected = -np.log(softmax(student.detach().numpy(), axis=1))[[0, 2, 5], [2, 0, 4]].mean()
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    (gradient,) = torch.autograd.grad(loss, student)
    assert gradient[shown].abs().sum(1).min() > 0
    assert not gradient[~shown].any()


def test_partial_cross_entropy_without_labels_is_0_and_moves_nothing() -> None:
    student = logits(0).requires_grad_()
    loss = partial_cross_entropy(student, torch.full((6,), -1))
    assert loss.item() == 0
    (gradient,) = torch.autograd.grad(loss, student)
    assert not gradient.any()


# kl


@pytest.mark.parametrize("temperature", [0.5, 1.0, 4.0, 10.0])
def test_kl_is_tau_squared_times_the_mean_relative_entropy_of_the_softened_predictions(temperature: float) -> None:
    teacher, student = logits(0), logits(1)
    p, q = (softmax(x.numpy() / temperature, axis=1) for x in (teacher, student))
    assert kl(teacher, student, temperature).item() == pytest.approx(temperature**2 * entropy(p, q, axis=1).mean())


def test_kl_is_positive_unless_the_predictions_are_equal() -> None:
    for seed in range(20):
        assert kl(logits(seed), logits(seed + 100)) > 0
        assert kl(logits(seed), logits(seed) + 7.0).item() == pytest.approx(0, abs=1e-12)


def test_kl_is_not_symmetric() -> None:
    assert kl(logits(0), logits(1)).item() != pytest.approx(kl(logits(1), logits(0)).item(), rel=1e-3)


def test_kl_gradient_of_the_student_is_tau_times_the_difference_of_the_predictions() -> None:
    teacher, student = logits(0), logits(1).requires_grad_()
    kl(teacher, student, 10.0).backward()
    p, q = (softmax(x.detach().numpy() / 10, axis=1) for x in (teacher, student))
    assert student.grad is not None
    np.testing.assert_allclose(student.grad, 10 * (q - p) / len(p), atol=1e-12)


def test_kl_gradients_of_both_arguments_are_those_of_finite_differences() -> None:
    assert torch.autograd.gradcheck(lambda t, s: kl(t, s, 2.0), [logits(seed).requires_grad_() for seed in (0, 1)])


@pytest.mark.parametrize("temperature", [1.0, 10.0])
def test_kl_and_its_gradients_are_finite_for_extreme_logits_of_either_side(temperature: float) -> None:
    for teacher, student in ((EXTREME, EXTREME.flip(1)), (EXTREME, EXTREME / 1e4), (EXTREME / 1e4, EXTREME)):
        pair = [teacher.clone().requires_grad_(), student.clone().requires_grad_()]
        value = kl(*pair, temperature)
        value.backward()
        assert value.isfinite()
        assert all(x.grad is not None and x.grad.isfinite().all() for x in pair)


# terms of one network's predictions


@pytest.mark.parametrize("temperature", [1.0, 3.0])
def test_js_is_the_mean_of_the_squared_distances_of_scipy(temperature: float) -> None:
    teacher, student = logits(0), logits(1)
    p, q = (softmax(x.numpy() / temperature, 1) for x in (teacher, student))
    assert js(teacher, student, temperature).item() == pytest.approx((jensenshannon(p, q, axis=1) ** 2).mean())
    assert js(teacher, teacher).item() == pytest.approx(0, abs=1e-12)


def test_one_hotness_is_the_mean_negative_log_probability_of_the_predicted_class() -> None:
    x = logits(2)
    expected = -np.log(softmax(x.numpy(), axis=1).max(1)).mean()
    assert one_hotness(x).item() == pytest.approx(expected)


def test_class_imbalance_is_the_negative_entropy_of_the_mean_prediction() -> None:
    x = logits(3)
    assert class_imbalance(x).item() == pytest.approx(-entropy(softmax(x.numpy(), axis=1).mean(0)))


def test_class_imbalance_is_minus_ln_c_for_balanced_classes_and_0_for_a_single_class() -> None:
    one_of_each = 1e4 * torch.eye(5)
    assert class_imbalance(one_of_each).item() == pytest.approx(-math.log(5))
    assert class_imbalance(torch.zeros(3, 5)).item() == pytest.approx(-math.log(5))
    assert class_imbalance(one_of_each[[2, 2, 2]]).item() == pytest.approx(0, abs=1e-6)
    for seed in range(20):
        assert -math.log(5) < class_imbalance(logits(seed)) < 0


def test_energy_is_the_negative_free_energy_of_each_sample() -> None:
    x = logits(4)
    np.testing.assert_allclose(energy(x), -logsumexp(x.numpy(), axis=1))
    np.testing.assert_allclose(energy(x, 2.5), -2.5 * logsumexp(x.numpy() / 2.5, axis=1))


@pytest.mark.parametrize("term", [one_hotness, class_imbalance, energy])
def test_terms_and_gradients_are_finite_for_extreme_logits(term: Callable[[Tensor], Tensor]) -> None:
    for value in (EXTREME, EXTREME[:1]):
        x = value.clone().requires_grad_()
        result = term(x).sum()
        result.backward()
        assert result.isfinite()
        assert x.grad is not None
        assert x.grad.isfinite().all()


def test_gaussian_prior_is_the_kl_to_the_standard_normal() -> None:
    mean, log_var = logits(5, 1.0), logits(6, 1.0)
    expected = kl_divergence(Normal(mean, (0.5 * log_var).exp()), Normal(0.0, 1.0)).sum(1).mean()
    assert gaussian_prior(mean, log_var).item() == pytest.approx(expected.item())
    assert gaussian_prior(torch.zeros(2, 3), torch.zeros(2, 3)) == 0


# batch-norm statistics


def layer(channels: int, seed: int) -> BatchStatistics:
    return BatchStatistics(*logits(seed, batch=4, classes=channels))


def test_batch_norm_l2_is_one_norm_of_all_means_and_one_of_all_variances() -> None:
    layers = [layer(3, 0), layer(7, 1)]
    means = np.concatenate([s.mean - s.running_mean for s in layers])
    variances = np.concatenate([s.var - s.running_var for s in layers])
    expected = np.sqrt((means**2).sum()) + np.sqrt((variances**2).sum())
    assert batch_norm_l2(layers).item() == pytest.approx(expected)


def test_batch_norm_l2_per_layer_is_the_sum_over_layers() -> None:
    layers = [layer(3, 0), layer(7, 1), layer(2, 2)]
    total = batch_norm_l2(layers, per_layer=True).item()
    assert total == pytest.approx(sum(batch_norm_l2([s]).item() for s in layers))
    assert total > batch_norm_l2(layers).item() * 1.01


def test_batch_norm_kl_is_the_sum_of_the_divergences_of_two_normals() -> None:
    layers = [BatchStatistics(*logits(seed, batch=4, classes=3).abs()) for seed in (0, 1)]
    # The release of DFQ's re-implementation has no epsilon, which keeps a constant channel finite here.
    expected = sum(
        kl_divergence(
            Normal(s.mean, (s.var + EPSILON).sqrt()), Normal(s.running_mean, (s.running_var + EPSILON).sqrt())
        )
        .sum()
        .item()
        for s in layers
    )
    assert batch_norm_kl(layers).item() == pytest.approx(expected)


@pytest.mark.parametrize("count", [2, 6])
def test_contrast_agrees_with_scipy(count: int) -> None:
    anchors, others = logits(0), logits(1)
    cosines = (anchors @ others.T).numpy() / 0.5
    each = logsumexp(cosines, axis=1) - np.diag(cosines)
    expected = each[:2].mean() + each[2:].mean() if count == 2 else each.mean()
    assert contrast(anchors, others, 0.5, count).item() == pytest.approx(expected, rel=1e-12)


def test_batch_norm_l2_and_its_gradient_are_0_for_equal_statistics() -> None:
    same = torch.ones(3, requires_grad=True)
    distance = batch_norm_l2([BatchStatistics(same, same, torch.ones(3), torch.ones(3))])
    distance.backward()
    assert distance == 0
    assert same.grad is not None
    assert not same.grad.any()


def test_batch_norm_l2_of_a_network_agrees_with_hooks_and_numpy(images: Tensor) -> None:
    teacher = make_classifier("test_resnet", 0)
    means, variances = [], []

    def hook(bn: nn.Module, inputs: tuple[Tensor]) -> None:
        x = inputs[0].detach().double().transpose(0, 1).flatten(1).numpy()
        means.append(x.mean(1) - bn.running_mean.numpy())
        variances.append(x.var(1, ddof=1) - bn.running_var.numpy())

    handles = [m.register_forward_pre_hook(hook) for m in teacher.net.modules() if isinstance(m, nn.BatchNorm2d)]
    teacher(images)
    for handle in handles:
        handle.remove()
    norms = [np.linalg.norm(np.concatenate(differences)) for differences in (means, variances)]
    per_layer = sum(np.linalg.norm(difference) for difference in means + variances)
    statistics = teacher.forward_with_features(images, "bn").bn
    assert len(statistics) == len(means) == 15
    assert batch_norm_l2(statistics).item() == pytest.approx(sum(norms), rel=1e-5)
    assert batch_norm_l2(statistics, per_layer=True).item() == pytest.approx(per_layer, rel=1e-5)
