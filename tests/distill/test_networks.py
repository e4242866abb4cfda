"""Generator, encoder and anchor network: shapes, initialisation and equations."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.error_text import refusal
from torch import Tensor, nn

from okdbench.distill.networks.anchor import AnchorNet
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.convolutions import UpConv2d
from okdbench.distill.networks.generators import Encoder, Generator, HeadKind, Subsample, sample
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser

pytestmark = pytest.mark.usefixtures("seeded")


def parameters(net: nn.Module) -> int:
    return sum(p.numel() for p in net.parameters())


def shapes(net: nn.Module, kind: type[nn.Module] | tuple[type[nn.Module], ...], *inputs: Tensor) -> list[list[int]]:
    """Output shapes, without the batch, of all layers of ``kind`` in the order of execution."""
    found: list[list[int]] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: found.append(list(output.shape[1:])))
        for layer in net.modules()
        if isinstance(layer, kind)
    ]
    net(*inputs)
    for hook in hooks:
        hook.remove()
    return found


# generator


@pytest.mark.parametrize(("latent", "count"), [(100, 2_026_051), (256, 4_581_955)])
def test_generator_has_the_parameters_of_the_release(latent: int, count: int) -> None:
    assert parameters(Generator(latent, 32)) == count


def test_generator_layers_have_the_shapes_of_the_release() -> None:
    net, z = Generator(100, 32), torch.randn(2, 100)
    assert shapes(net, nn.Linear, z) == [[16384]]
    assert shapes(net, nn.BatchNorm2d, z) == [[256, 8, 8], [128, 16, 16], [64, 32, 32]]
    assert shapes(net, UpConv2d, z) == [[128, 16, 16], [64, 32, 32]]
    assert shapes(net, nn.Conv2d, z) == [[128, 16, 16], [64, 32, 32], [3, 32, 32]]
    assert [m.bias is not None for m in net.modules() if isinstance(m, nn.Conv2d)] == [False, False, True]
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


@pytest.mark.parametrize("head", ["sigmoid", "tanh_bn", "bn"])
@pytest.mark.parametrize("channels", [1, 3])
def test_heads_give_raw_images_with_the_statistics_of_the_data(head: HeadKind, channels: int) -> None:
    normaliser = Normaliser((0.1, 0.4, 0.5)[:channels], (0.3, 0.2, 0.1)[:channels])
    images = Generator(16, 32, width=4, normaliser=normaliser, head=head)(torch.randn(64, 16))
    assert images.shape == (64, channels, 32, 32)
    if head == "sigmoid":
        assert 0 <= images.min() <= images.max() <= 1
        return
    var, mean = torch.var_mean(normaliser(images), (0, 2, 3), correction=0)
    assert torch.allclose(mean, torch.zeros(channels), atol=1e-4)
    assert torch.allclose(var, torch.ones(channels), atol=1e-2)


def test_the_epsilon_is_that_of_the_batch_norms_after_a_doubling() -> None:
    norms = [
        layer for layer in Generator(100, 32, head="tanh_bn", epsilon=0.8).grow if isinstance(layer, nn.BatchNorm2d)
    ]
    assert [layer.eps for layer in norms] == [1e-5, 0.8, 0.8, 1e-5]


def test_generator_of_ltr_has_a_narrow_stem_and_spectral_norm() -> None:
    net = Generator(1000, 32, head="tanh_bn", stem=2, spectral=True)
    assert shapes(net, UpConv2d, torch.randn(2, 1000)) == [[128, 16, 16], [64, 32, 32]]
    layers = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
    net.train()
    for _ in range(20):  # each forward pass is one step of the power iteration
        net(torch.randn(2, 1000))
    norms = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2) for layer in layers]
    assert torch.allclose(torch.stack(norms), torch.ones(3), atol=0.05)


@pytest.mark.parametrize(
    ("name", "count"),
    [("lenet5", 61_706), ("lenet5_half", 15_738), ("lenet5_bn", 61_848), ("lenet5_half_bn", 15_809)],
)
def test_lenets_have_the_published_parameters_and_declare_their_stages(name: str, count: int) -> None:
    net = ClassifierWrapper(build_classifier(name, 10, 32, channels=1), Normaliser((0.1,), (0.3,)))
    assert parameters(net) == count
    output = net.forward_with_features(torch.rand(2, 1, 32, 32), "stages", "penultimate", "bn")
    width = 2 if "half" in name else 1
    assert [tuple(f.shape[1:]) for f in output.stages] == [
        (6 // width, 14, 14),
        (16 // width, 5, 5),
        (120 // width, 1, 1),
    ]
    assert output.penultimate.shape == (2, 84 // width)
    assert len(output.bn) == 3 * name.endswith("bn")
    assert output.logits.shape == (2, 10)


def test_generator_starts_from_the_defaults_of_pytorch() -> None:
    layer = Generator(100, 32).seed
    assert 0.099 < layer.weight.abs().max() <= 1 / math.sqrt(100)
    assert layer.bias.abs().max() > 0.09


def test_generated_images_are_raw_and_differ() -> None:
    images = Generator(16, 32, width=8)(10 * torch.randn(8, 16))
    assert images.min() >= 0
    assert images.max() <= 1
    assert images.std(0).min() > 0


@pytest.mark.parametrize("size", [16, 32, 48, 64, 128, 160, 224])
def test_generator_and_encoder_agree_at_any_image_size(size: int) -> None:
    z = torch.randn(2, 12)
    images = Generator(12, size, width=4)(z)
    assert images.shape == (2, 3, size, size)
    mean, log_var = Encoder(12, size, 5, width=4)(images, torch.tensor([0, 4]))
    assert mean.shape == log_var.shape == (2, 12)


@pytest.mark.parametrize("net", [Generator, Encoder])
def test_an_image_size_that_does_not_halve_is_refused(net: type[nn.Module]) -> None:
    message = refusal(net, 12, 144, 5)
    assert message == (
        "images of 144 pixels do not halve evenly down to 8 or fewer; choose another image size, for example 128"
    )


def test_images_and_feature_maps_are_channels_last() -> None:
    net = Generator(16, 32, width=8).to(memory_format=torch.channels_last)
    assert net(torch.randn(4, 16)).is_contiguous(memory_format=torch.channels_last)
    encoder = Encoder(16, 32, 10, width=8).to(memory_format=torch.channels_last)
    layouts: list[bool] = []
    for layer in encoder.shrink:
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(
                lambda _layer, inputs, output: layouts.extend(
                    x.is_contiguous(memory_format=torch.channels_last) for x in (inputs[0], output)
                )
            )
    encoder(torch.rand(4, 3, 32, 32), torch.arange(4))
    # The first batch norm has few channels, which are faster in the other layout.
    assert layouts == [False] + [True] * 5


# encoder


def test_encoder_has_the_parameters_of_the_release() -> None:
    assert parameters(Encoder(100, 32, 31)) == 3_681_884


def test_encoder_layers_have_the_shapes_of_the_release() -> None:
    net, inputs = Encoder(100, 32, 31), (torch.rand(2, 3, 32, 32), torch.tensor([0, 30]))
    convolutions = [[3, 32, 32], [64, 16, 16], [128, 8, 8], [256, 8, 8]]
    assert shapes(net, nn.Conv2d, *inputs) == convolutions
    assert shapes(net, nn.BatchNorm2d, *inputs) == [[4, 32, 32], *convolutions[1:]]
    assert shapes(net, nn.Linear, *inputs) == [[1024], [100], [100]]
    assert shapes(net, nn.Flatten, *inputs) == [[16384]]
    assert [m.bias is not None for m in net.modules() if isinstance(m, nn.Conv2d)] == [True, False, False, True]


def test_encoder_keeps_every_second_pixel() -> None:
    images = torch.rand(2, 4, 32, 32)
    assert torch.equal(Subsample()(images), images[:, :, ::2, ::2])
    assert sum(isinstance(m, Subsample) for m in Encoder(8, 32, 5).modules()) == 2


@pytest.mark.parametrize("net", [Encoder(100, 32, 31), AnchorNet(100, 31)], ids=["encoder", "anchor"])
def test_weights_start_uniform_within_0_08_and_biases_at_0(net: nn.Module) -> None:
    kinds = (nn.Linear, nn.Conv2d)
    for layer in (m for m in net.modules() if isinstance(m, kinds)):
        assert layer.weight.abs().max() <= 0.08
        assert layer.bias is None or not layer.bias.any()
        if layer.weight.numel() > 1000:
            assert layer.weight.std().item() == pytest.approx(0.08 / math.sqrt(3), rel=0.05)


def test_log_variances_are_clamped_at_both_ends() -> None:
    net = Encoder(16, 32, 10, width=4)
    nn.init.normal_(net.log_var.weight, std=10)
    _, log_var = net(torch.rand(8, 3, 32, 32), torch.arange(8))
    assert log_var.min() == -5
    assert log_var.max() == 3


def test_the_encoder_reads_images_and_labels() -> None:
    net = Encoder(16, 32, 10, width=4).eval()
    images, labels = torch.rand(2, 3, 32, 32), torch.tensor([1, 2])
    mean, _ = net(images, labels)
    assert not torch.allclose(mean, net(images.flip(0), labels)[0])
    assert not torch.allclose(mean, net(images, labels.flip(0))[0])


def test_sample_moves_the_mean_by_the_noise_in_standard_deviations_at_most_10() -> None:
    mean, log_var = torch.tensor([[1.0, -2.0, 3.0, 0.0]]), torch.tensor([[0.0, 2.0, -4.0, 0.0]])
    noise = torch.tensor([[0.5, 1e6, -1e6, 10.5]])
    expected = [1.5, -2 + 10 * math.e, 3 - 10 / math.e**2, 10.0]
    np.testing.assert_allclose(sample(mean, log_var, noise)[0], expected, rtol=1e-6)


# anchor network


def test_anchor_network_has_the_parameters_of_the_release() -> None:
    assert parameters(AnchorNet(100, 31)) == 74_052


def test_anchor_network_layers_have_the_shapes_of_the_release() -> None:
    net, inputs = AnchorNet(100, 31), (torch.randn(2, 100), torch.tensor([0, 30]))
    assert shapes(net, nn.Conv1d, *inputs) == [[4, 100], [8, 100], [4, 100]]
    assert shapes(net, nn.BatchNorm1d, *inputs) == [[100], [4, 100], [8, 100], [4, 100]]
    assert shapes(net, nn.Linear, *inputs) == [[100]] * 5
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.01}
    assert [type(m) for m in net.mask] == [nn.Linear] * 3 + [nn.BatchNorm1d]


def test_the_sequence_convolutions_of_the_anchor_network_keep_pytorchs_defaults() -> None:
    for layer in (m for m in AnchorNet(100, 31).modules() if isinstance(m, nn.Conv1d)):
        bound = 1 / math.sqrt(3 * layer.in_channels)
        assert 0.08 < layer.weight.abs().max() <= bound
        assert layer.bias is not None
        assert layer.bias.any()


def test_the_anchor_mixes_the_latent_with_psi_by_the_mask() -> None:
    net, z, labels = AnchorNet(100, 31), torch.randn(8, 100), torch.arange(8)
    anchors, mask = net(z, labels)
    psi = net.psi((mask * z)[:, None])
    torch.testing.assert_close(anchors, mask * psi + (1 - mask) * z)
    assert anchors.shape == mask.shape == (8, 100)


@pytest.mark.parametrize("third_range", [False, True])
def test_a_closed_mask_leaves_the_latent_alone(third_range: bool) -> None:
    net, z = AnchorNet(100, 31, third_range), torch.randn(8, 100)
    with torch.no_grad():
        net.mask[-1].bias.fill_(-200.0)
    anchors, mask = net(z, torch.arange(8))
    assert not mask.any()
    assert torch.equal(anchors, z)


def test_the_mask_depends_on_the_class_alone() -> None:
    net = AnchorNet(100, 31).eval()
    labels = torch.tensor([3, 3, 7, 7])
    _, mask = net(torch.randn(4, 100), labels)
    assert torch.equal(mask[0], mask[1])
    assert torch.equal(mask[2], mask[3])
    assert not torch.allclose(mask[0], mask[2])


def test_the_mask_covers_0_to_1_and_that_of_the_release_0_to_a_third() -> None:
    labels = torch.arange(31)
    for third_range, limit in ((False, 1.0), (True, 1 / 3)):
        net = AnchorNet(100, 31, third_range)
        with torch.no_grad():
            net.mask[-1].weight.fill_(5.0)
        _, mask = net(torch.randn(31, 100), labels)
        assert mask.min() >= 0
        assert 0.99 * limit < mask.max() < limit
        assert (mask == 0).any() == third_range
