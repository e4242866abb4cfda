"""Files of weights as people save them: the right weights are loaded, or the reason is named; nothing is executed."""

from __future__ import annotations

import argparse
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from safetensors.torch import save as to_safetensors
from support.pickle_bomb import Bomb
from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.last_layer import Adjust, as_it_is, new_layer
from okdbench.distill.networks.weight_fit import load_weights
from okdbench.distill.optim import clone_state

NET, CLASSES = "test_resnet", 7
State = dict[str, Any]


def trained(name: str = NET, classes: int = CLASSES, **options: Any) -> nn.Module:
    """A network with statistics that are not those of a new one."""
    torch.manual_seed(0)
    net: nn.Module = timm.create_model(name, num_classes=classes, **options)
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return net


def prefixed(state: State, prefix: str) -> State:
    return {prefix + key: value for key, value in state.items()}


def rubbish(state: State, keep: str = " ") -> State:
    return {key: value if keep in key else torch.zeros_like(value) for key, value in state.items()}


class Lightning(nn.Module):
    """A training module with a loss of its own."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.model, self.criterion = net, nn.CrossEntropyLoss(torch.ones(CLASSES))


def lightning(net: nn.Module) -> State:
    settings = {"hyper_parameters": argparse.Namespace(lr=0.1), "pytorch-lightning_version": "2.5", "loops": {"a": {1}}}
    return {"epoch": 3, "state_dict": Lightning(net).state_dict(), **settings}


FORMS: dict[str, Callable[[nn.Module], Any]] = {
    "state dict": lambda net: net.state_dict(),
    "DataParallel": lambda net: nn.DataParallel(net).state_dict(),
    "compiled": lambda net: prefixed(net.state_dict(), "_orig_mod."),
    "compiled and parallel": lambda net: prefixed(net.state_dict(), "module._orig_mod."),
    "model.": lambda net: prefixed(net.state_dict(), "model."),
    "backbone.": lambda net: prefixed(net.state_dict(), "backbone."),
    "net.": lambda net: prefixed(net.state_dict(), "net."),
    "any prefix": lambda net: prefixed(net.state_dict(), "classifier.inner."),
    "Lightning": lightning,
    **{
        f"under {name}": lambda net, name=name: {name: net.state_dict(), "epoch": 3}  # type: ignore[misc]
        for name in ("state_dict", "model", "net", "model_state_dict", "network", "weights")
    },
    "timm's train.py": lambda net: {
        "epoch": 3, "arch": NET, "state_dict": net.state_dict(), "args": argparse.Namespace(lr=0.1, path=Path("x")),
        "optimizer": torch.optim.SGD(net.parameters(), 0.1, momentum=0.9).state_dict(), "metric": np.float64(0.5),
    },
    "moving average beside raw": lambda net: {
        "state_dict": rubbish(net.state_dict()), "state_dict_ema": net.state_dict()
    },
    "moving average by prefix": lambda net: prefixed(net.state_dict(), "model_ema.")
    | prefixed(rubbish(net.state_dict()), "model."),
    "moving average of parameters alone": lambda net: {
        "model": rubbish(net.state_dict(), keep="running"), "ema": {"shadow": dict(net.named_parameters())}
    },
    "averaged model": lambda net: torch.optim.swa_utils.AveragedModel(net).state_dict(),
    "whole network": lambda net: net,
    "whole parallel network": lambda net: nn.DataParallel(net),
    "whole network with its optimiser": lambda net: {"net": net, "optimizer": torch.optim.Adam(net.parameters())},
    "without counters": lambda net: {k: v for k, v in net.state_dict().items() if "num_batches" not in k},
    "arrays beside": lambda net: {"model": net.state_dict(), "confusion": np.eye(3), "best": np.float32(1)},
}  # fmt: skip


def check(path: Path, net: nn.Module, name: str = NET) -> nn.Module:
    """The file's weights are those of the network."""
    fresh = build_classifier(name, CLASSES, 32)
    load_weights(fresh, path, name)
    expected = net.state_dict()
    for key, value in fresh.state_dict().items():
        if not key.endswith("num_batches_tracked"):
            assert torch.equal(value, expected[key].to(value.dtype))
    return fresh


def refusal(path: Path, name: str = NET, classes: int = CLASSES, channels: int = 3, adjust: Adjust = as_it_is) -> str:
    """The message about the file, which leaves the network as it was."""
    net = build_classifier(name, classes, 32, channels=channels)
    before = clone_state(net)
    with pytest.raises(UserError) as caught:
        load_weights(net, path, name, adjust)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("form", FORMS)
def test_every_common_form_is_read(form: str, old: bool, tmp_path: Path) -> None:
    net = trained()
    torch.save(FORMS[form](net), tmp_path / "any.name", _use_new_zipfile_serialization=not old)
    check(tmp_path / "any.name", net)


@pytest.mark.parametrize("name", ["net.safetensors", "net.bin", "net"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.float64])
def test_safetensors_are_told_by_their_content_and_every_precision_is_read(
    name: str, dtype: torch.dtype, tmp_path: Path
) -> None:
    net = trained().to(dtype)
    (tmp_path / name).write_bytes(to_safetensors({k: v.contiguous() for k, v in net.state_dict().items()}))
    check(tmp_path / name, net)
    torch.save(net.state_dict(), tmp_path / "pickled.safetensors")
    check(tmp_path / "pickled.safetensors", net)


def test_a_choice_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for form in ("moving average beside raw", "moving average by prefix"):
        torch.save(FORMS[form](trained()), tmp_path / "ema.pt")
        check(tmp_path / "ema.pt", trained())
        assert "is used, not the raw weights" in capsys.readouterr().err


def test_of_two_networks_none_is_guessed(tmp_path: Path) -> None:
    state = trained().state_dict()
    torch.save(prefixed(state, "student.") | prefixed(rubbish(state), "teacher."), tmp_path / "two.pt")
    assert "holds several networks of this architecture, 'student.', 'teacher.'; save the one" in refusal(
        tmp_path / "two.pt"
    )


@pytest.mark.parametrize(
    ("prefix", "beside", "is_said"),
    [
        ("1.", {}, True),
        ("model.1.", {}, True),
        ("1.", {"mean": [0.2] * 3, "std": [0.35] * 3}, False),
        ("1.", {"state_dict": {"0.mean": torch.zeros(3), "0.std": torch.ones(3)}}, False),
        ("0.", {}, False),
        ("net.", {}, False),
    ],
)
def test_layers_without_tensors_before_the_network_are_named(
    prefix: str, beside: dict[str, Any], is_said: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = prefixed(timm.create_model("test_resnet", num_classes=CLASSES).state_dict(), prefix)
    torch.save(beside | {"state_dict": state | beside.get("state_dict", {})}, tmp_path / "w.pt")
    load_weights(build_classifier("test_resnet", CLASSES, 32), tmp_path / "w.pt", "test_resnet")
    lines = capsys.readouterr().err
    cure = "has no weights; if it normalises the images, say so with --mean and --std"
    first = prefix.replace("1.", "0")
    assert (f"its tensors are under {prefix[:-1]!r}, and what is before, {first!r}, {cure}" in lines) == is_said
    assert is_said or "is before" not in lines


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("mobilenet_v3_small", "mobilenetv3_small_100"), ("mobilenet_v2", "mobilenetv2_100"), ("resnet18", "resnet18"),
        ("efficientnet_b0", "efficientnet_b0"), ("densenet121", "densenet121"),
    ],
)  # fmt: skip
def test_networks_of_torchvision_give_their_own_logits(theirs: str, ours: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.get_model(theirs, num_classes=CLASSES).train()
    net(torch.randn(8, 3, 64, 64))  # so that its statistics are not those of a new one
    torch.save(prefixed(net.state_dict(), "module."), tmp_path / "theirs.pth")
    images = torch.randn(2, 3, 64, 64)
    (tmp_path / "theirs.safetensors").write_bytes(to_safetensors(net.state_dict()))  # sorts the names
    for file in ("theirs.pth", "theirs.safetensors"):
        fresh = build_classifier(ours, CLASSES, 64)
        load_weights(fresh, tmp_path / file, ours)
        with torch.no_grad():
            torch.testing.assert_close(fresh.eval()(images), net.eval()(images), rtol=1e-3, atol=1e-4)


HEADS = [("resnet18", "resnet18", "fc"), ("mobilenet_v3_small", "mobilenetv3_small_100", "classifier.3"),
         ("efficientnet_b0", "efficientnet_b0", "classifier.1"), ("mobilenet_v2", "mobilenetv2_100", "classifier"),
         ("densenet121", "densenet121", "classifier")]  # fmt: skip


def with_head(theirs: str, layer: str, head: nn.Module) -> nn.Module:
    """torchvision's network with another last layer, and statistics that are not those of a new one."""
    net: nn.Module = torchvision.models.get_model(theirs)
    parent, _, name = layer.rpartition(".")
    setattr(net.get_submodule(parent), name, head)
    net.train()(torch.randn(8, 3, 64, 64))
    return net.eval()


def width(theirs: str) -> int:
    """Of the features before the last layer of torchvision's network."""
    return int(list(torchvision.models.get_model(theirs).parameters())[-2].shape[1])


@pytest.mark.parametrize(("theirs", "ours", "layer"), HEADS)
@pytest.mark.parametrize("depth", [pytest.param(0, marks=pytest.mark.slow), pytest.param(1, marks=pytest.mark.slow), 2])
def test_a_last_layer_behind_dropout_gives_its_own_logits(
    depth: int, theirs: str, ours: str, layer: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(0)
    linear = nn.Linear(width(theirs), CLASSES)
    head = (linear, nn.Sequential(linear), nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout(), linear)))[depth]
    net = with_head(theirs, layer, head)
    torch.save(prefixed(net.state_dict(), "module."), tmp_path / "theirs.pth")
    fresh, images = build_classifier(ours, CLASSES, 64), torch.randn(2, 3, 64, 64)
    load_weights(fresh, tmp_path / "theirs.pth", ours)
    with torch.no_grad():
        torch.testing.assert_close(fresh.eval()(images), net(images), rtol=1e-3, atol=1e-4)
    if depth == 2:
        said = f"what is around the layer of '{layer}.1.1.weight' has no weights and is taken for dropout"
        assert said in capsys.readouterr().err
    message = refusal(tmp_path / "theirs.pth", ours, classes=5)
    assert f"the file has {CLASSES} classes, the data set 5" in message


@pytest.mark.parametrize(("theirs", "ours", "layer"), HEADS)
def test_several_layers_at_the_end_are_named_with_the_cure(theirs: str, ours: str, layer: str, tmp_path: Path) -> None:
    head = nn.Sequential(nn.Linear(width(theirs), 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, CLASSES))
    torch.save(with_head(theirs, layer, head).state_dict(), tmp_path / "theirs.pth")
    code, front = "give the code of this network, --teacher ./net.py", "save the weights before them alone"
    for adjust, cure in ((as_it_is, code), (new_layer, front)):
        message = refusal(tmp_path / "theirs.pth", ours, adjust=adjust)
        assert f"'{layer}.0.weight', '{layer}.3.weight'; {cure}" in message


def other_files(folder: Path) -> dict[str, tuple[str, str]]:
    """Name of a file -> its message, and the cure in it."""
    contents = {
        "page.pt": b"<!DOCTYPE html><html>Sign in</html>",
        "pointer.safetensors": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n",
        "empty.pt": b"",
        "keras.h5": b"\x89HDF\r\n\x1a\n" + bytes(64),
        "text.pt": b"not weights\n",
        "cut.pt": b"",
        "cut.safetensors": to_safetensors({"weight": torch.ones(100)})[:-50],
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    torch.save(trained().state_dict(), folder / "cut.pt")
    (folder / "cut.pt").write_bytes((folder / "cut.pt").read_bytes()[:-5000])
    torch.jit.save(torch.jit.script(nn.Linear(1, 1)), str(folder / "script.pt"))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("best.pt", "x")
    for name, content in (("numbers.pt", {"epoch": 3}), ("list.pt", [torch.zeros(1)]), ("tensor.pt", torch.zeros(1))):
        torch.save(content, folder / name)
    return {
        "page.pt": ("is a web page", "the download needs a login"),
        "pointer.safetensors": ("is a Git LFS pointer", "run git lfs pull"),
        "empty.pt": ("is empty", "not copied or downloaded completely"),
        "keras.h5": ("is an HDF5 file of Keras", "export it to PyTorch"),
        "script.pt": ("is a TorchScript file", "save net.state_dict()"),
        "archive.zip": ("is a zip archive", "unpack it"),
        "none.pt": ("does not exist", "give a .safetensors or a state-dict file"),
        "text.pt": ("cannot be read", "save it again"),
    } | dict.fromkeys(("cut.pt", "cut.safetensors"), ("is an incomplete copy", "download it again")) | dict.fromkeys(
        ("numbers.pt", "list.pt", "tensor.pt"), ("holds no weights", "torch.save(net.state_dict(), FILE)")
    )  # fmt: skip


def test_other_files_are_named_with_the_cure(tmp_path: Path) -> None:
    for name, words in other_files(tmp_path).items():
        message = refusal(tmp_path / name)
        assert all(word in message for word in words), message


def test_what_does_not_fit_says_why(tmp_path: Path) -> None:
    file, resnet = tmp_path / "other.pt", {"name": "resnet18"}
    cases: list[tuple[Any, dict[str, Any], str]] = [
        (trained(classes=8).state_dict(), {}, "the file has 8 classes, the data set 7"),
        (trained(in_chans=1).state_dict(), {}, "it is of a network for images of 1 channel; add --channels 1"),
        (trained().state_dict(), {"channels": 1}, "it is of a network for images of 3 channels; add --channels 3"),
        (
            trained(in_chans=1).state_dict(),
            {"adjust": new_layer},
            "for images of 1 channel; name a file for images of 3",
        ),
        (trained().state_dict(), {"channels": 1, "adjust": new_layer}, "name a file for images of 1 channel"),
        (trained(in_chans=4).state_dict(), {}, "of a network for images of 4 channels; images here have 1 or 3"),
        (trained(classes=1).state_dict(), {"classes": 2}, "one output for two classes, as before a sigmoid; save two"),
        (trained("resnet34").state_dict(), resnet, "these are tensors of resnet34"),
        (trained("wrn_16_2").state_dict(), resnet, "these are tensors of wrn_16_2"),
        (trained("cifar_resnet18").state_dict(), resnet, "101 of its 102 tensors match"),
        (torchvision.models.mobilenet_v3_large().state_dict(), resnet, "tensors of torchvision's mobilenet_v3_large"),
        ({"resnet.embedder.embedder.convolution.weight": torch.ones(1), "b.c": torch.ones(1)}, {}, "Hugging Face's"),
        (
            trained().state_dict() | {"more": torch.zeros(1)},
            {},
            "tensors match, and the file has more: more; if the network",
        ),
    ]
    for state, options, words in cases:
        torch.save(state, file)
        assert words in refusal(file, **options)


def test_weights_that_are_not_finite_are_refused_by_name(tmp_path: Path) -> None:
    state = trained().state_dict()
    state["fc.weight"][0, 0] = float("nan")
    torch.save(state, tmp_path / "nan.pt")
    assert "1 tensors have values that are not finite, the first 'fc.weight'" in refusal(tmp_path / "nan.pt")


@pytest.mark.parametrize("old", [False, True], ids=["zip", "before 1.6"])
@pytest.mark.parametrize("place", ["beside", "in the state dict", "in the settings", "as the whole", "as a key"])
def test_code_in_a_file_is_not_executed(place: str, old: bool, tmp_path: Path) -> None:
    net, crater = trained(), tmp_path / "crater"
    bomb, state = Bomb(crater), net.state_dict()
    content: Any = {
        "beside": {"state_dict": state, "extra": bomb},
        "in the state dict": {**state, "more": bomb},
        "in the settings": {"model": state, "args": argparse.Namespace(x=[bomb])},
        "as the whole": bomb,
        "as a key": {"state_dict": state, bomb: 1},
    }[place]
    file = tmp_path / "bomb.pt"
    torch.save(content, file, _use_new_zipfile_serialization=not old)
    if place == "as the whole":
        assert "holds no weights" in refusal(file)
    else:
        check(file, net)
    assert not crater.exists()
    torch.load(file, weights_only=False)
    assert crater.exists(), "unpickling did not run the code, so the test above proves nothing"
