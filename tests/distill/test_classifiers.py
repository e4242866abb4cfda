"""timm classifiers by name, and a user's weights for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import torch
from support.error_text import refusal
from support.tiny_task import MEAN, STD
from torch import nn

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser

pytestmark = pytest.mark.usefixtures("seeded")


# by name


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
@pytest.mark.parametrize("size", [32, 64])
def test_classifiers_of_all_kinds_accept_small_images(name: str, size: int) -> None:
    net = build_classifier(name, 7, size)
    assert net(torch.rand(2, 3, size, size)).shape == (2, 7)
    assert net.training


def test_a_patch_grid_follows_the_image_size() -> None:
    patches = {size: build_classifier("test_vit", 7, size).pos_embed.shape[1] for size in (32, 64)}
    assert patches[64] - patches[32] == 4 * 4 - 2 * 2


def test_classifiers_without_batch_norm_have_no_statistics() -> None:
    for name in ("test_vit", "test_convnext"):
        classifier = ClassifierWrapper(build_classifier(name, 7, 32), Normaliser(MEAN, STD))
        output = classifier.forward_with_features(torch.rand(2, 3, 32, 32), "bn")
        assert output.logits.shape == (2, 7)
        assert output.bn == classifier.norm_layers() == []


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


def test_a_misspelt_network_names_its_ten_nearest_and_not_all_of_timm() -> None:
    for name, nearest in (("resnet19", "resnet1"), ("test_resnett", "test_resnet, "), ("qqqq_wwww", "")):
        message = refusal(build_classifier, name, 7, 32)
        assert message.startswith(f"unknown network '{name}'; the nearest: {nearest}")
        names = message.rpartition(": ")[2].split(", ")
        assert len(names) == 10
        assert all(timm.is_model(name) for name in names)


def test_an_unknown_pretraining_of_a_network_names_those_that_exist() -> None:
    message = refusal(build_classifier, "resnet18.nonsense", 7, 32)
    assert message.startswith("unknown network 'resnet18.nonsense'; ")
    assert "resnet18." in message.rpartition("; ")[2]


def test_a_network_that_does_not_accept_the_image_size_is_refused() -> None:
    message = refusal(build_classifier, "inception_v3", 7, 32)
    assert message.startswith("inception_v3 does not accept images of 32 pixels (")
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
    assert message.startswith("test_resnet with its weights is not in the cache, and huggingface.co cannot be reached")
    assert message.endswith("; name another network, or files of weights: --teacher-init, --student-weights")
