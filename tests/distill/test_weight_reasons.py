"""A file that does not fit for a reason of its own is refused with it, and a choice in one names what is left."""

from __future__ import annotations

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
    assert "its batch norm has no running statistics" in refusal(silent, tmp_path / "silent.pt")
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
