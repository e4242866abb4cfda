"""The values of one entry of a file that describe the images of its network, under the names that are common."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from okdbench.core.resize import Interpolation
from okdbench.distill.networks.hugging_face import of_hugging_face
from okdbench.distill.networks.plain_values import is_said, plain
from okdbench.distill.networks.stated_modes import RANGES, of_modes
from okdbench.distill.networks.stated_sizes import rule_in, size_in
from okdbench.distill.networks.stated_statistics import statistics_in

#: field -> its value; None where one is there and cannot be understood
Stated = dict[str, Any]

_ORDERS = ("channel_order", "input_space", "color_order", "channel_format")
_FILTERS = ("interpolation", "resample")
#: number in Pillow, which Hugging Face writes -> name
_PILLOW = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


def stated_in(entry: Mapping[str, Any]) -> Stated:
    """What an entry says: image_size, mean, std, value_range, channel_order, interpolation, rule and share of the size.

    Of a student's card it is also exif_rotation. A value that is None or absent says nothing.
    """
    entry = {str(name).lower(): value for name, value in entry.items()}
    found: Stated = size_in(entry) | statistics_in(entry)
    for field, names, read in (
        ("value_range", RANGES, _range),
        ("channel_order", _ORDERS, _order),
        ("interpolation", _FILTERS, _filter),
    ):
        if is_said(value := _first(entry, names)):
            found[field] = read(value)
    if isinstance(entry.get("exif_rotation"), bool):
        found["exif_rotation"] = entry["exif_rotation"]
    return found | rule_in(entry) | of_hugging_face(entry) | _flipped(entry) | _modes(entry, found)


def _modes(entry: Mapping[str, Any], found: Stated) -> Stated:
    """What is said in words, without the statistics where numbers say these."""
    kept = ("mean", "std", "value_range") if {"mean", "std"} & found.keys() else ()
    return {name: value for name, value in of_modes(entry).items() if not name.startswith(kept)}


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((entry[name] for name in names if entry.get(name) is not None), None)


def _range(value: Any) -> int | None:
    found = plain(value)
    largest = found[-1] if isinstance(found, list | tuple) and found else found
    return int(largest) if isinstance(largest, int | float) and largest in (1, 255) else None


def _order(value: Any) -> str | None:
    text = str(value).lower()
    return text if text in ("rgb", "bgr", "grey") else None


def _filter(value: Any) -> str | None:
    found = plain(value)
    name = _PILLOW.get(found) if isinstance(found, int) else str(found).lower()
    return name if name in get_args(Interpolation) else None


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
