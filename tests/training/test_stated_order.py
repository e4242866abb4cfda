"""The steps of a pipeline in a teacher's file are read in their order, and any other than the usual one is named."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.plain_teachers import NETWORK
from support.stated_forms import MEAN, NO_OPTION, OPENCV, STD, TEN, note_on
from support.teacher_plans import plan_of
from torchvision import transforms
from torchvision.transforms import v2


@pytest.mark.parametrize("form", [lambda pipeline: pipeline, str], ids=["objects", "text"])
@pytest.mark.parametrize("side", [32, (32, 32)], ids=str)
def test_a_middle_that_is_cut_out_of_images_of_any_size_is_named(
    side: Any, form: Callable[[Any], Any], photos: Path, tmp_path: Path
) -> None:
    pipeline = form(v2.Compose([v2.CenterCrop(side), v2.ToTensor(), v2.Normalize(MEAN, STD)]))
    torch.save(
        {"state_dict": timm.create_model(NETWORK, num_classes=3).state_dict(), "transform": pipeline},
        tmp_path / "teacher.pth",
    )
    note = plan_of(photos, tmp_path / "teacher.pth").format_note
    assert "not understood: its resize (CenterCrop without a Resize); say it with --resize;" in note


def albumentations(*steps: dict[str, Any]) -> dict[str, Any]:
    """The dict of a ``Compose`` of Albumentations."""
    named = [{"__class_fullname__": step.pop("name"), "p": 1.0, **step} for step in map(dict, steps)]
    return {"transform": {"__class_fullname__": "Compose", "p": 1.0, "transforms": named}}


class SquarePad:
    """As people write it."""


#: of Kaggle's histopathology, and of CelebA
CUT_FIRST = [transforms.CenterCrop(48), transforms.Resize((64, 64)), *TEN]
USUAL = [transforms.Resize(80), transforms.CenterCrop(64), *TEN]
CUT_NAMES: list[dict[str, Any]] = [{"name": "CenterCrop", "size": 48}, {"name": "Resize", "size": [64, 64]}]
NORMALIZE = {"name": "Normalize", "mean": MEAN, "std": STD}


@pytest.mark.parametrize(
    "pipeline",
    [
        transforms.Compose(CUT_FIRST),
        str(transforms.Compose(CUT_FIRST)),
        "T.Compose([T.CenterCrop(48), T.Resize((64, 64))])",
        v2.Compose([v2.CenterCrop(178), v2.Resize(64)]),
        CUT_FIRST,
        albumentations({"name": "CenterCrop", "height": 48, "width": 48}, {**OPENCV, "name": "Resize", "height": 64,
                        "width": 64}),
        *[[{key: name["name"], "size": name["size"]} for name in CUT_NAMES]
          for key in ("name", "type", "class", "_target_", "transform")],
        [*({"name": name["name"], "params": {"size": name["size"]}} for name in CUT_NAMES), "ToTensor", NORMALIZE],
        [{"CenterCrop": {"size": 48}}, {"Resize": 64}],
        {"CenterCrop": {"size": 48}, "Resize": {"size": 64}},
        [{"name": "center_crop", "size": 48}, {"name": "resize", "size": 64}],
        {"transforms": CUT_NAMES},
    ],
    ids=str,
)  # fmt: skip
def test_a_middle_that_is_cut_out_before_a_resize_is_named(pipeline: Any, photos: Path, tmp_path: Path) -> None:
    note = note_on({"transform": pipeline}, photos, tmp_path)
    assert note.startswith("says 64 px")
    assert "not understood: its resize (CenterCrop before Resize); say it with --resize;" in note


@pytest.mark.parametrize(
    ("pipeline", "says"),
    [
        ([{"name": "Resize", "size": 80}, {"name": "CenterCrop", "size": 64}, NORMALIZE],
         "says 64 px, mean 0.2, std 0.35, crop:0.8;"),
        ([{"Resize": {"size": [64, 64]}}, {"ToTensor": None}, {"Normalize": {"mean": MEAN, "std": STD}}],
         "says 64 px, mean 0.2, std 0.35, stretch;"),
        ({"Resize": {"size": [64, 64]}, "Normalize": {"mean": MEAN, "std": STD}},
         "says 64 px, mean 0.2, std 0.35, stretch;"),
        (albumentations({"name": "SmallestMaxSize", "max_size": 80}, {"name": "CenterCrop", "height": 64, "width": 64}),
         "says 64 px, crop:0.8;"),
        (f"{transforms.Compose([transforms.RandomResizedCrop(64), *TEN])}\n{transforms.Compose(USUAL)}",
         "says 64 px, mean 0.8, std 0.1, crop:0.8;"),
        ("T.Compose([T.Resize(80), T.CenterCrop(64, 64)])", "says 64 px, crop:0.8;"),
        ({"mean": MEAN, "std": STD, "transforms": {"train": CUT_NAMES, "val": [{"name": "Resize", "size": [64, 64]}]}},
         "says 64 px, mean 0.2, std 0.35, stretch;"),
        (v2.Compose([v2.RandomResizedCrop(64), v2.RandomHorizontalFlip(), *TEN]), "says 64 px, mean 0.8, std 0.1;"),
    ],
    ids=str,
)  # fmt: skip
def test_steps_are_read_in_their_order(pipeline: Any, says: str, photos: Path, tmp_path: Path) -> None:
    note = note_on({"transform": pipeline}, photos, tmp_path)
    assert note.startswith(says)
    assert "not understood" not in note


@pytest.mark.parametrize(
    ("steps", "named"),
    [
        ([transforms.Resize(80), transforms.CenterCrop(96)], "Resize before CenterCrop"),
        ([transforms.Resize(80), transforms.RandomCrop(64)], "Resize before RandomCrop"),
        ([transforms.Resize(80), transforms.TenCrop(64)], "Resize before TenCrop"),
        ([transforms.Resize(80), transforms.CenterCrop(64), transforms.Resize(32)],
         "Resize before CenterCrop before Resize"),
    ],
    ids=str,
)  # fmt: skip
@pytest.mark.parametrize("form", [lambda pipeline: pipeline, str], ids=["objects", "text"])
def test_another_order_of_steps_is_named(
    steps: list[Any], named: str, form: Callable[[Any], Any], photos: Path, tmp_path: Path
) -> None:
    note = note_on({"transform": form(transforms.Compose([*steps, *TEN]))}, photos, tmp_path)
    assert f"resize ({named}); say it with " in note
    assert "--resize;" in note


LONGEST, PAD = {"name": "LongestMaxSize", "max_size": 32}, {"name": "PadIfNeeded", "min_height": 32, "min_width": 32}
BLACK = {**PAD, "border_mode": 0, "value": 0, "position": "center"}


@pytest.mark.parametrize(
    "entries",
    [
        {"transform": transforms.Compose([SquarePad(), transforms.Resize((32, 32)), *TEN])},
        {"transform": str(transforms.Compose([SquarePad(), transforms.Resize((32, 32)), *TEN]))},
        {"transform": transforms.Compose([transforms.Pad((0, 40)), transforms.Resize((32, 32)), *TEN])},
        *[{"config": {"img_size": 32, name: True}} for name in ("letterbox", "keep_aspect_ratio", "pad_to_square")],
        {"config": {"img_size": 32, "resize_mode": "letterbox"}},
        *[{"transform": albumentations(LONGEST, {**BLACK, **other}, NORMALIZE)}
          for other in ({"border_mode": 4}, {"position": "top_left"}, {"value": 255}, {"min_height": 48})],
        {"transform": albumentations(NORMALIZE, LONGEST, BLACK)},
        {"transform": albumentations({"name": "LetterBox", "size": [32, 32]})},
    ],
    ids=lambda value: re.sub(" at 0x[0-9a-f]+", "", str(value)),
)  # fmt: skip
def test_a_border_that_makes_squares_has_its_cure(entries: dict[str, Any], photos: Path, tmp_path: Path) -> None:
    note = note_on(entries, photos, tmp_path)
    assert "not understood: its " in note
    assert "--resize pad;" in note
    assert NO_OPTION not in note


def test_a_black_border_around_the_longest_side_is_read(photos: Path, tmp_path: Path) -> None:
    for colour in ({"value": 0}, {"value": None}, {"fill": [0, 0, 0]}):
        border = {name: value for name, value in BLACK.items() if name != "value"} | colour
        note = note_on({"transform": albumentations(LONGEST, border, NORMALIZE)}, photos, tmp_path)
        assert note.startswith("says 32 px, mean 0.2, std 0.35, pad;")


def test_a_blur_is_named_where_nothing_is_random(photos: Path, tmp_path: Path) -> None:
    blur, flip = transforms.GaussianBlur(5), transforms.RandomHorizontalFlip()
    for form in (lambda pipeline: pipeline, str):
        named = note_on({"transform": form(transforms.Compose([blur, *TEN]))}, photos, tmp_path)
        assert f"not understood: its GaussianBlur; {NO_OPTION}" in named
        trained_with = note_on({"transform": form(transforms.Compose([flip, blur, *TEN]))}, photos, tmp_path)
        assert "not understood" not in trained_with


def test_values_that_are_brought_to_1_before_are_no_bytes(photos: Path, tmp_path: Path) -> None:
    ones = {**NORMALIZE, "max_pixel_value": 1.0}
    scaled = albumentations({"name": "ToFloat", "max_value": 255.0}, ones)
    assert note_on({"transform": scaled}, photos, tmp_path).startswith("says mean 0.2, std 0.35; by default")
    bytes_ = note_on({"transform": albumentations(ones)}, photos, tmp_path)
    assert bytes_.startswith("says mean 0.2, std 0.35, values from 0 to 255;")


TEST = v2.Compose([v2.Resize(72), v2.CenterCrop(64), v2.ToTensor(), v2.Normalize(MEAN, STD)])
TRAIN = v2.Compose([v2.RandomResizedCrop(96), v2.ToTensor(), v2.Normalize(MEAN, STD)])


@pytest.mark.parametrize(
    "entries",
    [
        {"test_transform": str(TEST), "train_transform": str(TRAIN)},
        {"transforms": {"val": TEST, "train": TRAIN}},
        {"args": {"a": str(TEST), "b": str(TRAIN)}},
    ],
    ids=["texts", "objects", "no names"],
)
def test_the_pipeline_of_the_test_wins_wherever_it_stands(
    entries: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    assert note_on(entries, photos, tmp_path).startswith("says 64 px, mean 0.2, std 0.35, crop:0.88")
