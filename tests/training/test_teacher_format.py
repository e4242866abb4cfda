"""A teacher gets its images as in its own training: from its file, unless the user says another."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import timm
import torch
import yaml
from PIL import ExifTags, Image
from safetensors.torch import save_file
from support.plain_teachers import NETWORK, Pipeline, photographs, teacher_of
from support.teacher_plans import CPU, HALF, IMAGENET, TIMM, accuracy, checkpoint, described, plan_of, shop, squares
from timm.data import create_transform
from torch import nn
from torchvision.transforms import v2

from okdbench.core.errors import UserError
from okdbench.results.grouping import groups_of
from okdbench.training import teacher_check
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student_lookup import load
from okdbench.training.teacher import teacher_of as loaded

Net = nn.Module
Save = Callable[[Net, Path], None]


def raw(image: Image.Image) -> torch.Tensor:
    return 255 * squares(64)(image)


def caffe(image: Image.Image) -> torch.Tensor:
    return raw(image).flip(0) - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)


def centre(image: Image.Image) -> torch.Tensor:
    cut = v2.Compose([v2.Resize(64), v2.CenterCrop(64)])
    return squares(64, **IMAGENET)(cut(image))


def of_timm(size: int, crop_pct: float, statistics: dict[str, Any] = IMAGENET) -> Pipeline:
    made: Pipeline = create_transform((3, size, size), crop_pct=crop_pct, interpolation="bilinear", **statistics)
    return made


def with_metadata(**texts: str) -> Save:
    return lambda net, file: save_file(net.state_dict(), file, texts)


def beside(name: str, content: dict[str, Any]) -> Save:
    def save(net: Net, file: Path) -> None:
        torch.save(net.state_dict(), file)
        (file.parent / name).write_text(json.dumps(content))

    return save


def with_layer(net: Net, file: Path) -> None:
    """As of nn.Sequential(Normalize(), net), whose first layer has buffers."""
    state = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    torch.save({**state, "normalize.mean": torch.full((1, 3, 1, 1), 0.5), "normalize.std": torch.full((3,), 0.5)}, file)


class Case(NamedTuple):
    """How a teacher was trained, how its file was saved, what okdbench says of it, and the options for the same."""

    pipeline: Pipeline
    save: Save
    says: str
    options: dict[str, Any]
    photo: tuple[int, int] = (150, 110)


CASES = {
    "128 px": Case(
        squares(128, **IMAGENET), checkpoint(args=argparse.Namespace(img_size=128, lr=0.1, out=Path("x"))),
        "says 128 px;", {"image_size": 128},
    ),
    "half": Case(
        squares(64, **HALF), with_metadata(format="pt", image_size="64", mean="[0.5, 0.5, 0.5]", std="0.5 0.5 0.5"),
        "says 64 px, mean 0.5, std 0.5;", {"image_size": 64, "mean": "0.5", "std": "0.5"},
    ),
    "none": Case(
        squares(64), checkpoint(data_config={"input_size": (3, 64, 64), "mean": (0.0,) * 3, "std": (1.0,) * 3}),
        "says 64 px, mean 0, std 1;", {"image_size": 64, "mean": "0", "std": "1"},
    ),
    "0 to 255": Case(
        raw, checkpoint(input_size=[3, 64, 64], input_range=[0, 255], mean=[0, 0, 0], std=[1, 1, 1]),
        "says 64 px, mean 0, std 1, values from 0 to 255;", {"image_size": 64, "value_range": 255},
    ),
    "caffe": Case(
        caffe, checkpoint(hparams={"input_space": "BGR", "mean": [103.939, 116.779, 123.68], "image_size": 64}),
        "says 64 px, mean 103.939,116.779,123.68, std 1, BGR, values from 0 to 255;",
        {"image_size": 64, "value_range": "255", "channel_order": "bgr", "mean": "103.939,116.779,123.68"},
    ),
    "crop": Case(
        centre,
        beside("config.json", {"architecture": NETWORK, "pretrained_cfg": {
            "input_size": [3, 64, 64], "crop_pct": 1.0, "crop_mode": "center", **IMAGENET}}),
        "says 64 px, mean 0.485,0.456,0.406, std 0.229,0.224,0.225, crop;",
        {"image_size": 64, "resize": "crop"}, (192, 64),
    ),
    "timm": Case(
        of_timm(64, 0.875, HALF),
        checkpoint(arch=NETWORK, args=argparse.Namespace(**{
            **TIMM, "img_size": 64, "crop_pct": 0.875, "interpolation": "bilinear", **HALF})),
        "says 64 px, mean 0.5, std 0.5, crop:0.875;",
        {"image_size": 64, "resize": "crop:0.875", "mean": "0.5", "std": "0.5"}, (192, 64),
    ),
    "torchvision": Case(
        of_timm(64, 0.8), checkpoint(args=argparse.Namespace(val_resize_size=80, val_crop_size=64)),
        "says 64 px, crop:0.8;", {"image_size": 64, "resize": "crop:0.8"}, (90, 192),
    ),
    "hugging face": Case(
        of_timm(64, 0.8, HALF),
        beside("preprocessor_config.json", {
            "do_resize": True, "size": {"shortest_edge": 80}, "do_center_crop": True,
            "crop_size": {"height": 64, "width": 64}, "do_rescale": True, "rescale_factor": 1 / 255,
            "do_normalize": True, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}),
        "says 64 px, mean 0.5, std 0.5, crop:0.8;",
        {"image_size": 64, "resize": "crop:0.8", "mean": "0.5", "std": "0.5"}, (192, 64),
    ),
    "layer": Case(
        squares(32, **HALF), with_layer, "says mean 0.5, std 0.5; by default 32 px, stretch, RGB",
        {"mean": "0.5", "std": "0.5"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_file_says_how_its_images_are_made(case: Case, tmp_path: Path) -> None:
    description = shop(tmp_path, case.photo)
    net = teacher_of(sorted(tmp_path.glob("images/*/*")), case.pipeline)
    (weights := tmp_path / "weights" / "teacher.pth").parent.mkdir()
    case.save(net, weights)
    plan = plan_of(description, weights)
    assert case.says in f"{plan.format_note};"
    assert accuracy(plan) == 100
    # the same, as the user would say it of a file that says nothing
    torch.save(net.state_dict(), silent := tmp_path / "silent.pth")
    said = plan_of(description, silent, **case.options)
    assert accuracy(said) == 100
    assert said.format_note.startswith("does not say how its images are made; ") or not said.format_note
    assert accuracy(plan_of(description, silent)) < 75
    # the command of the run repeats it, whatever the file says
    assert plan_of(description, weights, **options_of(plan)).key == plan.key


def options_of(plan: Plan) -> dict[str, Any]:
    """What the command of a plan says of the format."""
    names = ("image_size", "mean", "std", "channel_order", "resize")
    given = {name: re.search(f"--{name.replace('_', '-')} (\\S+)", plan.command) for name in names}
    texts = {name: found[1] for name, found in given.items() if found}
    return {**texts, "image_size": int(texts["image_size"])}


@pytest.fixture(scope="module")
def half(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A data set, and a teacher whose file says 64 px and 0.5/0.5."""
    folder = tmp_path_factory.mktemp("half")
    description = shop(folder, (70, 70))
    net = teacher_of(sorted(folder.glob("images/*/*")), squares(64, **HALF))
    CASES["half"].save(net, folder / "teacher.safetensors")
    return description, folder / "teacher.safetensors"


def test_the_data_sets_file_wins_over_the_teachers_and_the_command_line_over_both(half: tuple[Path, Path]) -> None:
    folder, weights = half[0].parent, half[1]
    plain = plan_of(half[0], weights)
    said = {"mean": 0.4, "image_size": 96, "resize": "pad", "channel_order": "bgr"}
    own = plan_of(described(folder, "own", **said), weights)
    assert (own.dataset.mean, own.dataset.std, own.config.image_size) == ((0.4,) * 3, (0.5,) * 3, 96)
    assert (own.dataset.resize, own.dataset.channel_order) == ("pad", "bgr")
    assert own.format_note == ("says 64 px, mean 0.5, std 0.5; you say 96 px, mean 0.4, which is used")
    last = plan_of(half[0], weights, mean="0.3", image_size=32, std="0.229,0.224,0.225", channel_order="rgb")
    assert (last.dataset.mean, last.dataset.std, last.config.image_size) == ((0.3,) * 3, IMAGENET["std"], 32)
    # they are the usual ones of okdbench, and written because the file says others
    assert "--image-size 32" in last.command
    assert "--std 0.229,0.224,0.225" in last.command
    assert len({plain.key, own.key, last.key}) == 3


def test_the_statistics_of_a_data_set_give_way_to_the_files_and_that_is_said(data_root: Path, tmp_path: Path) -> None:
    net = make_plan({"method": "kd", "dataset": "digits", "setting": "P-O", "budget": "smoke"}, data_root=data_root)
    from okdbench.distill.networks.classifiers import build_classifier

    lenet = build_classifier(net.config.teacher, 10, 32, channels=1)
    torch.save({"net": lenet.state_dict(), "mean": 0.5, "std": 0.5}, tmp_path / "said.pth")
    torch.save({"net": lenet.state_dict()}, tmp_path / "silent.pth")
    said, silent = (
        make_plan({"method": "kd", "dataset": "digits", "setting": "P-O", "budget": "smoke",
                   "teacher_weights": str(tmp_path / f"{name}.pth")}, data_root=data_root)
        for name in ("said", "silent")
    )  # fmt: skip
    assert (said.dataset.mean, silent.dataset.mean, said.dataset.std) == ((0.5,), (0.111,), (0.5,))
    assert said.format_note == (
        "says mean 0.5, std 0.5; that is used, and not mean 0.111, std 0.28 of digits; by default 32 px, stretch"
    )
    assert silent.format_note == (
        "does not say how its images are made; by default 32 px, mean 0.111, std 0.28, stretch"
    )
    assert said.key != silent.key
    assert net.format_note == ""


def test_the_config_of_another_network_beside_the_file_is_not_its(half: tuple[Path, Path], tmp_path: Path) -> None:
    net = teacher_of(sorted(half[0].parent.glob("images/*/*")), squares(32, **IMAGENET))
    beside("config.json", {"architecture": "resnet50", "pretrained_cfg": {"mean": [0.1] * 3}})(net, tmp_path / "t.pth")
    assert plan_of(half[0], tmp_path / "t.pth").format_note.startswith("does not say")


def test_a_run_says_it_once_and_its_student_is_used_in_the_same_format(
    half: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description, weights = half
    plan = plan_of(description, weights, channel_order="bgr", resize="crop:0.9", interpolation="cv2")
    record = execute(plan, tmp_path / "runs", quiet)
    said = [line for line in capsys.readouterr().err.splitlines() if " says " in line]
    assert said == [f"okdbench: teacher {weights}: says 64 px, mean 0.5, std 0.5"]
    assert (record.mean, record.resize, record.channel_order) == ((0.5,) * 3, "crop:0.9", "bgr")
    assert "interpolation=cv2" in groups_of([record])[0].teacher
    card = load(plan.key, tmp_path / "runs").card
    assert (card.image_size, card.resize, card.interpolation) == (64, "crop:0.9", "cv2")
    assert (card.channel_order, card.mean) == ("bgr", (0.5,) * 3)
    # a student as a teacher: its card says all of it
    again = plan_of(description, tmp_path / "runs" / plan.key / "student.safetensors")
    assert again.format_note == "says 64 px, mean 0.5, std 0.5, crop:0.9, cv2, BGR"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("caffe", "with --channel-order bgr --value-range 255 --mean 103.939,116.779,123.68 --std 1 it has 100.0 %"),
        ("0 to 255", "with --value-range 255 --mean 0 --std 1 it has 100.0 %"),
        ("blue first", "with --channel-order bgr it has 100.0 %"),
        ("128 px", "with --image-size 128 it has 100.0 %"),
    ],
)
def test_of_a_file_that_says_nothing_the_options_are_found_and_not_applied(
    name: str, hint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = shop(tmp_path, (70, 70))
    pipelines = {"blue first": lambda image: squares(64, **IMAGENET)(Image.merge("RGB", image.split()[::-1]))}
    net = teacher_of(sorted(tmp_path.glob("images/*/*")), pipelines.get(name) or CASES[name].pipeline)
    torch.save(net.state_dict(), tmp_path / "silent.pth")
    plan = plan_of(description, tmp_path / "silent.pth", image_size=64)
    capsys.readouterr()
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert hint in capsys.readouterr().err
    assert plan.dataset.channel_order == "rgb"
    assert plan.dataset.mean == IMAGENET["mean"]


@pytest.mark.parametrize(
    ("name", "usual", "other"), [("resize", "stretch", "crop"), ("interpolation", "bilinear", "cv2")]
)
def test_square_images_keep_the_rule_that_was_asked_for(
    name: str, usual: str, other: str, half: tuple[Path, Path], tmp_path: Path
) -> None:
    description, weights = half
    plain, asked = plan_of(description, weights), plan_of(description, weights, **{name: other})
    own = {"domains": {"shop": str(description.parent / "images")}, name: other}
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(own))
    assert (plain.splits.digest == asked.splits.digest) == (name == "resize"), "the images are square"
    assert plain.key == plan_of(description, weights, **{name: usual}).key
    assert plain.key != asked.key == plan_of(tmp_path / "shop.yaml", weights).key
    for plan in (plain, asked):
        execute(plan, tmp_path, quiet)
    assert [getattr(load(plan.key, tmp_path).card, name) for plan in (plain, asked)] == [usual, other]


def test_a_size_of_the_file_that_a_method_does_not_take_names_the_file(half: tuple[Path, Path], tmp_path: Path) -> None:
    net = teacher_of(sorted(half[0].parent.glob("images/*/*")), squares(100))
    checkpoint(crop_size=100, resize_size=125, input_range=[0, 255], mean=0)(net, weights := tmp_path / "teacher.pth")
    assert plan_of(half[0], weights).dataset.resize == "crop:0.8"
    with pytest.raises(UserError, match=r"--image-size 96 or 112 \(.*teacher.pth says 100 px, mean 0, std 1, crop:0.8"):
        plan_of(half[0], weights, method="augkd")
    with pytest.raises(
        UserError, match=r"--value-range 1: .*teacher.pth says 0 to 255; add --mean and --std for 0 to 1"
    ):
        plan_of(half[0], weights, value_range=1)


def test_a_grey_image_has_no_order_of_channels(half: tuple[Path, Path]) -> None:
    with pytest.raises(UserError, match="--channel-order bgr: grey images have no order of channels"):
        plan_of(*half, channels=1, channel_order="bgr")


def test_a_teacher_of_stored_images_is_told_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    for file in (files := photographs(tmp_path / "images", (70, 70), 25)):
        Image.open(file).save(file, exif=exif)
    checkpoint(**HALF)(teacher_of(files, squares(32, **HALF)), tmp_path / "teacher.pt")
    plan = plan_of(described(tmp_path, "shop"), tmp_path / "teacher.pt")
    assert accuracy(plan) < 75
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert "warning: with exif_rotation: false in the file of the data set it has" in capsys.readouterr().err
    plan = plan_of(described(tmp_path, "stored", exif_rotation=False), tmp_path / "teacher.pt")
    assert accuracy(plan) > 95
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert "exif_rotation" not in capsys.readouterr().err


@pytest.mark.parametrize("option", ["teacher_weights", "student_weights", "teacher_init"])
@pytest.mark.parametrize("rule", [True, False])
def test_the_rotation_of_a_students_card_is_compared(
    option: str, rule: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shop(tmp_path, (70, 70))
    card = {"okdbench": json.dumps({"mean": [0.5], "std": [0.5], "exif_rotation": rule})}
    save_file(timm.create_model(NETWORK, num_classes=3).state_dict(), tmp_path / "student.safetensors", card)
    silent = tmp_path / "silent.pt"
    torch.save(timm.create_model(NETWORK, num_classes=3).state_dict(), silent)
    files = {"teacher_weights": None if option == "teacher_init" else str(silent), "setting": "S"}
    named = files | {option: str(tmp_path / "student.safetensors")}
    for own in (True, False):
        file = described(tmp_path, f"{own}".lower(), exif_rotation=own)
        teacher_check.report_files(plan_of(file, silent, **{**named, "method": "dafl"}))
        cure = f"write exif_rotation: {str(rule).lower()} into the file of the data set"
        assert capsys.readouterr().err.count(cure) == (own != rule)
