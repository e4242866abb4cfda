"""What a teacher's file says of its images is found in every form, or named as not understood with the cure."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from support.pickle_bomb import Bomb
from support.plain_teachers import NETWORK, teacher_of
from support.stated_forms import MEAN, MM_TEST, PREPROCESSOR, PRINTED, STD, TEN, trained
from support.teacher_plans import CPU, HALF, IMAGENET, accuracy, checkpoint, plan_of, squares
from torch import nn
from torchvision import transforms
from torchvision.transforms import v2

from okdbench.training import teacher_check
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded

ALBUMENTATIONS = {"__version__": "1.3.0", "transform": {"__class_fullname__": "Compose", "p": 1.0, "transforms": [
    {"__class_fullname__": "Resize", "height": 32, "width": 32},
    {"__class_fullname__": "Normalize", "p": 1.0, "mean": MEAN, "std": STD, "max_pixel_value": 255.0}]}}  # fmt: skip
OPENMMLAB = """model = dict(backbone=dict(type='ResNet', init_cfg=dict(type='TruncNormal', mean=0., std=0.02)))
img_norm_cfg = dict(
    mean=[51, 51, 51], std=[89.25, 89.25, 89.25], to_rgb=True)
train_pipeline = [dict(type='Normalize', **img_norm_cfg)]
"""


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"transforms": ALBUMENTATIONS}, "32 px, mean 0.2, std 0.35, stretch"),
        ({"transforms": json.dumps(ALBUMENTATIONS)}, "32 px, mean 0.2, std 0.35, stretch"),
        ({"opt": argparse.Namespace(dataset_mean="0.2,0.2,0.2", dataset_std="0.35,0.35,0.35")}, "mean 0.2, std 0.35"),
        ({"normalize": {"mean": torch.tensor(MEAN), "std": torch.tensor(STD)}}, "mean 0.2, std 0.35"),
        ({"dataset": {"mean": np.array(MEAN), "std": np.array(STD)}}, "mean 0.2, std 0.35"),
        ({"mean": np.float64(0.2), "std": np.float32(0.35)}, "mean 0.2, std 0.35"),
        ({"mean": [np.float64(0.2)] * 3, "std": tuple(torch.tensor(STD))}, "mean 0.2, std 0.35"),
        ({"transform": str(timm.data.create_transform((3, 32, 32), mean=tuple(MEAN), std=tuple(STD), crop_pct=1.0))},
         "32 px, mean 0.2, std 0.35, crop"),
        ({"config": {"data": {"class_path": "Shop", "init_args": {"mean": MEAN, "std": STD}}}}, "mean 0.2, std 0.35"),
        ({"stats": {"train": {"mean": MEAN, "std": STD}, "val": {"mean": STD, "std": MEAN}}}, "mean 0.2, std 0.35"),
        ({"scaler": {"mean_": MEAN, "scale_": STD, "var_": [0.35**2] * 3}}, "mean 0.2, std 0.35"),
        ({"mean": MEAN, "std": STD, "normalize": "cifar10"}, "mean 0.2, std 0.35"),
        *[({"mean": MEAN, "std": STD, "config": size}, "32 px, mean 0.2, std 0.35") for size in (
            {"input_shape": [32, 32, 3]}, {"input_shape": "(3, 32, 32)"}, {"target_size": (32, 32)}, {"imsize": 32},
            {"input_resolution": 32})],
        ({"stats": (MEAN, STD)}, "mean 0.2, std 0.35"),
        ({"cfg": {"norm": (torch.tensor(MEAN), torch.tensor(STD))}}, "mean 0.2, std 0.35"),
        ({"data_mean": [51.0] * 3, "data_std": [89.25] * 3}, "mean 51, std 89.25, values from 0 to 255"),
        ({"hparams": {"shop_mean": MEAN, "shop_std": STD, "loss_mean": 0.4, "loss_std": 0.1}}, "mean 0.2, std 0.35"),
        ({"cfg": {"INPUT": {"PIXEL_MEAN": MEAN, "PIXEL_STD": STD}}}, "mean 0.2, std 0.35"),
        ({"normalization": "mean=0.2,0.2,0.2;std=0.35,0.35,0.35"}, "mean 0.2, std 0.35"),
        ({"mean": MEAN, "variance": [0.1225] * 3}, "mean 0.2, std 0.35"),
        ({"preprocess": {"subtract": MEAN, "divide": STD}}, "mean 0.2, std 0.35"),
        ({"metadata": {"normalisation": {"mu": MEAN, "sd": STD}}}, "mean 0.2, std 0.35"),
        ({"preprocess": {"subtract": 51, "divide": 89.25}}, "mean 51, std 89.25, values from 0 to 255"),
        ({"pixel_mean": [51], "pixel_var": [89.25**2]}, "mean 51, std 89.25, values from 0 to 255"),
        ({"meta": {"config": OPENMMLAB}}, "mean 51, std 89.25, RGB, values from 0 to 255"),
        ({"cfg": {"pipeline": [{"type": "Normalize", "mean": MEAN, "std": STD, "to_rgb": True}]}},
         "mean 0.2, std 0.35, RGB"),
    ],
    ids=str,
)  # fmt: skip
def test_statistics_are_read_in_any_usual_form(
    entries: dict[str, Any], says: str, net: nn.Module, photos: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": net.state_dict(), **entries}, tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert f"{plan.format_note};".startswith(f"says {says};")
    assert "not understood" not in plan.format_note
    assert accuracy(plan) == 100


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"mean": MEAN}, "not understood: its mean without std; say it with --mean and --std;"),
        ({"std": STD}, "not understood: its std without mean; say it with --mean and --std;"),
        ({"std": [58.0] * 3}, "not understood: its std without mean; say it with --mean and --std;"),
        ({"mean": "shop", "std": STD}, "not understood: its mean and std; say it with --mean and --std;"),
        ({"meta": {"cfg": PREPROCESSOR.replace("[51, 51, 51]", "MEAN")}}, "not understood: its mean and std; say it"),
        ({"note": "mean:\n- 0.2\nstd:\n- 0.35"}, "not understood: its mean and std; say it with --mean and --std;"),
        ({"a_mean": MEAN, "a_std": STD, "b_mean": STD, "b_std": STD}, "not understood: its mean and std; say it"),
        ({"cfg": {"input": {"height": 32, "width": 64}}}, "not understood: its image_size; say it with --image-size;"),
        ({"preprocess": {"scale": 1 / 0.35, "shift": -0.2 / 0.35}},
         "not understood: its mean and std (preprocess); say it with --mean and --std;"),
        ({"cfg": {"input_normalization": {"white": 0.9}}, "data_transform": nn.ReLU},
         "not understood: its mean and std (input_normalization, data_transform); say it with --mean and --std;"),
        ({"normalize": "cifar10"}, "not understood: its mean and std (normalize=cifar10); say it with --mean"),
        ({"transform": "resize, then subtract 0.2"}, "not understood: its mean and std (transform); say it with"),
        ({"shift": [-0.57] * 3, "img_size": 32}, "says 32 px; not understood: its mean and std (shift); say it with"),
        ({"img_h": 32, "img_w": 64}, "not understood: its image_size; say it with --image-size;"),
        ({"cfg": "pipeline = [dict(type='Resize', scale=64), dict(mean=[51], std=[89])]"},
         "says mean 51, std 89, values from 0 to 255; not understood: its image_size; say it with --image-size;"),
    ],
    ids=str,
)  # fmt: skip
def test_half_of_a_normalisation_and_other_forms_are_named_with_the_cure(
    entries: dict[str, Any], says: str, net: nn.Module, photos: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": net.state_dict(), **entries}, tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert plan.format_note.startswith(says)
    assert "mean 0.485" in plan.format_note or says.startswith("says mean")


@pytest.mark.parametrize(
    "entries",
    [
        {"mu": 7, "shift": 0.1, "scale": [0.08, 1.0], "preprocessing_num_workers": 4, "normalize_before": False},
        {"cfg": {"transform": None, "normalize": True, "norm": {"type": "BN"}, "model": {"normalization": "layer"}}},
        {"transform": transforms.Compose([transforms.ColorJitter(), transforms.ToTensor()]), "normalize_fn": nn.ReLU},
        {"optimizer": {"normalize": {"a": 2}}, "loss": {"transform": [1]}},
        {"config": {"init": {"mean": 0, "std": 0.02}, "weight_init": {"mean": 0, "std": 1}}},
        {"cfg": {"aug": {"gauss_noise": {"mean": 0, "std": 0.1, "p": 0.3}, "jitter": {"mean": 0, "std": 0.1}}}},
        {"results": {"mean": [0.91, 0.92, 0.95], "std": [0.01] * 3}, "cv_results": {"mean": 0.9, "std": 0.1}},
        {"folds": {"fold0": {"mean": 0.9, "std": 0.1}}, "bias": {"mean": 0.9, "std": 0.1}},
        {"scaler": {"mean_": [0.1] * 9, "var_": [0.2] * 9}, "target_size": 10, "size": 1200},
    ],
    ids=str,
)
def test_what_is_said_of_other_things_is_not_named(
    entries: dict[str, Any], net: nn.Module, photos: Path, tmp_path: Path
) -> None:
    torch.save({"state_dict": net.state_dict(), **entries}, tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith("does not say how its images are made;")


HUGGING_FACE = {"do_resize": True, "size": {"height": 32, "width": 32}, "do_rescale": True}


@pytest.mark.parametrize(
    ("mean", "std", "config", "says"),
    [
        ([0.5], [0.5], {"do_normalize": False, "rescale_factor": 1 / 127.5, "rescale_offset": True},
         "32 px, mean 0.5, std 0.5, stretch;"),
        ([0.75], [0.25], {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "rescale_factor": 0.00784313725490196,
         "rescale_offset": True}, "32 px, mean 0.75, std 0.25, stretch;"),
        ([0.0], [1.0], {"do_flip_channel_order": False}, "32 px, mean 0, std 1, stretch, RGB;"),
    ],
    ids=["offset", "offset and mean", "no normalisation"],
)  # fmt: skip
def test_the_rescaling_of_hugging_face_is_a_part_of_the_statistics(
    mean: list[float], std: list[float], config: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    torch.save(trained(photos.parent, mean * 3, std * 3).state_dict(), tmp_path / "teacher.bin")
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**HUGGING_FACE, **config}))
    plan = plan_of(photos, tmp_path / "teacher.bin")
    assert f"{plan.format_note};".startswith(f"says {says}")
    assert accuracy(plan) == 100


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"size": {"height": 32, "width": 64}}, "not understood: its image_size; say it with --image-size;"),
        ({"size": {"shortest_edge": 32}}, "not understood: its resize; say it with --resize;"),
        ({"image_mean": MEAN}, "not understood: its mean without std; say it with --mean and --std;"),
    ],
    ids=str,
)
def test_what_hugging_face_says_and_is_not_understood_is_named(
    config: dict[str, Any], says: str, net: nn.Module, photos: Path, tmp_path: Path
) -> None:
    torch.save(net.state_dict(), tmp_path / "teacher.bin")
    own = {"image_mean": MEAN, "image_std": STD} if "image_mean" not in config else {}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps({**own, **config}))
    assert says in plan_of(photos, tmp_path / "teacher.bin").format_note


OBJECTS = v2.Compose([v2.Grayscale(3), v2.ToTensor(), v2.Normalize(MEAN, STD)])


def test_a_teacher_that_saw_grey_in_three_channels_gets_it(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = trained(photos.parent, MEAN, STD, v2.Grayscale(3)).state_dict()
    for transform in (PRINTED, OBJECTS):
        torch.save({"state_dict": state, "transform": transform}, tmp_path / "teacher.pth")
        plan = plan_of(photos, tmp_path / "teacher.pth")
        assert plan.format_note.startswith("says mean 0.2, std 0.35, GREY;")
        assert accuracy(plan) == 100
    torch.save(state, silent := tmp_path / "silent.pth")
    plan = plan_of(photos, silent, mean="0.2", std="0.35")
    assert accuracy(plan) < 75
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert "with --channel-order grey it has 100.0 %" in capsys.readouterr().err
    assert accuracy(plan_of(photos, silent, mean="0.2", std="0.35", channel_order="grey")) == 100


def test_numbers_in_an_array_of_numpy_execute_nothing(net: nn.Module, photos: Path, tmp_path: Path) -> None:
    strange = {"mean": np.array([object()]), "std": np.array(["0.35"])}
    torch.save({"state_dict": net.state_dict(), **strange}, tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith("not understood: its mean and std;")


class ConfigDict(dict):  # type: ignore[type-arg]
    """As of ml_collections: a class that is not loaded."""


MM_DUMPED = """test_dataloader = dict(dataset=dict(pipeline=[
        dict(backend='pillow', edge='short', scale=40, type='ResizeEdge'),
        dict(crop_size=(32, 32), type='CenterCrop')]))
"""
MM_TRAIN = "train_pipeline = [dict(type='RandomResizedCrop', scale=32), dict(type='RandomFlip', prob=0.5)]\n"
MM_OLD = "test = [dict(type='Resize', size=(40, -1)), dict(type='CenterCrop', crop_size=32)]"
MM_LONG = MM_TEST.replace("short", "long")
MM_STEPS = [{"type": "ResizeEdge", "scale": 40}, {"type": "CenterCrop", "crop_size": 32}, {"type": "PackInputs"}]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (MM_TRAIN + MM_TEST, "32 px, mean 51, std 89.25, crop:0.8, RGB, values from 0 to 255;"),
        (MM_TRAIN + MM_DUMPED, "32 px, mean 51, std 89.25, crop:0.8, RGB, values from 0 to 255;"),
        (MM_TEST + MM_DUMPED, "32 px, mean 51, std 89.25, crop:0.8, RGB, values from 0 to 255;"),
        (MM_OLD, "32 px, mean 51, std 89.25, crop:0.8, cv2, RGB, values from 0 to 255;"),
        (MM_OLD.replace("-1", "40"), "32 px, mean 51, std 89.25, stretch:0.8, cv2, RGB, values from 0 to 255;"),
        (MM_LONG, "not understood: its image_size and resize; say it with --image-size and --resize;"),
        (MM_TEST + MM_OLD.replace("40", "64"), "its image_size and resize; say it with --image-size and --resize;"),
        (MM_TRAIN, "not understood: its image_size; say it with --image-size;"),
    ],
)
def test_a_pipeline_of_openmmlab_has_a_size_and_a_crop(config: str, says: str, photos: Path, tmp_path: Path) -> None:
    net, meta = timm.create_model(NETWORK, num_classes=3), {"cfg": f"{PREPROCESSOR}\n{config}"}
    checkpoint(meta=meta)(net, tmp_path / "teacher.pth")
    assert says in f"{plan_of(photos, tmp_path / 'teacher.pth').format_note};"


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"train_args": {"imgsz": 48, "task": "classify", "model": "yolo11n-cls.pt"}}, "says 48 px;"),
        ({"cfg": {"test_pipeline": MM_STEPS}}, "says 32 px, crop:0.8, cv2;"),
        (
            {"args": argparse.Namespace(input_size=32, eval_crop_ratio=0.875, train_crop=True)},
            "says 32 px, crop:0.875;",
        ),
        ({"crop_size": 32, "resize": 40}, "says 32 px, crop:0.8;"),
        ({"image_size": 40, "crop_size": 32}, "says 32 px, crop:0.8;"),
        ({"CFG": {"size": 48, "mean": MEAN, "std": STD}}, "says 48 px, mean 0.2, std 0.35;"),
        ({"crop_mode": "border", "img_size": 32}, "says 32 px; not understood: its resize (crop_mode: border);"),
        (
            {"hparams": {"img_size": 32, "test_crop_ratio": 0.9, "random_crop": 4}},
            "says 32 px; not understood: its resize (test_crop_ratio: 0.9); say it with --resize;",
        ),
        (
            {"config": ConfigDict(DATA=ConfigDict(IMG_SIZE=32, INTERPOLATION="bicubic"), TEST=ConfigDict(CROP=True))},
            "says 32 px, bicubic; not understood: its resize (crop: True); say it with --resize;",
        ),
        ({"args": {"img_size": 32, "center_crop": 28}, "resize": "crop:0.8"}, "says 32 px, crop:0.8;"),
    ],
)
def test_a_size_is_found_beside_the_weights(entries: Any, says: str, photos: Path, tmp_path: Path) -> None:
    checkpoint(**entries)(timm.create_model(NETWORK, num_classes=3), tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith(says)


OF_ANY_SIZE = (
    "Compose(\n    Resize(size={size}, antialias=True)\n    ToTensor()\n"
    "    Normalize(mean=[0.8, 0.8, 0.8], std=(0.1, 0.1, 0.1))\n)"
)


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"cfg": {"data": {"mean": [0.8] * 3, "std": [0.1] * 3, "img_size": 64}}}, "64 px, mean 0.8, std 0.1;"),
        ({"a": {"b": {"pixel_mean": [204.0], "pixel_std": [25.5]}}}, "mean 204, std 25.5, values from 0 to 255;"),
        ({"cfg": ConfigDict(data=ConfigDict(mean=[0.8] * 3, std=[0.1] * 3))}, "mean 0.8, std 0.1;"),
        ({"transform": OF_ANY_SIZE.format(size=64)}, "64 px, mean 0.8, std 0.1;"),
        ({"transform": OF_ANY_SIZE.format(size="[64, 64]")}, "64 px, mean 0.8, std 0.1, stretch;"),
        ({"transform": v2.Compose([v2.Resize((64, 64)), *TEN])}, "64 px, mean 0.8, std 0.1, stretch;"),
        ({"transform": v2.Compose([v2.Resize(80), v2.CenterCrop(64), *TEN])}, "64 px, mean 0.8, std 0.1, crop:0.8;"),
        ({"transform": transforms.Compose([transforms.Resize(80), transforms.CenterCrop(64), *TEN])},
         "64 px, mean 0.8, std 0.1, crop:0.8;"),
    ],
)  # fmt: skip
def test_a_normalisation_is_found_wherever_it_is(
    entries: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    checkpoint(**entries)(timm.create_model(NETWORK, num_classes=3), tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith(f"says {says}")


@pytest.mark.parametrize("prefix", ["", "normalize."])
@pytest.mark.parametrize(("mean", "std"), [("mu", "sigma"), ("pixel_mean", "pixel_std"), ("img_mean", "img_std")])
def test_a_layer_that_normalises_has_any_of_the_usual_names(
    mean: str, std: str, prefix: str, photos: Path, tmp_path: Path
) -> None:
    net = teacher_of(sorted(photos.parent.glob("images/*/*")), squares(32, **HALF))
    layer = {f"{prefix}{mean}": torch.full((3, 1, 1), 127.5), f"{prefix}{std}": torch.full((3, 1, 1), 127.5)}
    torch.save({**net.state_dict(), **layer}, tmp_path / "both.pth")
    plan = plan_of(photos, tmp_path / "both.pth")
    assert plan.format_note.startswith("says mean 127.5, std 127.5, values from 0 to 255;")
    assert accuracy(plan) == 100
    torch.save({**net.state_dict(), f"{prefix}{mean}": torch.full((3,), 0.5)}, tmp_path / "one.pth")
    assert "not understood: its mean" in plan_of(photos, tmp_path / "one.pth").format_note


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ({"image_size": [192, 64]}, "not understood: its image_size;"),
        ({"image_size": 2000, "mean": "imagenet"}, "not understood: its image_size and mean;"),
        ({"std": [0, 0, 0]}, "not understood: its std;"),
        ({"args": {"config": {"args": {}}, "mean": None}}, "does not say how its images are made;"),
        ({"metrics": {"mean": 0.9, "std": 0.1}}, "does not say how its images are made;"),
    ],
    ids=str,
)
def test_what_is_there_and_not_understood_is_said(
    entries: dict[str, Any], says: str, photos: Path, tmp_path: Path
) -> None:
    net = teacher_of(sorted(photos.parent.glob("images/*/*")), squares(32, **IMAGENET))
    checkpoint(**entries)(net, tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert says in f"{plan.format_note};"
    assert accuracy(plan) == 100


@pytest.mark.parametrize("name", ["args", "mean", "image_size", "pretrained_cfg", "crop_pct", "resize", "input_space"])
def test_code_where_the_values_are_is_not_executed(name: str, photos: Path, tmp_path: Path) -> None:
    net = timm.create_model(NETWORK, num_classes=3)
    bomb = {name: Bomb(tmp_path / "ran")}
    checkpoint(**bomb, hparams={"mean": 0.5, "std": 0.5, **bomb})(net, tmp_path / "teacher.pth")
    says = "not understood: its mean; " if name == "mean" else "says mean 0.5, std 0.5; "
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith(says)
    assert not (tmp_path / "ran").exists()
