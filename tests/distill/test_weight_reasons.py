"""A file that does not fit for a reason of its own is refused with it, and a choice in one names what is left."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.weight_fit import load_weights

NET, CLASSES = "test_resnet", 7


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return dict(timm.create_model(NET, num_classes=CLASSES).state_dict())


def loaded(content: Any, file: Path, name: str = NET) -> nn.Module:
    torch.save(content, file)
    net = build_classifier(name, CLASSES, 32)
    load_weights(net, file, name)
    return net


def refusal(content: Any, file: Path, name: str = NET) -> str:
    with pytest.raises(UserError) as caught:
        loaded(content, file, name)
    return str(caught.value)


def test_one_of_several_files_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    half = dict(list(state.items())[:40])
    message = refusal(half, tmp_path / "model-00001-of-00002.safetensors")
    assert "it is part 1 of 2: join the state dicts of all parts" in message
    loaded(state, tmp_path / "model-00001-of-00001.safetensors")


def test_batch_norm_that_is_fused_or_lacks_statistics_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    silent = {key: value for key, value in state.items() if not re.search("running|num_batches", key)}
    message = refusal(silent, tmp_path / "silent.pt")
    assert "the file no running statistics: if the network has group norm, give its code, --teacher ./net.py" in message
    layers = tuple(key.removesuffix("running_mean") for key in state if key.endswith("running_mean"))
    fused = {key: value for key, value in state.items() if not key.startswith(layers)}
    biases = {key.replace("weight", "bias"): value[:, 0, 0, 0] for key, value in fused.items() if value.ndim == 4}
    assert "its batch norm is fused into its convolutions" in refusal({**fused, **biases}, tmp_path / "fused.pt")


@pytest.mark.filterwarnings("ignore:Sparse CSR")
def test_sparse_tensors_are_read(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    sparse = {key: value.to_sparse() if value.ndim == 4 else value for key, value in state.items()}
    sparse["fc.weight"] = sparse["fc.weight"].to_sparse_csr()
    net = loaded(sparse, tmp_path / "sparse.pt")
    assert all(torch.equal(value, state[key]) for key, value in net.state_dict().items())


@pytest.mark.parametrize("place", ["arch", "args", "config.json"])
def test_the_architecture_that_a_file_names_is_proposed(
    place: str, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    entries = {"arch": {"arch": NET}, "args": {"args": {"model": NET}}, "config.json": {}}[place]
    if place == "config.json":
        (tmp_path / place).write_text(json.dumps({"architecture": NET, "num_classes": CLASSES}))
    message = refusal({"state_dict": state, **entries}, tmp_path / "net.pt", "resnet18")
    assert f"the file, or a config.json beside it, calls it {NET}: --teacher {NET}" in message


def test_what_is_not_chosen_is_named_with_the_way_to_take_it(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = timm.create_model(NET, num_classes=CLASSES).state_dict()

    def between(share: float) -> dict[str, torch.Tensor]:
        return {key: torch.lerp(start[key].float(), value.float(), share) for key, value in state.items()}

    for share, is_warning in ((0.03, True), (0.95, False)):
        loaded({"state_dict": state, "state_dict_ema": between(share)}, tmp_path / f"{share}.pt")
        said = capsys.readouterr().err
        used = "the moving average 'state_dict_ema' is used, not the raw weights 'state_dict'; to take these, save them"
        assert used in said
        assert ("warning: " in said and "may have hardly begun" in said) == is_warning
    loaded({f"model_ema.{key}": value for key, value in between(0.03).items()} | {
        f"model.{key}": value for key, value in state.items()}, tmp_path / "prefixes.pt")  # fmt: skip
    assert "warning: the moving average 'model_ema.' is used, not the raw weights 'model.'" in capsys.readouterr().err
    loaded({"model": start, "best_model": state}, tmp_path / "best.pt")
    assert "'model' is used, not 'best_model'; to take these, save them alone" in capsys.readouterr().err


def test_an_average_whose_batch_norm_has_seen_no_images_is_pointed_out(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = {key: value + 1 if "running_mean" in key else value for key, value in state.items()}
    counted = {key: value + 1 if "num_batches" in key else value for key, value in raw.items()}
    uncounted = {key: value for key, value in state.items() if "num_batches" not in key}
    warning = "the batch norm of the average has seen no images: give it theirs with torch.optim.swa_utils.update_bn()"
    cases = (
        (state, counted, True),
        (uncounted, counted, True),
        (counted, {key: value + 1 for key, value in counted.items()}, False),
        (state, {key: value + ("fc." in key) for key, value in state.items()}, False),
    )
    for number, (average, other, is_warning) in enumerate(cases):
        for content in (
            {"model": other, "model_ema": copy.deepcopy(average)},
            below("model.", other) | below("model_ema.", average),
        ):
            loaded(content, tmp_path / f"{number}{len(content)}.pt")
            assert (f"; {warning}" in capsys.readouterr().err) == is_warning
    # as of averages of the floating-point entries, whose counters stay at 0
    loaded(below("model.", counted) | below("ema.", raw | {"fc.bias": state["fc.bias"] + 1}), tmp_path / "net.pt")
    assert warning not in capsys.readouterr().err


def test_a_layer_after_the_last_one_is_named_with_its_cure(tmp_path: Path) -> None:
    whole = timm.create_model(NET, num_classes=1000).state_dict()
    further = nn.Linear(1000, CLASSES).state_dict()
    for content, layer in (
        (below("0.", whole) | below("1.", further), "1.weight"),
        (below("backbone.", whole) | below("classifier.", further), "classifier.weight"),
    ):
        message = refusal(content, tmp_path / "net.pt")
        assert f"after a layer of 1000 outputs the file has a further one, {layer!r}; give the code of this" in message
    assert "name their rows with teacher_classes" in refusal(whole, tmp_path / "net.pt")


def below(prefix: str, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {prefix + key: value for key, value in state.items()}


HEAD = {"weight": torch.ones(CLASSES, 96), "bias": torch.ones(CLASSES)}
NEEDED = "; if the network needs them, give its code, --teacher ./net.py\n"


@pytest.mark.parametrize(
    ("beside", "around", "said"),
    [
        (below("calibration.", nn.Linear(7, 7).state_dict()), {},
         "warning: not used: calibration.weight, calibration.bias"),
        (below("bn0.", nn.BatchNorm2d(3).state_dict()), {},
         "warning: not used: bn0.weight, bn0.bias, bn0.running_mean, bn0.running_var"),
        (below("bn0.", nn.BatchNorm2d(3, affine=False).state_dict()), {},
         "warning: not used: bn0.running_mean, bn0.running_var"),
        (below("classifier.", HEAD), {}, "warning: not used: classifier.weight, classifier.bias"),
        ({"temperature": torch.tensor(2.0)}, {}, "warning: not used: temperature"),
        (below("projector.", nn.Linear(50, 40).state_dict()), {}, "not used: projector.weight, projector.bias"),
        ({}, {"logit_adjust": torch.ones(CLASSES)}, "warning: not used: logit_adjust"),
        ({}, {"more": [{"scale": torch.ones(1)}]}, "warning: not used: more.0.scale"),
    ],
    ids=["calibration", "batch norm", "plain batch norm", "head", "number", "projector", "beside", "in a list"],
)  # fmt: skip
def test_tensors_that_are_not_used_are_named(
    beside: dict[str, torch.Tensor],
    around: dict[str, Any],
    said: str,
    state: dict[str, torch.Tensor],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    loaded({"state_dict": {**below("model.", state), **beside}, **around}, file := tmp_path / "net.pt")
    assert capsys.readouterr().err == f"okdbench: {file}: {said}{NEEDED}"


def test_what_trainings_keep_beside_a_network_is_not_named(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = timm.create_model(NET, num_classes=CLASSES)
    optimizer = torch.optim.AdamW(net.parameters())
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    of_lightning = {"criterion.weight": torch.ones(CLASSES), "val_acc.confmat": torch.ones(7, 7),
                    "train_loss.mean_value": torch.tensor(1.0), "normalize.mean": torch.ones(3),
                    "normalize.std": torch.ones(3), "ema.decay": torch.tensor(0.99)}  # fmt: skip
    around = {
        "optimizer_states": [optimizer.state_dict()], "best_acc1": torch.tensor(81.0), "rng_state": torch.rand(9),
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.3)}}, "loss": torch.tensor(0.1),
        "class_weights": torch.ones(CLASSES), "dataset_mean": torch.ones(3), "stats": (torch.ones(3), torch.ones(3)),
        "the same once more": {key: value.clone() for key, value in state.items()},
        "polyak.conv1.1.num_batches_tracked": torch.tensor(9.0),
    }  # fmt: skip
    loaded({"state_dict": {**below("model.", state), **of_lightning}, **around}, tmp_path / "net.pt")
    assert not capsys.readouterr().err


def test_another_copy_is_named_wherever_it_is(
    state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = {**state, "fc.bias": torch.ones(CLASSES)}  # the rest is the same tensors
    average = below("model.", state)
    for name, content, said in (
        ("ema", {"callbacks": {"EMACallback": {"ema_state_dict": average}}},
         "the raw weights 'model' are used, not the moving average 'callbacks.EMACallback.ema_state_dict.model'"),
        ("swa", {"callbacks": {"SWA": {"n_averaged": 5, "average_model_state": state}}},
         "the raw weights 'model' are used, not the moving average 'callbacks.SWA.average_model_state'"),
        ("optimiser", {"optimizer": {"state": {}, "ema": state}},
         "the raw weights 'model' are used, not the moving average 'optimizer.ema'"),
        ("list", {"callbacks": {"EMA": {"weights": list(state.values())}}},
         "the raw weights are used, because the moving average 'callbacks.EMA' has no names of tensors"),
        ("lookahead", {"optimizer": {"state": {i: {"slow_buffer": each} for i, each in enumerate(state.values())}}},
         "the raw weights are used, because the moving average 'optimizer.state.0.slow_buffer' has no names"),
        ("deep", {"a": {"b": {"c": {"d": {"e": state}}}}}, "'model' is used, not 'a.b.c.d.e'"),
    ):  # fmt: skip
        net = loaded({"model": raw, **content}, file := tmp_path / f"{name}.pt")
        assert torch.equal(net.state_dict()["fc.bias"], raw["fc.bias"])
        assert capsys.readouterr().err.startswith(f"okdbench: {file}: {said}")


def test_what_is_too_much_is_named(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    body = below("backbone.", {key: value for key, value in state.items() if not key.startswith("fc.")})
    scales = {f"{key}_scale": torch.ones(1) for key, value in state.items() if value.ndim > 1}
    for index, (content, words) in enumerate([
        ({**state, **below("bn0.", nn.BatchNorm2d(3, affine=False).state_dict())},
         "all its 77 tensors match, and the file has more: bn0.running_mean, bn0.running_var; if the network needs"),
        ({**body, **below("quality.", HEAD), **below("species.", HEAD)},
         "in place of its last layer the file has 'quality.weight', 'species.weight'; give the code of this network"),
        ({**body, "head.kernel": torch.ones(96, CLASSES)}, "in place of its last layer the file has 'head.kernel'"),
        ({**state, **scales}, "its weights are quantised, with scales beside them: save them before quantisation"),
    ]):  # fmt: skip
        assert words in refusal(content, tmp_path / f"{index}.pt")
