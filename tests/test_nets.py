"""The networks of the equations, the probe around a classifier, and classifiers by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from okdbench.errors import UserError
from okdbench.learners import clone_state
from okdbench.nets.anchor import AnchorNet
from okdbench.nets.classifiers import build_classifier, load_weights
from okdbench.nets.generators import Encoder, Generator, Subsample, sample
from okdbench.nets.probe import Normaliser, Probe

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


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


def refusal(function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(UserError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# generator


@pytest.mark.parametrize(("latent", "count"), [(100, 2_026_051), (256, 4_581_955)])
def test_generator_has_the_parameters_of_the_release(latent: int, count: int) -> None:
    assert parameters(Generator(latent, 32)) == count


def test_generator_layers_have_the_shapes_of_the_release() -> None:
    net, z = Generator(100, 32), torch.randn(2, 100)
    assert shapes(net, nn.Linear, z) == [[16384]]
    assert shapes(net, nn.BatchNorm2d, z) == [[256, 8, 8], [128, 16, 16], [64, 32, 32]]
    assert shapes(net, nn.Upsample, z) == [[256, 16, 16], [128, 32, 32]]
    assert shapes(net, nn.Conv2d, z) == [[128, 16, 16], [64, 32, 32], [3, 32, 32]]
    assert [m.bias is not None for m in net.modules() if isinstance(m, nn.Conv2d)] == [False, False, True]
    assert {m.negative_slope for m in net.modules() if isinstance(m, nn.LeakyReLU)} == {0.2}


def test_generator_starts_from_the_defaults_of_pytorch() -> None:
    layer = Generator(100, 32).seed
    assert 0.099 < layer.weight.abs().max() <= 1 / math.sqrt(100)
    assert layer.bias.abs().max() > 0.09


def test_generated_pictures_are_raw_and_differ() -> None:
    pictures = Generator(16, 32, width=8)(10 * torch.randn(8, 16))
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert pictures.std(0).min() > 0


@pytest.mark.parametrize("size", [16, 32, 48, 64, 128, 160, 224])
def test_generator_and_encoder_meet_at_any_image_size(size: int) -> None:
    z = torch.randn(2, 12)
    pictures = Generator(12, size, width=4)(z)
    assert pictures.shape == (2, 3, size, size)
    mean, log_var = Encoder(12, size, 5, width=4)(pictures, torch.tensor([0, 4]))
    assert mean.shape == log_var.shape == (2, 12)


@pytest.mark.parametrize("net", [Generator, Encoder])
def test_an_image_size_that_does_not_halve_is_refused(net: type[nn.Module]) -> None:
    message = refusal(net, 12, 144, 5)
    assert message == (
        "pictures of 144 pixels do not halve evenly down to 8 or fewer; choose another image size, for example 128"
    )


def test_pictures_and_feature_maps_are_channels_last() -> None:
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
    assert layouts == [True] * 6


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


def test_encoder_takes_every_second_pixel() -> None:
    images = torch.rand(2, 4, 32, 32)
    assert torch.equal(Subsample()(images), images[:, :, ::2, ::2])
    assert sum(isinstance(m, Subsample) for m in Encoder(8, 32, 5).modules()) == 2


@pytest.mark.parametrize("net", [Encoder(100, 32, 31), AnchorNet(100, 31)], ids=["encoder", "anchor"])
def test_weights_start_uniform_within_8_percent_and_biases_at_0(net: nn.Module) -> None:
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


def test_the_encoder_looks_at_pictures_and_labels() -> None:
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


def test_the_anchor_mixes_the_latent_with_its_image_by_the_mask() -> None:
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


def test_the_mask_covers_0_to_1_and_the_releases_0_to_a_third() -> None:
    labels = torch.arange(31)
    for third_range, limit in ((False, 1.0), (True, 1 / 3)):
        net = AnchorNet(100, 31, third_range)
        with torch.no_grad():
            net.mask[-1].weight.fill_(5.0)
        _, mask = net(torch.randn(31, 100), labels)
        assert mask.min() >= 0
        assert 0.99 * limit < mask.max() < limit
        assert (mask == 0).any() == third_range


# probe


@pytest.fixture
def probe() -> Probe:
    """A residual network with running statistics of its own."""
    probe = Probe(build_classifier("test_resnet", 10, 32), Normaliser(MEAN, STD))
    for _ in range(3):
        probe(torch.rand(16, 3, 32, 32))
    return probe.eval()


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


@pytest.mark.parametrize("way", ["__call__", "observe"])
def test_the_network_gets_pictures_that_were_normalised_once(probe: Probe, way: str) -> None:
    seen: list[Tensor] = []
    probe.net.register_forward_pre_hook(lambda _net, inputs: seen.append(inputs[0]))
    images = torch.rand(4, 3, 32, 32)
    getattr(probe, way)(images)
    (received,) = seen
    expected = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    torch.testing.assert_close(received, expected)


def test_observe_gives_the_logits_and_the_statistics_in_order_of_execution(probe: Probe) -> None:
    images = torch.rand(8, 3, 32, 32)
    layers: list[nn.BatchNorm2d] = []
    inputs: list[Tensor] = []

    def spy(layer: nn.BatchNorm2d, received: tuple[Tensor]) -> None:
        layers.append(layer)
        inputs.append(received[0].detach())

    handles = [layer.register_forward_pre_hook(spy) for layer in reversed(probe.norm_layers())]
    logits = probe(images)
    for handle in handles:
        handle.remove()
    observed = probe.observe(images, "bn")
    assert torch.equal(observed.logits, logits)
    assert len(observed.bn) == len(layers) == 15
    for statistics, layer, x in zip(observed.bn, layers, inputs, strict=True):
        values = x.double().transpose(0, 1).flatten(1).numpy()
        np.testing.assert_allclose(statistics.mean.detach(), values.mean(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(statistics.var.detach(), values.var(1, ddof=1), rtol=1e-4, atol=1e-6)
        assert torch.equal(statistics.running_mean, layer.running_mean)
        assert torch.equal(statistics.running_var, layer.running_var)


def test_observed_statistics_carry_gradients_to_the_pictures_and_change_no_buffer(probe: Probe) -> None:
    probe.lock()
    before = clone_state(probe)
    images = torch.rand(8, 3, 32, 32, requires_grad=True)
    last = probe.observe(images, "bn").bn[-1]
    for statistic in (last.mean, last.var):
        (gradient,) = torch.autograd.grad(statistic.sum(), images, retain_graph=True)
        assert gradient.norm() > 1e-6
    assert all(torch.equal(value, before[name]) for name, value in probe.state_dict().items())


def test_observe_leaves_no_hook_even_when_it_fails(probe: Probe) -> None:
    probe.observe(torch.rand(2, 3, 32, 32), "bn")
    assert hooks(probe) == 0
    with pytest.raises(RuntimeError):
        probe.observe(torch.rand(2, 5, 32, 32), "bn")
    assert hooks(probe) == 0


def test_a_locked_probe_stays_frozen_and_in_eval_mode(probe: Probe) -> None:
    nn.Sequential(probe.train().lock()).train()
    assert not any(module.training for module in probe.modules())
    assert not any(p.requires_grad for p in probe.parameters())
    before = clone_state(probe)
    probe.train()(torch.rand(4, 3, 32, 32))
    assert all(torch.equal(value, before[name]) for name, value in probe.state_dict().items())


@pytest.mark.parametrize("training", [True, False])
def test_judging_is_eval_mode_for_the_block_and_restores_the_mode_even_after_an_error(
    probe: Probe, training: bool
) -> None:
    probe.train(training)
    with probe.judging():
        assert not any(module.training for module in probe.modules())
    assert all(module.training is training for module in probe.modules())
    with pytest.raises(ZeroDivisionError), probe.judging():
        raise ZeroDivisionError
    assert all(module.training is training for module in probe.modules())


# classifiers


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("size", [32, 64])
def test_classifiers_of_all_kinds_take_small_pictures(name: str, size: int) -> None:
    net = build_classifier(name, 7, size)
    assert net(torch.rand(2, 3, size, size)).shape == (2, 7)
    assert net.training


def test_a_patch_grid_is_cut_for_the_image_size() -> None:
    patches = {size: build_classifier("test_vit", 7, size).pos_embed.shape[1] for size in (32, 64)}
    assert patches[64] - patches[32] == 4 * 4 - 2 * 2


def test_classifiers_without_batch_norm_observe_no_statistics() -> None:
    for name in ("test_vit", "test_convnext"):
        probe = Probe(build_classifier(name, 7, 32), Normaliser(MEAN, STD))
        seen = probe.observe(torch.rand(2, 3, 32, 32), "bn")
        assert seen.logits.shape == (2, 7)
        assert seen.bn == probe.norm_layers() == []


def test_classifier_weights_are_channels_last() -> None:
    convolutions = [m for m in build_classifier("test_resnet", 7, 32).modules() if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == 15
    assert all(m.weight.is_contiguous(memory_format=torch.channels_last) for m in convolutions)


def test_a_classifier_is_built_from_the_global_seed() -> None:
    states = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        states.append(build_classifier("test_resnet", 7, 32).state_dict()["fc.weight"])
    assert torch.equal(states[0], states[1])
    assert not torch.equal(states[0], states[2])


def test_a_misspelt_network_is_told_the_name_that_it_may_mean() -> None:
    assert refusal(build_classifier, "resnet19", 7, 32).startswith("unknown network 'resnet19'; did you mean 'resnet1")
    assert refusal(build_classifier, "test_resnett", 7, 32) == (
        "unknown network 'test_resnett'; did you mean 'test_resnet'?"
    )


def test_a_network_that_cannot_take_the_image_size_is_refused() -> None:
    message = refusal(build_classifier, "inception_v3", 7, 32)
    assert message.startswith("inception_v3 cannot take pictures of 32 pixels (")
    assert message.endswith("; choose another network or image size")


def test_pretrained_weights_that_do_not_exist_are_refused() -> None:
    name = next(name for name in timm.list_models("*resnet*") if not timm.is_model_pretrained(name))
    assert refusal(build_classifier, name, 7, 32, True) == (
        f"timm has no pretrained weights for {name}; leave out --pretrained"
    )


def test_pretrained_weights_that_cannot_be_fetched_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    constants = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    message = refusal(build_classifier, "test_resnet", 7, 32, True)
    assert message.startswith("the pretrained weights of test_resnet could not be fetched (")
    assert message.endswith("; leave out --pretrained")


# a user's weights


def save(state: Any, path: Path) -> Path:
    save_file(state, path) if path.suffix == ".safetensors" else torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["net.safetensors", "net.pt", "wrapped.pt"])
def test_weights_come_back_from_each_kind_of_file(tmp_path: Path, name: str) -> None:
    trained, fresh = (build_classifier("test_resnet", 7, 32) for _ in range(2))
    state = {key: value.contiguous() for key, value in trained.state_dict().items()}
    content = {"state_dict": state} if name == "wrapped.pt" else state
    load_weights(fresh, save(content, tmp_path / name), "test_resnet")
    assert all(torch.equal(value, state[key]) for key, value in fresh.state_dict().items())


def test_weights_of_another_architecture_or_number_of_classes_are_refused_and_change_nothing(tmp_path: Path) -> None:
    net = build_classifier("test_resnet", 7, 32)
    before = clone_state(net)
    for other, classes, words in (
        ("test_convnext", 7, ("missing or differently shaped", "name its architecture with --teacher")),
        ("test_resnet", 8, ("test_resnet with 7 classes", "2 missing or differently shaped", "0 foreign", "'fc.bias'")),
    ):
        path = save(build_classifier(other, classes, 32).state_dict(), tmp_path / "other.pt")
        message = refusal(load_weights, net, path, "test_resnet")
        assert all(word in message for word in words)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_foreign_tensors_are_refused(tmp_path: Path) -> None:
    net = build_classifier("test_resnet", 7, 32)
    path = save(net.state_dict() | {"more": torch.zeros(1)}, tmp_path / "more.pt")
    assert "0 missing or differently shaped and 1 foreign tensors, the first 'more'" in refusal(
        load_weights, net, path, "test_resnet"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    message = refusal(load_weights, nn.Linear(1, 1), tmp_path / "none.pt", "test_resnet")
    assert message == f"weights file {tmp_path / 'none.pt'} does not exist; give a .safetensors or a state-dict file"


class Bomb:
    """Unpickling this makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_code_in_a_weights_file_is_refused_and_not_executed(tmp_path: Path) -> None:
    path, crater = tmp_path / "bomb.pt", tmp_path / "crater"
    torch.save({"weight": Bomb(crater)}, path)
    assert "is not a plain weights file" in refusal(load_weights, nn.Linear(1, 1), path, "test_resnet")
    assert not crater.exists()
    torch.load(path, weights_only=False)
    assert crater.exists(), "the bomb was a dud"


@pytest.mark.parametrize("name", ["text.safetensors", "text.pt"])
def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not weights\n")
    assert "is not a plain weights file" in refusal(load_weights, nn.Linear(1, 1), tmp_path / name, "test_resnet")


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(1)], torch.zeros(1)])
def test_a_file_of_something_else_than_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = save(content, tmp_path / "odd.pt")
    assert "holds more than tensors" in refusal(load_weights, nn.Linear(1, 1), path, "test_resnet")
