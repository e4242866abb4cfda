"""The values of one entry of a file that describe the images of its network, under the names that are common."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

#: field -> its value; None where one is there and cannot be understood
Stated = dict[str, Any]

_MEANS = ("mean", "image_mean", "img_mean", "pixel_mean", "norm_mean")
_STDS = ("std", "image_std", "img_std", "pixel_std", "norm_std")
#: name of a mean in a layer of a network -> that of its standard deviation
STATISTICS = dict(zip((*_MEANS, "mu", "_mean", "data_mean"), (*_STDS, "sigma", "_std", "data_std"), strict=True))
#: a value that is there and cannot be understood
UNREAD = "not understood"
_SIZES = ("image_size", "img_size", "imgsz", "input_size", "resolution", "val_crop_size", "crop_size")
_ORDERS = ("channel_order", "input_space", "color_order", "channel_format")
_RANGES = ("value_range", "input_range", "pixel_range")
_FILTERS = ("interpolation", "resample")
#: number in Pillow, which Hugging Face writes -> name
_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}
#: name of a rule elsewhere -> here
_RULES = {"stretch": "stretch", "squash": "stretch", "center": "crop", "crop": "crop", "pad": "pad", "border": "pad"}


def stated_in(entry: Mapping[str, Any]) -> Stated:
    """What an entry says: image_size, mean, std, value_range, channel_order, interpolation, rule and share of the size.

    A value that is None or absent says nothing.
    """
    found: Stated = {}
    for field, names, read in (
        ("image_size", _SIZES, _side),
        ("mean", _MEANS, _numbers),
        ("std", _STDS, _positive),
        ("value_range", _RANGES, _range),
        ("channel_order", _ORDERS, _order),
        ("interpolation", _FILTERS, _filter),
    ):
        if (value := _first(entry, names)) not in (None, ""):
            found[field] = read(value)
    return found | _rule(entry) | _of_hugging_face(entry) | _flipped(entry)


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _plain(value: Any) -> Any:
    """Text as the value that it spells, as in the metadata of safetensors; a tensor as numbers."""
    if isinstance(value, Tensor):
        return value.flatten().tolist()
    if isinstance(value, str):
        try:
            return json.loads(value.replace("(", "[").replace(")", "]"))
        except ValueError:
            parts = value.replace(",", " ").split()
            return list(map(float, parts)) if all(map(_is_number, parts)) else value
    return value


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()


def _numbers(value: Any) -> tuple[float, ...] | None:
    """One number, or one for each of three channels."""
    plain = _plain(value)
    numbers = plain if isinstance(plain, list | tuple) else [plain]
    if len(numbers) not in (1, 3) or not all(isinstance(n, int | float) and 0 <= n <= 255 for n in numbers):
        return None
    return tuple(map(float, numbers))


def _positive(value: Any) -> tuple[float, ...] | None:
    numbers = _numbers(value)
    return numbers if numbers and min(numbers) > 0 else None


def _side(value: Any) -> int | None:
    """The side of a square: a number, height and width, or channels, height and width."""
    plain = _plain(value)
    if isinstance(plain, Mapping):
        plain = [plain.get("height", plain.get("shortest_edge")), plain.get("width", plain.get("shortest_edge"))]
    sides = {*plain[-2:]} if isinstance(plain, list | tuple) and len(plain) in (1, 2, 3) else {plain}
    side = sides.pop() if len(sides) == 1 else None
    return int(side) if isinstance(side, int | float) and math.isfinite(side) and side >= 1 else None


def _range(value: Any) -> int | None:
    plain = _plain(value)
    largest = plain[-1] if isinstance(plain, list | tuple) and plain else plain
    return int(largest) if largest in (1, 255) else None


def _order(value: Any) -> str | None:
    text = str(value).lower()
    return text if text in ("rgb", "bgr") else None


def _filter(value: Any) -> str | None:
    plain = _plain(value)
    found = _PILLOW.get(plain) if isinstance(plain, int) else str(plain).lower()
    return found if found in _PILLOW.values() else None


def _rule(entry: Mapping[str, Any]) -> Stated:
    """The crop_mode and crop_pct of timm, torchvision's sizes, and okdbench's own spelling."""
    found: Stated = {}
    if isinstance(own := entry.get("resize"), str) and (name := own.partition(":")[0]) in _RULES:
        found |= {"rule": _RULES[name], "share": _share(own.partition(":")[2] or 1.0)}
    if entry.get("crop_mode") in _RULES:
        found["rule"] = _RULES[entry["crop_mode"]]
    if (share := _share(entry.get("crop_pct"))) is not None:
        found["share"] = share
    for kept, whole in ("val_crop_size", "val_resize_size"), ("crop_size", "resize_size"):
        if (inner := _side(entry.get(kept))) and (outer := _side(entry.get(whole))):
            found |= {"rule": "crop", "share": min(1.0, inner / outer)}
    return found


def _share(value: Any) -> float | None:
    plain = _plain(value)
    return float(plain) if isinstance(plain, int | float) and 0 < plain <= 1 else None


def _of_hugging_face(entry: Mapping[str, Any]) -> Stated:
    """A ``preprocessor_config.json``, or nothing for other entries."""
    if not any(name in entry for name in ("do_resize", "do_normalize", "do_rescale")):
        return {}
    found: Stated = {}
    size, whole = entry.get("size"), _side(entry.get("size"))
    keeps_shape = isinstance(size, Mapping) and "shortest_edge" in size
    if entry.get("do_center_crop") and (inner := _side(entry.get("crop_size"))):
        rule = "crop" if keeps_shape or isinstance(size, int) else "stretch"
        found |= {"image_size": inner, "rule": rule, "share": min(1.0, inner / whole) if whole else 1.0}
    elif whole:
        share = _share(entry.get("crop_pct")) or 1.0
        found |= {"image_size": whole, "rule": "crop" if keeps_shape else "stretch", "share": share}
    if entry.get("do_rescale") is False:
        found["value_range"] = 255
    if entry.get("do_normalize") is False:
        found |= {"mean": (0.0,), "std": (1.0,)}
    return found


def _flipped(entry: Mapping[str, Any]) -> Stated:
    """The order where it is a switch: images are read as RGB by Hugging Face, and as BGR by OpenMMLab."""
    for name, on, off in (
        ("do_flip_channel_order", "bgr", "rgb"),
        ("to_rgb", "rgb", "bgr"),
        ("bgr_to_rgb", "rgb", "bgr"),
    ):
        if isinstance(entry.get(name), bool):
            return {"channel_order": on if entry[name] else off}
    return {}
