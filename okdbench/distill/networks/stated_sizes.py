"""The size of the images, and the rule for it, in one entry of a file, under the names that are common."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from okdbench.distill.networks.plain_values import UNREAD, is_said, plain

SIZES = (
    "image_size", "img_size", "im_size", "imgsz", "imsize", "input_size", "resolution", "input_resolution",
    "image_resolution", "input_shape", "val_crop_size", "crop_size",
)  # fmt: skip
#: entries that may have a height and a width
_ENTRIES = ("input", "image", "size", "target_size")
#: no side of an image is so long
_ENDLESS = 1e9
#: channels of an image, which Keras has last
_CHANNELS = (1, 3, 4)
#: what stands before height and width, or h and w
_SIDES = ("", "image_", "img_", "input_")
#: name of a rule elsewhere -> here
_RULES = {"stretch": "stretch", "squash": "stretch", "center": "crop", "crop": "crop", "pad": "pad"}
#: what timm fills with the mean; pad fills with black
_FILLED = "border"
#: names of the side that is kept, and of the shorter side before
_PAIRS = (
    ("val_crop_size", "val_resize_size"),
    *(("crop_size", name) for name in ("resize_size", "resize", "scale_size", "image_size", "img_size")),
)
#: what the name of a cut or a resizing begins with that is not understood
UNREAD_CUT = "resize ("
_SQUARE = r"letter_?box|(pad_to|expand2?)_?square|square_?pad|(keep|preserve)_(aspect_?)?(ratio|aspect)"
_CUT = re.compile(rf"(\w+_)?(crop|resize|{_SQUARE})(_\w+)?")
#: such a name where the rule is evidently one that puts images into a square
PADS = re.compile(rf"^(?!.*crop(?!orpad)).*(pad|{_SQUARE}|keep_?ratio)", re.IGNORECASE)
#: those of a training, and switches that are read elsewhere
_OTHER = re.compile(r"do_|rand|train|aug|prob|multi|num_|n_")


def size_in(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The side of the square; None where one is there that is none."""
    given = [entry[name] for name in SIZES if is_said(entry.get(name))]
    sides = [(f"{before}{high}", f"{before}{wide}") for before in _SIDES for high, wide in (("height", "width"), "hw")]
    given += [[entry[high], entry[wide]] for high, wide in sides if high in entry and wide in entry]
    given += [value for name in _ENTRIES if _has_sides(value := entry.get(name))]
    if {"mean", "std", "size"} <= entry.keys() and not given:
        given = [entry["size"]]  # alone it may be that of anything
    if len(given) > 1 and (cut := side_of(entry.get("crop_size"))) and cut < (side_of(given[0]) or 0):
        given = [cut]
    return {"image_size": side_of(given[0])} if given else {}


def _has_sides(value: Any) -> bool:
    found = plain(value)
    is_pair = isinstance(found, list | tuple) and len(found) == 2 and all(isinstance(each, int) for each in found)
    return is_pair or (isinstance(value, Mapping) and "height" in value)


def side_of(value: Any) -> int | None:
    """The side of a square: a number, height and width, also with channels before or after them."""
    found = plain(value)
    if isinstance(found, Mapping):
        found = [found.get("height", found.get("shortest_edge")), found.get("width", found.get("shortest_edge"))]
    if isinstance(found, list | tuple) and len(found) == 3 and found[-1] in _CHANNELS:
        found = found[:-1]
    sides = found[-2:] if isinstance(found, list | tuple) and len(found) in (1, 2, 3) else [found]
    is_square = all(isinstance(side, int | float) and side == sides[0] for side in sides)
    return int(sides[0]) if is_square and 1 <= sides[0] < _ENDLESS else None


def rule_in(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The crop_mode and crop_pct of timm, torchvision's sizes, and okdbench's own spelling."""
    found: dict[str, Any] = {}
    if isinstance(own := entry.get("resize"), str) and (name := own.partition(":")[0]) in _RULES:
        found |= {"rule": _RULES[name], "share": share_of(own.partition(":")[2] or 1.0)}
    if own == UNREAD:
        found["resize"] = None
    if (mode := str(entry.get("crop_mode"))) in _RULES:
        found["rule"] = _RULES[mode]
    if mode == _FILLED:
        return {f"{UNREAD_CUT}crop_mode: {mode})": None}
    if (share := share_of(entry.get("crop_pct"))) is not None:
        found["share"] = share
    if share := share_of(entry.get("eval_crop_ratio")):  # of DeiT
        found |= {"rule": "crop", "share": share}
    for kept, whole in _PAIRS:
        if (inner := side_of(entry.get(kept))) and (outer := side_of(entry.get(whole))):
            found |= {"rule": "crop", "share": min(1.0, inner / outer)}
    return found or _unread_cuts(entry)


def _unread_cuts(entry: Mapping[str, Any]) -> dict[str, Any]:
    """None under a name for each setting of a cut, or of a resizing before it, that is there and not understood."""
    names = [name for name in entry if _CUT.fullmatch(name) and not _OTHER.search(name) and name not in SIZES]
    said = {name: plain(entry[name]) for name in names}
    return {
        f"{UNREAD_CUT}{name}: {value!s:.30})": None for name, value in said.items()
        if value and isinstance(value, int | float | list | tuple | str) and str(value).lower() not in ("false", "none")
    }  # fmt: skip


def share_of(value: Any) -> float | None:
    """A part of the side; None for anything else."""
    found = plain(value)
    return float(found) if isinstance(found, int | float) and 0 < found <= 1 else None
