"""The filter that a teacher's file names is used, and steps that no option expresses are named."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
import yaml
from PIL import Image
from support.plain_teachers import NETWORK, teacher_of
from support.stated_forms import MEAN, MM_TEST, NO_OPTION, OPENCV, PREPROCESSOR, PRINTED, STD, TEN, note_on, trained
from support.teacher_plans import CPU, IMAGENET, TIMM, accuracy, checkpoint, plan_of, shop
from torchvision import transforms
from torchvision.transforms import InterpolationMode, v2

from okdbench.training import teacher_check
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded

PIL_RESIZE, TENSOR_RESIZE = transforms.Resize((32, 32), InterpolationMode.BICUBIC), v2.Resize((32, 32), antialias=False)


@pytest.mark.parametrize(
    ("entries", "filter_"),
    [
        ({"interpolation": "bicubic"}, "bicubic"),
        ({"args": argparse.Namespace(**{**TIMM, "interpolation": "Lanczos"})}, "lanczos"),
        ({"preprocessor_config": {"do_resize": True, "resample": 3}}, "bicubic"),
        ({"interpolation": "bilinear"}, "bilinear"),
        ({"interpolation": ""}, "bilinear"),
        ({"transform": transforms.Compose([PIL_RESIZE])}, "bicubic"),
        ({"transform": str(transforms.Compose([PIL_RESIZE]))}, "bicubic"),
        ({"transform": v2.Compose([v2.ToImage(), TENSOR_RESIZE])}, "cv2"),
        ({"transform": str(v2.Compose([v2.ToImage(), TENSOR_RESIZE]))}, "cv2"),
        ({"transform": {"transform": {"transforms": [OPENCV]}}}, "cv2"),
        ({"transform": "Compose([Resize(p=1.0, height=32, width=32, interpolation=1)])"}, "cv2"),
        ({"meta": {"cfg": f"{PREPROCESSOR}\n{MM_TEST.replace('pillow', 'cv2')}"}}, "cv2"),
        ({"meta": {"cfg": f"{PREPROCESSOR}\n{MM_TEST}"}}, "bilinear"),
    ],
    ids=str,
)
def test_the_filter_that_the_file_names_is_used(
    entries: dict[str, Any], filter_: str, photos: Path, tmp_path: Path
) -> None:
    checkpoint(**entries)(timm.create_model(NETWORK, num_classes=3), tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert plan.dataset.interpolation == filter_
    assert (f", {filter_}" in f", {plan.format_note.removeprefix('says ')}") == (filter_ != "bilinear")
    assert plan_of(photos, tmp_path / "teacher.pth", interpolation="box").dataset.interpolation == "box"


@pytest.mark.parametrize(
    "entries", [{"interpolation": "spline"}, {"transform": {"transforms": [OPENCV | {"interpolation": 2}]}}]
)
def test_a_filter_that_is_not_here_is_named(entries: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    note = note_on(entries, photos, tmp_path)
    assert "not understood: its interpolation; say it with --interpolation;" in note


def test_a_teacher_that_saw_four_pixels_gets_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rough = shop(tmp_path, (150, 110))
    for file in tmp_path.glob("images/*/*"):
        noise = np.random.default_rng(len(file.read_bytes())).integers(0, 200, (110, 150, 3), np.uint8)
        Image.fromarray(np.asarray(Image.open(file)) // 5 + noise).save(file)
    steps = [v2.PILToTensor(), TENSOR_RESIZE, v2.ToDtype(torch.float32, scale=True), v2.Normalize(**IMAGENET)]
    net = teacher_of(sorted(tmp_path.glob("images/*/*")), v2.Compose(steps))
    checkpoint(transform=v2.Compose(steps))(net, tmp_path / "teacher.pth")
    torch.save(net.state_dict(), tmp_path / "silent.pth")
    assert accuracy(plan_of(rough, tmp_path / "teacher.pth")) == 100
    silent = plan_of(rough, tmp_path / "silent.pth")
    assert accuracy(silent) < 75
    teacher_check.report(silent, loaded(silent, Path("unused"), CPU, quiet), CPU)
    assert "with --interpolation cv2 it has 100.0 %" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mean", "std", "entries", "says"),
    [
        (0.5, 0.5, {"preprocess": {"input_range": [-1, 1], "input_size": 32}}, "mean 0.5, std 0.5"),
        (0.5, 0.5, {"config": {"preprocessing": "tf"}}, "mean 0.5, std 0.5"),
        (0.5, 0.5, {"config": {"rescale": "1/127.5", "offset": -1}}, "mean 0.5, std 0.5"),
        (0.25, 0.25, {"rescale": 4 / 255, "offset": -1.0}, "mean 0.25, std 0.25"),
        (0.5, 0.5, {"normalization": "inception"}, "mean 0.5, std 0.5"),
        (0.5, 0.5, {"config": {"normalize": "IMAGENET_INCEPTION"}}, "mean 0.5, std 0.5"),
        (0.5, 0.5, {"args": argparse.Namespace(imagenet_default_mean_and_std=False)}, "mean 0.5, std 0.5"),
        (0.5, 0.5, {"config": {"pixel_range": (-1, 1)}, "mean": [0.5] * 3, "std": [0.5] * 3}, "mean 0.5, std 0.5"),
        (0, 1, {"config": {"normalize": False}}, "says mean 0, std 1; by default"),
        (0, 1, {"config": {"input_range": [0, 1]}}, "says mean 0, std 1; by default"),
        (0, 1, {"args": {"input_range": "[0, 1]", "normalize_images": "False"}}, "says mean 0, std 1; by default"),
        (0, 1 / 255, {"normalize": False, "scale": False}, "says mean 0, std 1, values from 0 to 255; by default"),
        (0, 1 / 255, {"normalise": False, "input_range": [0, 255]}, "says mean 0, std 1, values from 0 to 255; by"),
        (0, 1 / 255, {"transform": v2.Compose([v2.Resize((32, 32)), v2.ToDtype(torch.float32, scale=False)])},
         "32 px, mean 0, std 1, stretch, values from 0 to 255"),
        (0, 1 / 255, {"transform": str(v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=False)]))},
         "mean 0, std 1, values from 0 to 255"),
    ],
    ids=str,
)  # fmt: skip
def test_a_range_and_a_word_are_read_as_statistics(
    mean: float, std: float, entries: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    checkpoint(**entries)(trained(photos.parent, [mean] * 3, [std] * 3), tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert says in plan.format_note
    assert "not understood" not in plan.format_note
    assert accuracy(plan) == 100


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"config": {"normalize": "clip"}}, "says mean 0.481455,0.457827,0.408211, std 0.26863,0.261303,0.275777;"),
        ({"preprocessing": "openai_clip"}, "says mean 0.481455,0.457827,0.408211, std 0.26863,0.261303,0.275777;"),
        ({"normalize": "imagenet_default"}, "says mean 0.485,0.456,0.406, std 0.229,0.224,0.225;"),
        ({"args": argparse.Namespace(imagenet_default_mean_and_std=True)},
         "says mean 0.485,0.456,0.406, std 0.229,0.224,0.225;"),
        ({"args": {"imagenet_default_mean_and_std": "false"}}, "says mean 0.5, std 0.5;"),
        ({"args": argparse.Namespace(imagenet_default_mean_and_std=False), "mean": MEAN, "std": STD},
         "says mean 0.2, std 0.35;"),
    ],
    ids=str,
)  # fmt: skip
def test_the_constants_of_timm_are_read_by_their_names(
    entries: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    assert note_on(entries, photos, tmp_path).startswith(says)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        # A mean and a standard deviation anywhere in the file win.
        ({"config": {"mean": MEAN, "std": STD}, "normalize": False, "scale": False}, "says mean 0.2, std 0.35;"),
        ({"input_range": [0, 1], "mean": MEAN, "std": STD}, "says mean 0.2, std 0.35;"),
        ({"input_range": [0, 1], "config": {"normalize": "imagenet"}}, "says mean 0.485,0.456,0.406,"),
        ({"mean": "shop", "normalize": False}, "not understood: its mean; say it with --mean;"),
        # Of a part of a network, or of what is not known.
        ({"loss": {"normalize": False}}, "does not say how its images are made;"),
        ({"normalize": True, "input_range": [0, 1]}, "does not say how its images are made;"),
        ({"normalization": False}, "does not say how its images are made;"),
        ({"input_range": [0, 1], "normalize": "zca"}, "not understood: its normalize=zca;"),
    ],
    ids=str,
)  # fmt: skip
def test_images_are_taken_for_unnormalised_only_where_nothing_else_is_said(
    entries: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    assert note_on(entries, photos, tmp_path).startswith(says)


@pytest.mark.parametrize(
    "entries",
    [
        {"input_range": [-1, 1], "mean": MEAN, "std": STD},
        {"config": {"input_range": [-1, 1]}, "mean": MEAN, "std": STD},
        {"config": {"input_range": (-1, 1), "mean": MEAN, "std": STD}},
    ],
    ids=str,
)
def test_a_range_that_other_statistics_follow_is_named_with_the_cure(
    entries: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    note = note_on(entries, photos, tmp_path)
    cure = "not understood: its input_range=[-1, 1] beside mean and std; say it with --mean and --std;"
    assert note.startswith(f"says mean 0.2, std 0.35; {cure}")


PER_IMAGE = {"__class_fullname__": "Normalize", "p": 1.0, "mean": MEAN, "std": STD, "normalization": "image"}
INVERTED = [transforms.Resize((32, 32)), transforms.RandomInvert(p=1.0), *TEN]


@pytest.mark.parametrize(
    ("entries", "named"),
    [
        ({"transform": {"__class_fullname__": "Compose", "transforms": [PER_IMAGE]}}, "normalization=image"),
        ({"transform": "Compose([\n  Normalize(p=1.0, mean=(0.2,), std=(1,), normalization='min_max'),\n])"},
         "normalization=min_max"),
        ({"config": {"normalize": "per_image"}}, "normalize=per_image"),
        ({"data": {"per_image_standardization": True}}, "per_image_standardization=True"),
        ({"config": {"color_space": "HSV"}}, "color_space=HSV"),
        ({"transform": transforms.Compose(INVERTED)}, "RandomInvert"),
        ({"transform": str(transforms.Compose(INVERTED))}, "RandomInvert"),
        ({"transform": PRINTED.replace("(Gray", "(RandomInvert(p=1) Gray")}, "RandomInvert"),
        ({"transform": transforms.Compose([transforms.Compose(INVERTED)])}, "RandomInvert"),
        ({"transform": v2.Compose([v2.RandomHorizontalFlip(), v2.ColorJitter(), v2.RandomAutocontrast(1.0), *TEN])},
         "RandomAutocontrast"),
        ({"transform": transforms.Compose([transforms.Lambda(id), *TEN])}, "Lambda"),
    ],
    ids=str,
)  # fmt: skip
def test_what_no_option_expresses_is_named(entries: dict[str, Any], named: str, photos: Path, tmp_path: Path) -> None:
    note = note_on(entries, photos, tmp_path)
    assert f"not understood: its {named}; {NO_OPTION}" in note
    assert "normalization=" not in named or "by default 32 px, mean 0.485" in note


@pytest.mark.parametrize(
    "entries",
    [
        {"model": {"normalization": "batch_norm", "norm": "layer"}, "normalize": True, "color_space": "rgb"},
        {"transform": str(v2.Compose([v2.RandomResizedCrop(32), v2.RandomErasing(), v2.TrivialAugmentWide(), *TEN]))},
        {"code": "model = Net(Lambda(3), Strange(4))"},
    ],
    ids=str,
)
def test_what_changes_no_image_of_a_test_is_not_named(entries: Any, photos: Path, tmp_path: Path) -> None:
    assert "not understood" not in note_on(entries, photos, tmp_path)


def test_what_train_py_of_timm_was_called_with_is_read_beside_the_file(photos: Path, tmp_path: Path) -> None:
    torch.save(trained(photos.parent, MEAN, STD).state_dict(), tmp_path / "clean.pth")
    called = {"model": NETWORK, "img_size": 32, "input_size": None, "crop_pct": 1.0, "mean": MEAN, "std": STD}
    (tmp_path / "args.yaml").write_text(yaml.safe_dump(called))
    plan = plan_of(photos, tmp_path / "clean.pth")
    assert plan.format_note.startswith("says 32 px, mean 0.2, std 0.35")
    assert accuracy(plan) == 100
    (tmp_path / "args.yaml").write_text(yaml.safe_dump({**called, "model": "resnet18"}))
    assert plan_of(photos, tmp_path / "clean.pth").format_note.startswith("does not say")


def test_what_is_assumed_of_images_is_said_again_where_the_accuracy_is_low(photos: Path, tmp_path: Path) -> None:
    torch.save(trained(photos.parent, [0.9, 0.1, 0.9], [0.1, 0.9, 0.1]).state_dict(), tmp_path / "bare.pth")
    plan = plan_of(photos, tmp_path / "bare.pth")
    lines = list(teacher_check._measured(plan, loaded(plan, Path("unused"), CPU, quiet), CPU))
    assert not any("warning: with" in line for line in lines)
    assert lines[-1].startswith("if it should know them better, say what its training had in place of the defaults, ")
    assert "mean 0.485,0.456,0.406" in lines[-1]


@pytest.mark.parametrize("name", ["hparams.yaml", "config.yaml", "train_config.json"])
def test_a_file_of_settings_beside_the_weights_is_read(name: str, photos: Path, tmp_path: Path) -> None:
    torch.save(trained(photos.parent, MEAN, STD).state_dict(), tmp_path / "bare.pth")
    content = {"data": {"mean": MEAN, "std": STD}, "lr": 0.1}
    (tmp_path / name).write_text(json.dumps(content) if name.endswith("json") else yaml.safe_dump(content))
    plan = plan_of(photos, tmp_path / "bare.pth")
    assert plan.format_note.startswith("says mean 0.2, std 0.35")
    assert accuracy(plan) == 100
    (tmp_path / name).write_text(json.dumps({**content, "model": "resnet50"}))
    assert plan_of(photos, tmp_path / "bare.pth").format_note.startswith("does not say"), "it is of another network"


def test_settings_beside_a_checkpoint_do_not_win_over_its_own_transforms(photos: Path, tmp_path: Path) -> None:
    pipeline = v2.Compose([v2.Resize((48, 48)), v2.ToTensor(), v2.Normalize(MEAN, STD)])
    checkpoint(test_transform=pipeline)(timm.create_model(NETWORK, num_classes=3), tmp_path / "teacher.pth")
    tagged = "image_size: 224\nmean: !!python/tuple [0.1, 0.1, 0.1]\nstd: !!python/tuple [0.2, 0.2, 0.2]\n"
    (tmp_path / "hparams.yaml").write_text(tagged)
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith("says 48 px, mean 0.2, std 0.35, stretch")
    torch.save(timm.create_model(NETWORK, num_classes=3).state_dict(), tmp_path / "bare.pth")
    assert plan_of(photos, tmp_path / "bare.pth").format_note.startswith("says 224 px, mean 0.1, std 0.2")
