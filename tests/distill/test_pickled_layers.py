"""A whole network that was saved has layers without tensors, which may be others than those that are built."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from support.pickle_bomb import Bomb
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
    ],
    ids=["same", "parallel", "synchronised", "dropout", "inplace", "tensors alone"],
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
