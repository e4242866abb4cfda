"""What a ``preprocessor_config.json`` of Hugging Face says of the images.

The arithmetic of each processor is that of transformers' image_processing_*.py; it is not in the entry.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from itertools import cycle
from typing import Any

from okdbench.distill.networks.plain_values import numbers_of, plain
from okdbench.distill.networks.stated_sizes import share_of, side_of

#: the names that show what an entry is
_SIGNS = ("do_resize", "do_normalize", "do_rescale", "image_mean", "do_flip_channel_order")
#: what its pixels are multiplied by where nothing else is said
_USUAL_FACTOR = 1 / 255
_PROCESSOR = re.compile(r"(\w+?)(ImageProcessor|FeatureExtractor)")
#: processors for which a size that is a number is that of the shorter side
_SHORTER_SIDE = {"Bit", "ChineseCLIP", "CLIP", "ConvNext", "Levit", "MobileNetV1", "MobileNetV2", "MobileViT",
                 "PoolFormer", "ViTHybrid"}  # fmt: skip
#: and those for which it is that of both sides
_BOTH_SIDES = {"Beit", "DeiT", "EfficientFormer", "EfficientNet", "Flava", "Perceiver", "Pvt", "Segformer", "Siglip",
               "ViT"}  # fmt: skip
#: from this size on ConvNext's does not cut
_WARPED = 384


def of_hugging_face(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Its values, None where one is there and cannot be understood; nothing for other entries."""
    if not any(name in entry for name in _SIGNS):
        return {}
    return _size(entry) | _normalisation(entry)


def _size(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Size and rule, by the arithmetic of the processor that the entry is of."""
    size, family = entry.get("size"), _family(entry)
    whole, share = side_of(size), share_of(entry.get("crop_pct", 0.9 if family == "PoolFormer" else None))
    given = side_of(entry.get("crop_size"))
    cut = given if entry.get("do_center_crop") is True else None
    if entry.get("do_resize") is False:  # no rule here cuts without scaling
        return _unread_rule(cut) if cut else {}
    if not whole:
        return _unread_rule(cut) if cut else {"image_size": None} if size is not None else {}
    if given and "do_center_crop" not in entry:  # whether it cuts by default is not the same for all
        return _unread_rule(given)
    is_number = isinstance(size, int | float)
    if is_number and family not in _SHORTER_SIDE | _BOTH_SIDES and (cut or share):
        return _unread_rule(cut or whole)
    is_shorter = "shortest_edge" in size if isinstance(size, Mapping) else is_number and family in _SHORTER_SIDE
    if family == "ConvNext":
        return _rule(whole, share or 0.875, True) if whole < _WARPED else _rule(whole, 1.0, False)
    if family == "PoolFormer" and share and cut:
        return _rule(cut, cut / int(whole / share), True)
    if family == "Perceiver" and cut:  # it cuts before it scales
        return _rule(whole, whole / cut, True)
    if cut and share is None:
        scaled = int(whole * 256 / 224) if family == "Levit" and is_shorter else whole
        return _rule(cut, cut / scaled, is_shorter)
    if cut or (is_shorter and share is None) or family == "PoolFormer":  # two rules, or images that are no squares
        return _unread_rule(cut or whole)
    return _rule(whole, share or 1.0, is_shorter)


def _family(entry: Mapping[str, Any]) -> str:
    """``ConvNext`` for a ConvNextImageProcessor; empty where none is named."""
    named = (entry.get(name) for name in ("image_processor_type", "feature_extractor_type"))
    found = (_PROCESSOR.match(name) for name in named if isinstance(name, str))
    return next((match[1] for match in found if match), "")


def _unread_rule(side: int) -> dict[str, Any]:
    return {"image_size": side, "resize": None, "rule": None, "share": None}


def _rule(side: int, share: float, is_shorter: bool) -> dict[str, Any]:
    if share > 1:  # it fills up with black
        return _unread_rule(side)
    return {"image_size": side, "rule": "crop" if is_shorter else "stretch", "share": share}


def _normalisation(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics where they are not simply those of the entry: the rescaling is a part of them."""
    is_left_out = "do_normalize" not in entry and "image_mean" not in entry
    if entry.get("do_normalize") is False or (is_left_out and {"do_rescale", "do_flip_channel_order"} & entry.keys()):
        mean, std = numbers_of(0), numbers_of(1)
    else:
        mean, std = numbers_of(entry.get("image_mean")), numbers_of(entry.get("image_std"))
    if _family(entry) == "EfficientNet" and entry.get("include_top") is not False:  # it divides once more
        std = tuple(x * s for x, s in zip(cycle(std or ()), numbers_of(entry.get("image_std")) or (), strict=False))
    if not mean or not std:
        return {"value_range": 255} if entry.get("do_rescale") is False else {}
    if entry.get("do_rescale") is False:
        return {"value_range": 255, "mean": mean, "std": std}
    factor, offset = plain(entry.get("rescale_factor", _USUAL_FACTOR)), int(entry.get("rescale_offset") is True)
    largest = round(255 * factor, 6) if isinstance(factor, int | float) else 0.0  # of a rescaled pixel
    if not 0 < largest < math.inf:
        return {"mean": None, "std": None}
    return {"mean": tuple((m + offset) / largest for m in mean), "std": tuple(s / largest for s in std)}
