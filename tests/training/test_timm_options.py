"""A teacher of timm is built as its file says: with other layers, other pooling, or refused by name."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from support.plain_teachers import NETWORK
from support.teacher_plans import CPU, plan_of, shop
from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.wrapper import Normaliser
from okdbench.training.evaluation import accuracy, predict
from okdbench.training.initial_networks import initial_network
from okdbench.training.networks import Role
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student import pack, unpack
from okdbench.training.student_lookup import load
from okdbench.training.teacher import teacher_of as loaded
from okdbench.training.trial import check

Save = Callable[[nn.Module, Path, dict[str, Any]], Path]


def by_train_py(net: nn.Module, folder: Path, options: dict[str, Any]) -> Path:
    """As timm's train.py saves a network, whose pooling has an argument of its own."""
    others = {key: value for key, value in options.items() if key != "global_pool"}
    args = argparse.Namespace(model=NETWORK, gp=options.get("global_pool"), num_classes=3, model_kwargs=others)
    torch.save({"state_dict": net.state_dict(), "arch": NETWORK, "args": args}, folder / "teacher.pth.tar")
    return folder / "teacher.pth.tar"


def with_config(net: nn.Module, folder: Path, options: dict[str, Any]) -> Path:
    """As timm saves a network for the hub."""
    pool = {"global_pool": options["global_pool"]} if "global_pool" in options else {}
    config = {"architecture": NETWORK, "num_classes": 3, **pool, "model_args": options}
    (folder / "config.json").write_text(json.dumps(config))
    save_file(net.state_dict(), folder / "model.safetensors")
    return folder / "model.safetensors"


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shop(tmp_path_factory.mktemp("photos"), (40, 40))


@pytest.mark.parametrize("save", [by_train_py, with_config])
@pytest.mark.parametrize("options", [{"act_layer": "tanh"}, {"global_pool": "max"}, {"global_pool": "avg"}], ids=str)
def test_a_teacher_of_timm_is_built_with_the_options_of_its_file(
    options: dict[str, Any], save: Save, photos: Path, tmp_path: Path
) -> None:
    net = timm.create_model(NETWORK, num_classes=3, **options).eval()
    plan = plan_of(photos, save(net, tmp_path, options), image_size=64)
    images = torch.rand(4, 3, 64, 64)
    expected = net(Normaliser(plan.dataset.mean, plan.dataset.std)(images))
    assert torch.allclose(loaded(plan, Path("unused"), CPU, quiet)(images), expected, atol=1e-5)
    ((name, value),) = options.items()
    assert plan.format_note.endswith(f"; built with {name}={value}")
    silent = tmp_path / "silent" / "teacher.pth"
    silent.parent.mkdir()
    torch.save(net.state_dict(), silent)
    usual = loaded(plan_of(photos, silent, image_size=64), Path("unused"), CPU, quiet)(images)
    assert torch.allclose(usual, expected, atol=1e-5) == (options == {"global_pool": "avg"})
    # the student is no such network
    assert plan.student.options == ()
    assert plan.key != plan_of(photos, silent, image_size=64).key


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"act_layer": "shop"}, "with act_layer=shop, as the file of its weights says, cannot be built for images"),
        ({"shelves": 3}, "with shelves=3, as the file of its weights says, cannot be built for images of 32 pixels"),
        ({"act_layer": nn.Tanh}, f"{NETWORK} was built with another act_layer, which is no plain value; give its code"),
    ],
    ids=str,
)
def test_options_that_cannot_be_followed_are_refused_by_name(
    options: dict[str, Any], words: str, photos: Path, tmp_path: Path
) -> None:
    weights = by_train_py(timm.create_model(NETWORK, num_classes=3), tmp_path, options)
    with pytest.raises(UserError) as caught:
        check(plan_of(photos, weights))
    assert words in str(caught.value)
    assert "or save its weights alone, torch.save(net.state_dict(), FILE)" in str(caught.value)


def test_options_that_say_where_weights_are_open_no_file(photos: Path, tmp_path: Path) -> None:
    options = {"checkpoint_path": str(tmp_path / "none.pt"), "pretrained": True, "pretrained_cfg": "x", "in_chans": 9}
    plan = plan_of(photos, by_train_py(timm.create_model(NETWORK, num_classes=3), tmp_path, options))
    check(plan)
    assert plan.teacher.options == ()


def test_options_of_another_network_are_not_used(photos: Path, tmp_path: Path) -> None:
    weights = with_config(timm.create_model(NETWORK, num_classes=3), tmp_path, {"act_layer": "tanh"})
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "architecture": "resnet50"}))
    assert plan_of(photos, weights).teacher.options == ()


def penalty(net: nn.Module, folder: Path) -> Path:
    torch.save({"state_dict": net.state_dict(), "args": argparse.Namespace(gp=10, model_kwargs={"z": 3})}, folder / "p")
    return folder / "p"


def test_values_of_a_script_that_is_not_timms_are_not_taken_for_options(photos: Path, tmp_path: Path) -> None:
    assert plan_of(photos, penalty(timm.create_model(NETWORK, num_classes=3), tmp_path)).teacher.options == ()


@pytest.mark.parametrize(("role", "option"), [("teacher", "teacher_init"), ("student", "student_weights")])
def test_a_network_that_starts_from_a_file_has_its_options(
    role: Role, option: str, plan: Callable[..., Plan], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    net = timm.create_model(NETWORK, num_classes=10, in_chans=1, act_layer="tanh").eval()
    weights = by_train_py(net, tmp_path, {"act_layer": "tanh"})
    made, images = plan("kd", **{role: NETWORK, option: str(weights)}), torch.rand(2, 1, 32, 32)
    assert torch.allclose(initial_network(role, made).eval()(images), net(images), atol=1e-5)
    assert f"{weights}: the {role} is built with act_layer=tanh" in capsys.readouterr().err
    by_train_py(net, tmp_path, {"act_layer": nn.Tanh})
    with pytest.raises(UserError, match="was built with another act_layer, which is no plain value"):
        plan("kd", **{role: NETWORK, option: str(weights)})


def test_a_student_is_read_back_with_its_options(light_plan: Callable[..., Plan], tmp_path: Path) -> None:
    net = timm.create_model(NETWORK, num_classes=10, in_chans=1, act_layer="tanh")
    made = light_plan("kd", student=NETWORK, student_weights=str(by_train_py(net, tmp_path, {"act_layer": "tanh"})))
    record = execute(made, tmp_path / "runs", quiet)
    student, images = load(record.key, tmp_path / "runs"), made.splits.test
    assert record.selected is not None
    found = accuracy(predict(student.classifier, images, CPU), torch.from_numpy(images.labels))
    assert found == record.selected.evaluation.test.acc
    assert student.card.model_args == {"act_layer": "tanh"}
    theirs = student.card.model_copy(update={"model_args": {"act_layer": "tanh", "checkpoint_path": "/none.pt"}})
    assert "Tanh()" in str(unpack(pack(student.classifier.net.state_dict(), theirs)).classifier)
