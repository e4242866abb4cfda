"""Files that networks start from, and rows of a teacher for more classes."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from huggingface_hub import constants
from PIL import Image
from support.error_text import refusal
from support.network_files import write_net
from torch import Tensor, nn

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.last_layer import new_layer, rows_of
from okdbench.distill.networks.weight_fit import load_weights
from okdbench.results.grouping import groups_of
from okdbench.training import runner
from okdbench.training.export import export
from okdbench.training.initial_networks import initial_network
from okdbench.training.own_students import student_warnings
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student_lookup import load
from okdbench.training.teacher import teacher_key
from okdbench.training.trial import check

Make = Callable[..., Plan]


@pytest.fixture
def make(plan: Make) -> Make:
    """Plans with a network of timm, which has files of weights."""
    return partial(plan, teacher="test_resnet", student="test_resnet")


@pytest.fixture
def light(light_plan: Make) -> Make:
    """The same with few images to evaluate on."""
    return partial(light_plan, teacher="test_resnet", student="test_resnet")


def trained(name: str = "test_resnet", classes: int = 1000, channels: int = 1, seed: int = 5) -> nn.Module:
    torch.manual_seed(seed)
    net: nn.Module = timm.create_model(name, num_classes=classes, in_chans=channels)
    for buffer in net.buffers():
        if buffer.is_floating_point():
            buffer.copy_(torch.rand_like(buffer) + 0.5)
    return net


@pytest.fixture
def imagenet(tmp_path: Path) -> Path:
    """A file of 1000 classes, as timm's training script writes it."""
    torch.save({"arch": "test_resnet", "state_dict": trained().state_dict()}, tmp_path / "imagenet.pth.tar")
    return tmp_path / "imagenet.pth.tar"


def test_a_student_starts_from_a_file_with_a_last_layer_of_its_own(
    imagenet: Path, make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    usual, made = make("kd"), make("kd", student_weights=str(imagenet))
    state, new = initial_network("student", made).state_dict(), initial_network("student", usual).state_dict()
    there = trained().state_dict()
    for name, tensor in state.items():
        assert torch.equal(tensor, new[name] if name.startswith("fc.") else there[name]), name
    note = "imagenet.pth.tar: the last layer starts new, because the file has 1000 classes, not 10"
    initial_network("student", made)
    assert capsys.readouterr().err.count(note) == 1


def test_a_student_of_another_seed_has_learned_from_the_test_images(light: Make, tmp_path: Path) -> None:
    made = light("kd")
    execute(made, tmp_path / "runs", quiet)
    export(made.key, "safetensors", tmp_path / "student.safetensors", tmp_path / "runs")
    for role in ("student_weights", "teacher_weights", "teacher_init"):
        named = {role: str(tmp_path / "student.safetensors")}
        (line,) = student_warnings(light("kd", seed=1, **named))
        assert (
            "a student of digits, seed 0, and has learned from images that seed 1 tests on; take one of seed 1" in line
        )
        same = [{"seed": 0}, {"seed": 5}, {"seed": 1, "setting": "MP-O"}]  # one fold, or other images
        assert not [*chain.from_iterable(student_warnings(light("kd", **named, **others)) for others in same)]


def test_a_student_with_the_same_classes_starts_from_all_of_a_file(make: Make, tmp_path: Path) -> None:
    there = trained(classes=10).state_dict()
    torch.save(there, tmp_path / "student.pt")
    state = initial_network("student", make("kd", student_weights=str(tmp_path / "student.pt"))).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in there.items())


def test_a_file_without_a_last_layer_is_a_start(make: Make, tmp_path: Path) -> None:
    there = {f"backbone.{key}": value for key, value in trained(classes=0).state_dict().items()}
    torch.save(there, tmp_path / "backbone.pt")
    state = initial_network("student", make("kd", student_weights=str(tmp_path / "backbone.pt"))).state_dict()
    assert torch.equal(state["conv1.0.weight"], there["backbone.conv1.0.weight"])
    message = refusal(check, make("kd", teacher_weights=str(tmp_path / "backbone.pt")))
    assert "has no last layer, so it is no trained classifier; --teacher-init" in message


def test_keys_and_records_have_the_content_of_the_file(imagenet: Path, light: Make, tmp_path: Path) -> None:
    other = tmp_path / "copied" / "imagenet.pth.tar"
    other.parent.mkdir()
    other.write_bytes(imagenet.read_bytes())
    changed = tmp_path / "changed.pt"
    torch.save(trained(seed=6).state_dict(), changed)
    usual, made, copied, different = (
        light("finetune", **({"student_weights": str(path)} if path else {}))
        for path in (None, imagenet, other, changed)
    )
    assert made.key == copied.key
    assert len({made.key, usual.key, different.key}) == 3
    assert len({teacher_key(each) for each in (usual, made, different)}) == 1
    record = runner.execute(made, tmp_path / "runs", quiet)
    label = f"imagenet.pth.tar ({made.starts['student'].digest[:8]})"
    assert (record.status, record.starts) == ("done", {"student": label}), record.traceback
    assert label.partition("(")[2].rstrip(")") in groups_of([record])[0].teacher
    assert load(record.key, tmp_path / "runs").card.start == label
    assert f"--student-weights {imagenet}" in record.command


def test_a_teachers_training_starts_from_a_file(imagenet: Path, make: Make) -> None:
    usual, made = make("teacher"), make("teacher", teacher_init=str(imagenet))
    assert teacher_key(usual) != teacher_key(made)
    state, there = initial_network("teacher", made).state_dict(), trained().state_dict()
    assert torch.equal(state["conv1.0.weight"], there["conv1.0.weight"])
    message = refusal(make, "teacher", teacher_init=str(imagenet), teacher_weights=str(imagenet))
    assert message.startswith("--teacher-init starts a training and --teacher-weights names a trained teacher")


def test_a_file_that_changes_after_the_plan_is_refused(imagenet: Path, make: Make) -> None:
    made = make("kd", student_weights=str(imagenet))
    torch.save(trained(seed=6).state_dict(), imagenet)
    assert "was replaced since the run was planned; run the same command again" in refusal(check, made)


def test_a_user_network_starts_from_a_file_as_well(make: Make, tmp_path: Path) -> None:
    path = write_net(tmp_path)
    made = make("kd", student=path)
    torch.manual_seed(4)
    assert made.student.builder is not None
    there: dict[str, Tensor] = made.student.builder(5, 1).state_dict()
    torch.save(there, tmp_path / "five.pt")
    state = initial_network("student", make("kd", student=path, student_weights=str(tmp_path / "five.pt"))).state_dict()
    assert torch.equal(state["first.conv.weight"], there["first.conv.weight"])
    assert state["fc.weight"].shape[0] == 10


def test_pretrained_beside_files_for_both_networks_is_no_other_run(imagenet: Path, make: Make) -> None:
    start, file = {"teacher_init": str(imagenet)}, {"student_weights": str(imagenet)}
    both, said = make("kd", **start, **file), make("kd", **start, **file, pretrained=True)
    assert (said.key, said.command) == (both.key, both.command)
    assert make("kd", **file, pretrained=True).key != make("kd", **file).key
    one = make("kd", **start, pretrained=True)
    assert one.key != make("kd", **start).key
    assert teacher_key(one) == teacher_key(both), "the teacher starts from its file"


def test_files_replace_pretrained_weights_where_there_is_no_network(
    imagenet: Path, make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    files = {"teacher_init": str(imagenet), "student_weights": str(imagenet)}
    check(make("kd", pretrained=True, **files))
    began = time.monotonic()
    message = refusal(check, make("kd", pretrained=True))
    assert time.monotonic() - began < 2
    assert message.startswith("test_resnet with its weights is not in the cache, and 127.0.0.1:9 cannot be reached")


# rows


@pytest.mark.parametrize("theirs", ["timm", "torchvision"])
def test_rows_of_a_thousand_classes_give_their_logits(theirs: str, tmp_path: Path) -> None:
    name, rows = "mobilenetv3_small_100", [207, 3, 281]
    torch.manual_seed(0)
    net = timm.create_model(name) if theirs == "timm" else torchvision.models.mobilenet_v3_small()
    net.train()(torch.randn(8, 3, 64, 64))
    torch.save({"model": {f"module.{key}": value for key, value in net.state_dict().items()}}, tmp_path / "net.pt")
    fresh, images = build_classifier(name, 3, 64), torch.randn(2, 3, 64, 64)
    load_weights(fresh, tmp_path / "net.pt", name, rows_of(rows))
    with torch.no_grad():
        expected = net.eval()(images)[:, rows]
        torch.testing.assert_close(fresh.eval()(images), expected, rtol=1e-3, atol=1e-4)
    load_weights(fresh, tmp_path / "net.pt", name, new_layer)
    first = next(fresh.parameters())
    assert torch.equal(first, next(net.parameters()))


def shop(folder: Path, more: str) -> str:
    for domain in ("a", "b"):
        for name in ("cat", "dog"):
            (folder / domain / name).mkdir(parents=True, exist_ok=True)
            for index in range(10):
                Image.new("RGB", (8, 8), (index, 9, 9)).save(folder / domain / name / f"{index}.png")
    (folder / "shop.yaml").write_text(f"domains: {{a: a, b: b}}\n{more}")
    return str(folder / "shop.yaml")


def test_a_data_set_names_the_rows_of_its_classes(data_root: Path, tmp_path: Path) -> None:
    torch.save(trained(classes=1000, channels=3).state_dict(), tmp_path / "imagenet.pt")

    def planned(more: str, **options: Any) -> Plan:
        usual = {"method": "kd", "dataset": shop(tmp_path, more), "setting": "A-B", "budget": "smoke", "device": "cpu"}
        networks = {"teacher": "test_resnet", "student": "test_resnet"}
        files = {"teacher_weights": str(tmp_path / "imagenet.pt")}
        return make_plan({**usual, **networks, **files, **options}, data_root=data_root)

    message = refusal(check, planned(""))
    assert message.endswith(
        "the file has 1000 classes, the data set 2; if those are among these, name their rows with teacher_classes in "
        "the file of the data set"
    )
    made = planned("teacher_classes: [281, 207]\n")
    state = runner.teacher_of(made, tmp_path / "runs", torch.device("cpu"), quiet).net.state_dict()
    assert torch.equal(state["fc.weight"], trained(channels=3).state_dict()["fc.weight"][[281, 207]])
    other = planned("teacher_classes: [207, 281]\n")
    assert made.key != other.key
    assert teacher_key(made) != teacher_key(other)
    assert "names row 1000, and the file has 1000 classes, counted from 0" in refusal(
        check, planned("teacher_classes: [281, 1000]\n")
    )
    for wrong in ("[1]", "[1, 1]", "[1, 2, 3]"):
        assert "needs a different row for each of the 2 classes, in the order cat, dog" in refusal(
            planned, f"teacher_classes: {wrong}\n"
        )
    torch.save(trained(classes=2, channels=3).state_dict(), tmp_path / "imagenet.pt")
    assert "names row 281, and the file has 2 classes" in refusal(check, planned("teacher_classes: [281, 207]\n"))
