"""timm classifiers by name, and a user's weights for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from support.error_text import refusal
from support.tiny_task import MEAN, STD
from torch import nn

from okdbench.distill.networks.classifiers import build_classifier, load_weights
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state

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
        (
            "test_resnet",
            8,
            ("test_resnet with 7 classes", "2 missing or differently shaped", "0 unexpected", "'fc.bias'"),
        ),
    ):
        path = save(build_classifier(other, classes, 32).state_dict(), tmp_path / "other.pt")
        message = refusal(load_weights, net, path, "test_resnet")
        assert all(word in message for word in words)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize(("trained", "here"), [(1, 3), (3, 1)])
def test_weights_for_other_channels_are_refused_with_the_cure(tmp_path: Path, trained: int, here: int) -> None:
    path = save(build_classifier("test_resnet", 7, 32, channels=trained).state_dict(), tmp_path / "other.pt")
    net = build_classifier("test_resnet", 7, 32, channels=here)
    assert f"add --channels {trained}," in refusal(load_weights, net, path, "test_resnet")


def test_unexpected_tensors_are_refused(tmp_path: Path) -> None:
    net = build_classifier("test_resnet", 7, 32)
    path = save(net.state_dict() | {"more": torch.zeros(1)}, tmp_path / "more.pt")
    assert "0 missing or differently shaped and 1 unexpected tensors, the first 'more'" in refusal(
        load_weights, net, path, "test_resnet"
    )


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    message = refusal(load_weights, nn.Linear(1, 1), tmp_path / "none.pt", "test_resnet")
    assert message == f"weights file {tmp_path / 'none.pt'} does not exist; give a .safetensors or a state-dict file"


class Bomb:
    """Unpickling it creates a file."""

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
    assert crater.exists(), "unpickling did not run the code, so the test above proves nothing"


@pytest.mark.parametrize("name", ["text.safetensors", "text.pt"])
def test_a_file_without_weights_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("not weights\n")
    assert "is not a plain weights file" in refusal(load_weights, nn.Linear(1, 1), tmp_path / name, "test_resnet")


@pytest.mark.parametrize("content", [{"epoch": 3}, [torch.zeros(1)], torch.zeros(1)])
def test_a_file_with_anything_else_than_named_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = save(content, tmp_path / "odd.pt")
    assert "contains more than tensors" in refusal(load_weights, nn.Linear(1, 1), path, "test_resnet")
