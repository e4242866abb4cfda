"""What a ``preprocessor_config.json`` of Hugging Face says of the images."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from okdbench.distill.networks.plain_values import numbers_of, plain
from okdbench.distill.networks.stated_sizes import share_of, side_of

#: the names that show what an entry is
_SIGNS = ("do_resize", "do_normalize", "do_rescale", "image_mean", "do_flip_channel_order")
#: what its pixels are multiplied by where nothing else is said
_USUAL_FACTOR = 1 / 255


def of_hugging_face(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Its values, None where one is there and cannot be understood; nothing for other entries."""
    if not any(name in entry for name in _SIGNS):
        return {}
    return (_size(entry) if entry.get("do_resize") is not False else {}) | _normalisation(entry)


def _size(entry: Mapping[str, Any]) -> dict[str, Any]:
    size, whole = entry.get("size"), side_of(entry.get("size"))
    keeps_shape = isinstance(size, Mapping) and "shortest_edge" in size
    if entry.get("do_center_crop") is True and (inner := side_of(entry.get("crop_size"))):
        rule = "crop" if keeps_shape or isinstance(size, int) else "stretch"
        return {"image_size": inner, "rule": rule, "share": min(1.0, inner / whole) if whole else 1.0}
    if not whole:
        return {} if size is None else {"image_size": None}
    share = share_of(entry.get("crop_pct"))
    if keeps_shape and share is None:  # its images are no squares
        return {"image_size": whole, "resize": None}
    return {"image_size": whole, "rule": "crop" if keeps_shape else "stretch", "share": share or 1.0}


def _normalisation(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The statistics where they are not simply those of the entry: the rescaling is a part of them."""
    is_left_out = "do_normalize" not in entry and "image_mean" not in entry
    if entry.get("do_normalize") is False or (is_left_out and {"do_rescale", "do_flip_channel_order"} & entry.keys()):
        mean, std = numbers_of(0), numbers_of(1)
    else:
        mean, std = numbers_of(entry.get("image_mean")), numbers_of(entry.get("image_std"))
    if not mean or not std:
        return {"value_range": 255} if entry.get("do_rescale") is False else {}
    if entry.get("do_rescale") is False:
        return {"value_range": 255, "mean": mean, "std": std}
    factor, offset = plain(entry.get("rescale_factor", _USUAL_FACTOR)), int(entry.get("rescale_offset") is True)
    if not isinstance(factor, int | float) or factor <= 0:
        return {"mean": None, "std": None}
    largest = round(255 * factor, 6)  # of a rescaled pixel
    return {"mean": tuple((m + offset) / largest for m in mean), "std": tuple(s / largest for s in std)}
