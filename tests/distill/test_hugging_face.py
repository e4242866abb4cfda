"""The images of each processor of transformers, whose arithmetic its file does not have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from okdbench.distill.networks.preprocessing import Preprocessing, preprocessing_of

OLD, NEW = "feature_extractor_type", "image_processor_type"
EDGE, SQUARE, CUT = {"shortest_edge": 224}, {"height": 224, "width": 224}, {"do_center_crop": True, "crop_size": 224}


def read(folder: Path, **entry: Any) -> Preprocessing:
    torch.save(timm.create_model("test_resnet", num_classes=3).state_dict(), folder / "model.pt")
    (folder / "preprocessor_config.json").write_text(json.dumps({"do_resize": True, **entry}))
    return preprocessing_of(folder / "model.pt", "test_resnet")


@pytest.mark.parametrize(
    ("processor", "entry", "resize"),
    [  # as published with facebook/deit-base-*, microsoft/resnet-50, facebook/convnext-*, sail/poolformer_s12, ...
        ((OLD, "DeiTFeatureExtractor"), {"size": 256, **CUT}, "stretch:0.875"),
        ((NEW, "DeiTImageProcessor"), {"size": {"height": 256, "width": 256}, **CUT}, "stretch:0.875"),
        ((OLD, "BeitFeatureExtractor"), {"size": 256, **CUT}, "stretch:0.875"),
        ((OLD, "ViTFeatureExtractor"), {"size": 224}, "stretch"),
        ((OLD, "CLIPFeatureExtractor"), {"size": 256, **CUT}, "crop:0.875"),
        ((NEW, "CLIPImageProcessor"), {"size": [256, 256], **CUT}, "stretch:0.875"),
        ((NEW, "CLIPImageProcessor"), {"size": 256.0, **CUT}, "crop:0.875"),
        ((NEW, "BitImageProcessor"), {"size": {"shortest_edge": 256}, **CUT}, "crop:0.875"),
        ((NEW, "MobileNetV2ImageProcessorFast"), {"size": {"shortest_edge": 256}, **CUT}, "crop:0.875"),
        ((OLD, "ConvNextFeatureExtractor"), {"size": 224, "crop_pct": 0.875}, "crop:0.875"),
        ((NEW, "ConvNextImageProcessor"), {"size": EDGE, "crop_pct": 0.95}, "crop:0.95"),
        ((NEW, "ConvNextImageProcessor"), {"size": EDGE}, "crop:0.875"),
        ((NEW, "ConvNextImageProcessor"), {"size": {"shortest_edge": 384}, "crop_pct": 0.875}, "stretch"),
        ((OLD, "LevitFeatureExtractor"), {"size": 224, **CUT}, "crop:0.875"),
        ((NEW, "LevitImageProcessor"), {"size": EDGE, **CUT}, "crop:0.875"),
        ((NEW, "LevitImageProcessor"), {"size": SQUARE, **CUT}, "stretch"),
        ((NEW, "PoolFormerImageProcessor"), {"size": EDGE, "crop_pct": 0.8, **CUT}, "crop:0.8"),
        ((NEW, "PoolFormerImageProcessor"), {"size": SQUARE, "crop_pct": 0.8, **CUT}, "crop:0.8"),
        ((OLD, "PoolFormerFeatureExtractor"), {"size": 224, **CUT}, f"crop:{224 / 248}"),
        ((NEW, "PerceiverImageProcessor"), {"size": SQUARE, "do_center_crop": True, "crop_size": 256}, "crop:0.875"),
        ((NEW, "EfficientNetImageProcessor"), {"size": SQUARE, "do_center_crop": False, "crop_size": 289}, "stretch"),
    ],
)
def test_the_rule_is_that_of_the_processor(
    processor: tuple[str, str], entry: dict[str, Any], resize: str, tmp_path: Path
) -> None:
    found = read(tmp_path, **{processor[0]: processor[1]}, **entry)
    size = 384 if entry["size"] == {"shortest_edge": 384} else 224
    assert (found.image_size, found.resize, found.unread) == (size, resize, ())


@pytest.mark.parametrize(
    "entry",
    [
        {"size": 256, **CUT},
        {"do_resize": False, "size": SQUARE, **CUT},
        {NEW: "OwnImageProcessor", "size": 256, **CUT},
        {"size": EDGE, "crop_pct": 0.9, **CUT},
        {NEW: "CLIPImageProcessor", "size": EDGE},
        {NEW: "CLIPImageProcessor", "size": {"height": 256, "width": 320}, **CUT},
        {NEW: "DeiTImageProcessor", "size": 256, "crop_size": 224},
        {NEW: "PoolFormerImageProcessor", "size": 200, "crop_pct": 0.95, **CUT},
        {NEW: "PoolFormerImageProcessor", "size": EDGE, "crop_pct": 0.95, "do_center_crop": False},
        {NEW: "PerceiverImageProcessor", "size": SQUARE, "do_center_crop": True, "crop_size": 200},
    ],
)
def test_where_the_processor_is_not_known_its_rule_is_not_guessed(entry: dict[str, Any], tmp_path: Path) -> None:
    found = read(tmp_path, **entry)
    assert (found.image_size, found.resize, found.unread) == (224, None, ("resize",))


@pytest.mark.parametrize("factor", [1e-12, float("nan"), float("inf"), -1])
def test_a_factor_that_none_has_is_named(factor: float, tmp_path: Path) -> None:
    found = read(tmp_path, size=SQUARE, image_mean=[0.5] * 3, image_std=[0.5] * 3, rescale_factor=factor)
    assert (found.mean, found.std, found.unread) == (None, None, ("mean", "std"))


@pytest.mark.parametrize(
    ("entry", "mean", "std"),
    [
        ({"include_top": True}, 0.4, 0.25),
        ({}, 0.4, 0.25),
        ({"include_top": False}, 0.4, 0.5),
        ({"do_normalize": False}, 0.0, 0.5),
        ({"do_normalize": False, "include_top": False}, 0.0, 1.0),
    ],
)
def test_the_processor_of_efficientnet_divides_twice(
    entry: dict[str, Any], mean: float, std: float, tmp_path: Path
) -> None:
    named = {NEW: "EfficientNetImageProcessor", "image_mean": [0.4] * 3, "image_std": [0.5] * 3}
    found = read(tmp_path, **named, size=SQUARE, **entry)
    assert (found.mean, found.std) == (
        pytest.approx((mean,) * len(found.mean or ())),
        pytest.approx((std,) * len(found.std or ())),
    )
