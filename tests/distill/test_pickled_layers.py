"""A whole network that was saved has layers without tensors, which may be others than those that are built."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from support.pickle_bomb import Bomb, Inner, ScriptBomb
from test_weight_files import refusal, trained
from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.last_layer import as_it_is, new_layer
from okdbench.distill.networks.weight_fit import load_weights

CLASSES = 4
Change = Callable[[nn.Module], Any]


def load(path: Path, name: str = "test_resnet") -> nn.Module:
    net = build_classifier(name, CLASSES, 64)
    load_weights(net, path, name)
    return net.eval()


def stem(net: Any) -> nn.Module:
    """As for images of 32 pixels."""
    net.conv1[0].stride, net.maxpool = (1, 1), nn.Identity()
    return net  # type: ignore[no-any-return]


def with_(name: str, layer: nn.Module) -> Change:
    def change(net: nn.Module) -> nn.Module:
        net.set_submodule(name, layer)
        return net

    return change


class Swish(nn.Module):
    """A class that is not loaded."""


class Training(nn.Module):
    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.model, self.loss = net, nn.CrossEntropyLoss()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (with_("act1", nn.Tanh()), "act1 is Tanh there and ReLU here"),
        (with_("layer1.0.act1", Swish()), "layer1.0.act1 is Swish there and ReLU here"),
        (with_("maxpool", nn.Sequential()), "maxpool is Sequential there and MaxPool2d here"),
        (with_("maxpool", nn.MaxPool2d(2, 2)), "maxpool has kernel_size 2 there and 3 here"),
        (stem, "conv1.0 has stride 1 there and 2 here, maxpool is Identity there and MaxPool2d here"),
        (lambda net: {"model": stem(net), "epoch": 3}, "conv1.0 has stride 1"),
        (lambda net: nn.DataParallel(stem(net)), "conv1.0 has stride 1"),
        (lambda net: Training(stem(net)), "conv1.0 has stride 1"),
        (lambda net: {"trainer": {"net": stem(net)}}, "conv1.0 has stride 1"),
    ],
)  # fmt: skip
def test_layers_that_a_pickled_network_has_otherwise_are_named(change: Change, reason: str, tmp_path: Path) -> None:
    torch.save(change(timm.create_model("test_resnet", num_classes=CLASSES)), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=f"not test_resnet as it is here: .*{reason}.*--teacher ./net.py"):
        load(tmp_path / "whole.pt")


def pooled(kind: str) -> Change:
    """As timm builds a transformer, but with this pooling and the tensors of the other one."""

    def change(net: Any) -> nn.Module:
        net.global_pool = kind
        return net  # type: ignore[no-any-return]

    return change


def scaled(net: Any) -> nn.Module:
    for block in net.blocks:
        block.attn.scale *= 12
    return net  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (pooled("avg"), "it has global_pool 'avg' there and 'token' here;"),
        (lambda net: {"model": pooled("max")(net), "epoch": 3}, "it has global_pool 'max' there and 'token' here;"),
        (lambda net: nn.DataParallel(pooled("avg")(net)), "it has global_pool 'avg' there and 'token' here;"),
        (scaled, r"blocks.0.attn has scale 2\.1.* there and 0\.17.* here, blocks.1.attn has scale"),
    ],
    ids=["average", "largest", "parallel", "scale"],
)
def test_attributes_that_a_pickled_network_has_otherwise_are_named(change: Change, reason: str, tmp_path: Path) -> None:
    torch.save(change(timm.create_model("test_vit", num_classes=CLASSES, img_size=64)), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=f"not test_vit as it is here: {reason}"):
        load(tmp_path / "whole.pt", "test_vit")


@pytest.mark.parametrize("name", ["test_vit", "test_resnet", "test_byobnet", "test_efficientnet", "test_convnext"])
def test_attributes_that_change_no_answer_are_passed_over(name: str, tmp_path: Path) -> None:
    size = {"img_size": 64} if name == "test_vit" else {}
    net: Any = timm.create_model(name, num_classes=CLASSES, drop_rate=0.3, drop_path_rate=0.2, **size)
    net.set_grad_checkpointing(True)
    net.of_another_version = 3
    for layer in net.modules():
        vars(layer).pop("pool_type", None)
        if "fused_attn" in vars(layer):
            layer.fused_attn = not layer.fused_attn
    torch.save(net, tmp_path / "whole.pt")
    load(tmp_path / "whole.pt", name)


def with_buffer(net: nn.Module) -> nn.Module:
    net.register_buffer("index", torch.arange(3), persistent=False)
    return net


def test_a_start_may_have_other_layers(tmp_path: Path) -> None:
    torch.save(stem(timm.create_model("test_resnet", num_classes=CLASSES)), tmp_path / "whole.pt")
    load_weights(build_classifier("test_resnet", CLASSES, 64), tmp_path / "whole.pt", "test_resnet", new_layer)
    with pytest.raises(UserError, match="stride"):
        load_weights(build_classifier("test_resnet", CLASSES, 64), tmp_path / "whole.pt", "test_resnet", as_it_is)


@pytest.mark.parametrize(
    "change",
    [
        lambda net: net,
        nn.DataParallel,
        nn.SyncBatchNorm.convert_sync_batchnorm,
        lambda net: with_("fc", nn.Sequential(nn.Dropout(), net.fc))(net),
        with_("act1", nn.ReLU(inplace=False)),
        lambda net: {"state_dict": stem(net).state_dict()},
        with_buffer,
    ],
    ids=["same", "parallel", "synchronised", "dropout", "inplace", "tensors alone", "a buffer that is not saved"],
)  # fmt: skip
def test_layers_that_give_the_same_are_loaded(change: Change, tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=CLASSES)
    torch.save(change(net), tmp_path / "whole.pt")
    load(tmp_path / "whole.pt")


@pytest.mark.parametrize(
    ("theirs", "ours"), [("resnet18", "resnet18"), ("mobilenet_v3_small", "mobilenetv3_small_100")]
)
def test_whole_networks_of_torchvision_give_their_own_logits(theirs: str, ours: str, tmp_path: Path) -> None:
    whole = torchvision.models.get_model(theirs, weights=None, num_classes=CLASSES).eval()
    torch.save(whole, tmp_path / "whole.pt")
    images = torch.rand(2, 3, 64, 64)
    assert torch.allclose(load(tmp_path / "whole.pt", ours)(images), whole(images), atol=1e-4)


def each_relu(kind: Callable[[], nn.Module]) -> Change:
    def change(net: nn.Module) -> nn.Module:
        for name in [name for name, layer in net.named_modules() if isinstance(layer, nn.ReLU | nn.Hardswish)]:
            net.set_submodule(name, kind())
        return net

    return change


RESNET, MOBILENET = ("resnet18", "resnet18"), ("mobilenet_v3_small", "mobilenetv3_small_100")


@pytest.mark.parametrize(
    ("names", "change", "reason"),
    [
        (RESNET, each_relu(nn.SiLU), "relu is SiLU there and ReLU here, layer1.0.relu is SiLU there"),
        (RESNET, lambda net: {"net": each_relu(Swish)(net)}, "relu is Swish there and ReLU here"),
        (RESNET, each_relu(lambda: nn.LeakyReLU(0.3)), "relu is LeakyReLU there and ReLU here"),
        (RESNET, with_("avgpool", nn.AdaptiveMaxPool2d(1)), "avgpool is AdaptiveMaxPool2d there"),
        (MOBILENET, each_relu(nn.Tanh), "features.0.2 is Tanh there and Hardswish here"),
        (MOBILENET, with_("features.0.0", nn.Conv2d(3, 16, 3, 1, 1, bias=False)), "features.0.0 has stride 1 there"),
    ],
)
def test_layers_of_torchvision_are_compared_under_its_own_names(
    names: tuple[str, str], change: Change, reason: str, tmp_path: Path
) -> None:
    whole = torchvision.models.get_model(names[0], weights=None, num_classes=CLASSES)
    torch.save(change(whole), tmp_path / "whole.pt")
    with pytest.raises(UserError, match=f"not {names[1]} as it is here: {reason}"):
        load(tmp_path / "whole.pt", names[1])


POOLED = nn.Sequential(nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Dropout())


@pytest.mark.parametrize(
    ("names", "change"),
    [
        (RESNET, with_("avgpool", POOLED)),
        (RESNET, each_relu(lambda: nn.ReLU(inplace=False))),
        (("densenet121", "densenet121"), lambda net: net),
        (("convnext_tiny", "convnext_tiny"), lambda net: net),
        (("efficientnet_b0", "efficientnet_b0"), lambda net: net),
    ],
    ids=["sequence", "inplace", "densenet", "convnext", "efficientnet"],
)
def test_layers_of_torchvision_that_give_the_same_are_loaded(
    names: tuple[str, str], change: Change, tmp_path: Path
) -> None:
    whole = change(torchvision.models.get_model(names[0], weights=None, num_classes=CLASSES)).eval()
    torch.save(whole, tmp_path / "whole.pt")
    load(tmp_path / "whole.pt", names[1])


def test_code_in_an_attribute_of_a_layer_is_not_executed(tmp_path: Path) -> None:
    net = timm.create_model("test_resnet", num_classes=CLASSES)
    values: list[Any] = [Bomb(tmp_path / "ran"), [Bomb(tmp_path / "ran")], (torch.ones(2), []), "2" * 100_000]
    for value in values:
        net.maxpool.__dict__["stride"] = value
        torch.save(net, tmp_path / "whole.pt")
        with pytest.raises(UserError, match="maxpool has stride") as refusal:
            load(tmp_path / "whole.pt")
        assert len(str(refusal.value)) < 1000
    assert not (tmp_path / "ran").exists()


def test_a_program_inside_of_a_file_is_not_executed(tmp_path: Path) -> None:
    """TorchScript in the bytes of what is pickled as a tensor is, which ``torch.load`` executes."""
    crater, program, file = tmp_path / "crater", io.BytesIO(), tmp_path / "bomb.pt"
    torch.jit.save(torch.jit.script(ScriptBomb(crater)), program)
    torch.save({"state_dict": trained().state_dict(), "extra": Inner(program.getvalue())}, file)
    assert "it has a TorchScript program in it, which is not executed" in refusal(file)
    assert not crater.exists()
    torch.load(file, weights_only=False)
    assert crater.exists(), "loading did not run the code, so the test above proves nothing"
