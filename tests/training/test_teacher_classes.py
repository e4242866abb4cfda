"""The classes of a user's teacher are compared with the data set's; a finished run says again what was found."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from support.error_text import refusal
from support.plain_teachers import CLASSES, NETWORK, photographs, teacher_of
from torch import nn
from torchvision.transforms import v2

from okdbench.core.errors import UserError
from okdbench.training import teacher_check
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_of as loaded
from okdbench.training.teacher_classes import name_warnings
from okdbench.training.trial import check

CPU = torch.device("cpu")
PIPELINE = v2.Compose(
    [
        v2.Resize((32, 32)),
        v2.PILToTensor(),
        v2.ToDtype(torch.float32, scale=True),
        v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with photographs."""
    folder = tmp_path_factory.mktemp("shop")
    photographs(folder / "images", (70, 70), 40)
    return folder


@pytest.fixture(scope="module")
def net(shop: Path) -> nn.Module:
    return teacher_of(sorted(shop.glob("images/*/*")), PIPELINE)


def plan_of(shop: Path, weights: Path, described: dict[str, Any] | None = None, **options: Any) -> Plan:
    description = weights.with_suffix(".yaml")
    description.write_text(yaml.safe_dump({"domains": {"shop": str(shop / "images")}, **(described or {})}))
    values = {"method": "teacher", "dataset": str(description), "setting": "-S", "budget": "smoke", "device": "cpu"}
    networks = {"teacher": NETWORK, "student": NETWORK, "teacher_weights": str(weights)}
    return make_plan({**values, **networks, **options}, data_root=shop / "root")


CODED = ["pen", "cup", "lamp"]


@pytest.mark.parametrize(
    "entry",
    [
        {"vocab": CODED},
        {"label_map": {"pen": 1, "cup": 2, "lamp": 3}},
        {"label_map": {3: "lamp", 1: "pen", 2: "cup"}},
        {"class_to_idx": {"pen": 1, "cup": 2, "lamp": 3}},
        {"names": {0: "pen", 1: "cup", 2: "lamp"}},
        {"meta": {"epoch": 9, "dataset_meta": {"classes": ("pen", "cup", "lamp"), "palette": None}}},
        {"meta": {"CLASSES": CODED, "config": "model = dict(type='ImageClassifier')"}},
        {"target_names": CODED},
        {"index2class": {0: "pen", 1: "cup", 2: "lamp"}},
        {"run": {"data": [{"cls2id": {"Pen": 0, "Cup": 1, "Lamp": 2}}]}, "files": ["a", "b", "c"]},
        {"mapping": json.dumps({"0": "pen", "1": "cup", "2": "lamp"})},
        {"label_encoder": argparse.Namespace(classes_=CODED), "target_names": (*CODED,)},
        {"recall": {"pen": 0.2, "lamp": 2.1, "cup": 1.3}, "order": "pen, cup, lamp"},
    ],
    ids=str,
)
def test_names_of_classes_are_read_under_other_words(
    entry: dict[str, Any], shop: Path, net: nn.Module, tmp_path: Path
) -> None:
    torch.save({"state_dict": rows(net, [2, 0, 1]), **entry}, tmp_path / "teacher.pt")
    plan = plan_of(shop, tmp_path / "teacher.pt")
    expected = "the file has the classes in another order; write classes: [pen, cup, lamp]"
    assert name_warnings(plan) == [expected]


def test_names_in_several_orders_are_not_used(shop: Path, net: nn.Module, tmp_path: Path) -> None:
    lists = {"target_names": CODED, "cfg": {"by_size": ["lamp", "cup", "pen"]}, "mapping": {"pen": 0, "cup": 1}}
    torch.save({"state_dict": net.state_dict(), **lists}, tmp_path / "teacher.pt")
    places = "the file has the classes in several orders, under target_names, cfg.by_size; none is used"
    assert name_warnings(plan_of(shop, tmp_path / "teacher.pt")) == [places]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("class_indices.json", json.dumps({"0": "pen", "1": "cup", "2": "lamp"})),
        ("labels.txt", "pen\ncup\nlamp\n"),
        ("classes.json", json.dumps(CODED)),
        ("labels.txt", "0 pen\n1 cup\n2 lamp\n"),
        ("labelmap.txt", "pen: 0\ncup: 1\nlamp: 2"),
        ("classes.csv", "\ufeffindex,name\r\n0,pen\r\n1,cup\r\n2,lamp\r\n"),
        ("shop.names", "pen\ncup\nlamp\n"),
        ("classes.yaml", "names:\n  0: pen\n  1: cup\n  2: lamp\n"),
    ],
)
def test_a_list_of_classes_beside_the_file_is_compared(
    name: str, text: str, shop: Path, net: nn.Module, tmp_path: Path
) -> None:
    torch.save(rows(net, [2, 0, 1]), tmp_path / "teacher.pt")
    (tmp_path / name).write_text(text)
    (tmp_path / "label_damaged.json").write_bytes(b"\xff{[")
    line = (
        f"{name} beside it has the classes in another order; if it is of this teacher, write classes: [pen, cup, lamp]"
    )
    assert name_warnings(plan_of(shop, tmp_path / "teacher.pt")) == [line]
    assert name_warnings(plan_of(shop, tmp_path / "teacher.pt", {"classes": CODED})) == []
    torch.save({"state_dict": net.state_dict(), "classes": CLASSES}, tmp_path / "teacher.pt")
    assert name_warnings(plan_of(shop, tmp_path / "teacher.pt")) == []


def said(plan: Plan, runs: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    execute(plan, runs, quiet)
    # what is said of the data set is said once
    lines = [line for line in capsys.readouterr().err.splitlines() if " seed " not in line]
    return [line.removeprefix("okdbench: teacher ") for line in lines if line.startswith("okdbench: teacher ")]


def rows(net: nn.Module, order: list[int]) -> dict[str, torch.Tensor]:
    """The network with outputs in this order; -1 is a class that the data set lacks."""
    state, head = (
        net.state_dict(),
        [key for key, value in net.state_dict().items() if value.shape[:1] == (len(CLASSES),)],
    )
    assert len(head) == 2
    return state | {
        key: torch.stack([state[key][i] if i >= 0 else torch.zeros_like(state[key][0]) - 9 for i in order])
        for key in head
    }


SIX = ["ant", "cup", "lamp", "moon", "pen", "zoo"]


@pytest.mark.parametrize(
    ("names", "order", "described", "warning"),
    [
        (list(CLASSES), [0, 1, 2], {}, ""),
        (["Cup", "lamp, torch", "PEN"], [0, 1, 2], {}, ""),
        (["LABEL_0", "LABEL_1", "LABEL_2"], [0, 1, 2], {}, ""),
        (SIX, [-1, 0, 1, -1, 2, -1], {"teacher_classes": [1, 2, 4]}, ""),
        (
            SIX, [-1, 0, 1, -1, 2, -1], {"teacher_classes": [1, 4, 2]},
            "the file has the classes in another order; write teacher_classes: [1, 2, 4]",
        ),
        (
            SIX, [-1, 0, 1, -1, 2, -1], {"teacher_classes": [1, 2, 3]},
            "the file has the classes in another order; write teacher_classes: [1, 2, 4]",
        ),
        (
            ["pen", "cup", "lamp"], [2, 0, 1], {},
            "the file has the classes in another order; write classes: [pen, cup, lamp]",
        ),
        (["cup", "lamp", "pen"], [2, 0, 1], {"classes": ["pen", "cup", "lamp"]},
            "the file has the classes in another order; write classes: [cup, lamp, pen]"),
        (["cat", "dog", "cow"], [0, 1, 2], {}, "the file has other classes, cat, dog, cow; those of "),
        (["cup", "dog", "pen"], [0, 1, 2], {}, "by the names in the file 'dog' is used as 'lamp'; check classes: in"),
    ],
    ids=lambda value: str(value)[:30],
)  # fmt: skip
def test_the_classes_that_the_file_names_are_compared(
    names: list[str], order: list[int], described: dict[str, Any], warning: str,
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    torch.save({"state_dict": rows(net, order), "classes": names}, tmp_path / "teacher.pt")
    lines = said(plan_of(shop, tmp_path / "teacher.pt", described), tmp_path / "runs", capsys)
    warnings = [line for line in lines if line.startswith("warning: ") and " the file " in line]
    assert bool(warnings) == bool(warning)
    assert not warning or warnings[0].startswith(f"warning: {warning}")


def test_names_are_compared_as_they_are_written(shop: Path, net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for name, folder in zip(("A", "a", "#a"), sorted((shop / "images").iterdir()), strict=True):
        (tmp_path / "images" / name).symlink_to(folder)
    torch.save({"state_dict": net.state_dict(), "classes": ["a", "A", "#a"]}, tmp_path / "teacher.pt")
    warning = 'the file has the classes in another order; write classes: [a, A, "#a"]'
    assert name_warnings(plan_of(tmp_path, tmp_path / "teacher.pt")) == [warning]


@pytest.mark.parametrize(
    ("outputs", "described", "line"),
    [
        ([2, 0, 1], {}, "classes: [pen, cup, lamp]"),
        ([-1, 2, 0, 1], {"teacher_classes": [1, 2, 3]}, "teacher_classes: [2, 3, 1]"),
    ],
)
def test_an_order_that_no_name_tells_is_read_off_the_answers(
    outputs: list[int], described: dict[str, Any], line: str,
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    torch.save(rows(net, outputs), tmp_path / "teacher.pt")
    *_, last = said(plan_of(shop, tmp_path / "teacher.pt", described), tmp_path / "runs", capsys)
    assert last == f"warning: with the order of the classes that its answers have, {line}, it has 100.0 %"
    key, _, listed = line.partition(": ")
    own = {key: yaml.safe_load(listed)}
    (only,) = [x for x in said(plan_of(shop, tmp_path / "teacher.pt", own), tmp_path, capsys) if "chance" in x]
    assert ": 100.0 % of " in only


def test_the_order_of_indices_in_a_list_is_given_by_the_teachers_outputs(
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (f"{file},{CLASSES.index(file.parent.name)}\n" for file in sorted(shop.glob("images/*/*")))
    (tmp_path / "list.csv").write_text("path,label\n" + "".join(lines))
    torch.save(rows(net, [2, 0, 1]), tmp_path / "teacher.pt")
    described = {"domains": {"shop": "list.csv"}, "classes": list(CLASSES)}
    *_, last = said(plan_of(shop, tmp_path / "teacher.pt", described), tmp_path / "runs", capsys)
    assert last.endswith("its answers have, teacher_classes: [1, 2, 0], it has 100.0 %")
    own = {**described, "teacher_classes": [1, 2, 0]}
    (only,) = [x for x in said(plan_of(shop, tmp_path / "teacher.pt", own), tmp_path, capsys) if "chance" in x]
    assert ": 100.0 % of " in only


def test_a_run_that_is_read_back_says_it_again_and_measures_nothing(
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(rows(net, [2, 0, 1]), tmp_path / "teacher.pt")
    plan = plan_of(shop, tmp_path / "teacher.pt")
    first = said(plan, tmp_path / "runs", capsys)
    assert any("near chance" in line for line in first)
    monkeypatch.setattr(teacher_check, "predict", None)
    assert said(plan, tmp_path / "runs", capsys) == first
    copy = tmp_path / "copy" / "teacher.pt"
    copy.parent.mkdir()
    copied = plan_of(shop, shutil.copy(tmp_path / "teacher.pt", copy))
    there = [line.replace("/teacher.pt", "/copy/teacher.pt") for line in first]
    assert said(copied, tmp_path / "runs", capsys) == there
    (copy.parent / "labels.txt").write_text("pen\ncup\nlamp\n")
    beside = "warning: labels.txt beside it has the classes in another order; if it is of this teacher, write classes: "
    assert f"{beside}[pen, cup, lamp]" in said(copied, tmp_path / "runs", capsys)


def test_a_teacher_that_answers_one_class_alone_is_a_warning(
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, keep in (("cup", 40), ("lamp", 8), ("pen", 8)):
        (tmp_path / "images" / name).mkdir(parents=True)
        for file in sorted((shop / "images" / name).iterdir())[:keep]:
            shutil.copy(file, tmp_path / "images" / name)
    state = {key: torch.zeros_like(value) for key, value in rows(net, [0, 1, 2]).items()}
    torch.save(state, tmp_path / "teacher.pt")
    assert "warning: its answer is 'cup' for all, so it tells no classes apart" in said(
        plan_of(tmp_path, tmp_path / "teacher.pt"), tmp_path / "runs", capsys
    )


@pytest.mark.parametrize(("track", "doubt"), [("label-free", ", which on 8 images may be chance"), ("labelled", "")])
def test_few_validation_images_are_looked_at_with_the_labelled_ones_or_with_doubt(
    track: str, doubt: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = photographs(tmp_path / "images", (70, 70), 25)
    torch.save(teacher_of(files, PIPELINE).state_dict(), tmp_path / "teacher.pt")
    plan = plan_of(tmp_path, tmp_path / "teacher.pt", mean=0.42, method="kd", track=track)
    teacher_check.report(plan, loaded(plan, tmp_path / "runs", CPU, quiet), CPU)
    lines = [line.removeprefix("okdbench: teacher ") for line in capsys.readouterr().err.splitlines()]
    better = "warning: with --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225 it has 100.0 %"
    assert f"{better}{doubt}" in lines


@pytest.mark.parametrize(
    "entry",
    [
        {"classes": ["background", *CLASSES]},
        {"labels": f"background, {', '.join(CLASSES)}"},
        {"label2id": {"background": 0, "Cup": 1, "Lamp": 2, "Pen": 3}},
    ],
    ids=str,
)
def test_a_background_beside_the_classes_is_refused_with_the_rows_by_name(
    entry: dict[str, Any], shop: Path, net: nn.Module, tmp_path: Path
) -> None:
    torch.save({"state_dict": rows(net, [-1, 0, 1, 2]), **entry}, tmp_path / "teacher.pt")
    cure = "the file has 4 classes, the data set 3; .* by the names in the file teacher_classes: \\[1, 2, 3\\]$"
    with pytest.raises(UserError, match=cure):
        check(plan_of(shop, tmp_path / "teacher.pt"))
    check(plan_of(shop, tmp_path / "teacher.pt", {"teacher_classes": [1, 2, 3]}))
    torch.save(rows(net, [-1, 0, 1, 2]), tmp_path / "silent.pt")
    with pytest.raises(UserError, match=r"name their rows with teacher_classes in the file of the data set$"):
        check(plan_of(shop, tmp_path / "silent.pt"))


def test_classes_that_the_file_lacks_are_named(shop: Path, net: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for folder in (shop / "images").iterdir():
        (tmp_path / "images" / folder.name).symlink_to(folder)
    shutil.copytree(shop / "images" / "pen", tmp_path / "images" / "shelf")
    torch.save({"state_dict": net.state_dict(), "classes": CLASSES}, tmp_path / "teacher.pt")
    few = (
        "the data set 4; leave those that it lacks out, with ignore: in the file of the data set "
        "(a list that counts classes from 1 has one too many: count from 0)"
    )
    named = "; by the names in the file ignore: [shelf]"
    assert refusal(check, plan_of(tmp_path, tmp_path / "teacher.pt")).endswith(few + named)
    torch.save(net.state_dict(), tmp_path / "silent.pt")
    assert refusal(check, plan_of(tmp_path, tmp_path / "silent.pt")).endswith(few)
    many = {"state_dict": rows(net, [-1, 0, 1, 2, -1]), "classes": ["unknown", *CLASSES, "vase"]}
    torch.save(many, tmp_path / "many.pt")
    assert refusal(check, plan_of(tmp_path, tmp_path / "many.pt")).endswith(named)
    ignored = {"ignore": ["shelf"]}
    check(plan_of(tmp_path, tmp_path / "teacher.pt", ignored))
    message = refusal(check, plan_of(tmp_path, tmp_path / "many.pt", ignored))
    assert message.endswith("by the names in the file teacher_classes: [1, 2, 3]")


def test_classes_that_differ_in_capitals_are_named_where_their_number_is_wrong(
    shop: Path, net: nn.Module, tmp_path: Path
) -> None:
    shutil.copytree(shop / "images", tmp_path / "images")
    (tmp_path / "images" / "pen").rename(tmp_path / "images" / "moved")
    torch.save(net.state_dict(), tmp_path / "teacher.pt")
    for name, number in (("pen", 0), ("Pen", 20)):
        for file in sorted((tmp_path / "images" / "moved").iterdir())[number : number + 20]:
            (tmp_path / "images" / name).mkdir(exist_ok=True)
            shutil.copy(file, tmp_path / "images" / name)
    shutil.rmtree(tmp_path / "images" / "moved")
    message = refusal(check, plan_of(tmp_path, tmp_path / "teacher.pt"))
    assert message.endswith("; if Pen and pen are one class, name it alike everywhere")


@pytest.mark.parametrize("named", [False, True])
def test_classes_that_only_one_part_has_are_named_where_their_number_is_wrong(
    named: bool, shop: Path, net: nn.Module, tmp_path: Path
) -> None:
    """Because to leave one of them out may leave a class out of the test."""
    for part in ("train", "test"):
        shutil.copytree(shop / "images", tmp_path / "images" / part)
    (tmp_path / "images" / "test" / "pen").rename(tmp_path / "images" / "test" / "pens")
    torch.save({"state_dict": net.state_dict(), **({"classes": CLASSES} if named else {})}, tmp_path / "teacher.pt")
    message = refusal(check, plan_of(tmp_path, tmp_path / "teacher.pt"))
    assert message.endswith(
        "; shop has pen in train alone and pens in test alone; if they are one class, name it alike everywhere"
    )
