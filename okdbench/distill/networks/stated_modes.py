"""Preprocessing that an entry says in a word or as a range: mean and std where these express it, else its name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from timm.data.constants import IMAGENET_DEFAULT_MEAN, IMAGENET_DEFAULT_STD, OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from okdbench.distill.networks.plain_values import UNREAD, plain

#: of blue, green and red in the networks of Caffe, and of PyTorch's that are made of them
CAFFE_MEAN = (103.939, 116.779, 123.68)
_HALF = {"mean": (0.5,), "std": (0.5,)}
_IMAGENET = {"mean": IMAGENET_DEFAULT_MEAN, "std": IMAGENET_DEFAULT_STD}
_CLIP = {"mean": OPENAI_CLIP_MEAN, "std": OPENAI_CLIP_STD}
#: word of Keras, of timm, and of many scripts -> what it is
_WORDS: Mapping[str, Mapping[str, Any]] = {
    **dict.fromkeys(("tf", "inception", "imagenet_inception"), _HALF),
    **dict.fromkeys(("torch", "imagenet", "imagenet_default"), _IMAGENET),
    **dict.fromkeys(("clip", "openai_clip"), _CLIP),
    "caffe": {"mean": CAFFE_MEAN, "std": (1.0,), "channel_order": "bgr", "value_range": 255},
}
_BEFORE = "(image_|img_|input_|data_|pixel_)?"
#: names of a way to normalise
_MODE = re.compile(rf"{_BEFORE}(normali[sz](e|ation)|preprocess(ing)?|rescal(e|ing))(_mode|_method|_type)?", re.I)
#: switch of BEiT and ConvNeXt between two of them
_DEFAULT_OR_HALF = "imagenet_default_mean_and_std"
_SWITCHED: Mapping[str, Mapping[str, Any]] = {"true": _IMAGENET, "false": _HALF}
#: names of a way that no mean and no standard deviation expresses
_PER_IMAGE = re.compile(
    r"per_(image|sample|instance)(_(norm|standardi|whiten|mean)\w*)?|(\w+_)?standardi[sz](e|ation)", re.I
)
#: words that say nothing of images: a layer of the network, or that there is some way or none
SILENT = re.compile(
    r"(batch|layer|group|rms|instance)\w*|[bgl]n|none|default|standard|mean_std|true|false|yes|no|colou?r"
)
_COLOURS = re.compile(rf"{_BEFORE}colou?r_(space|mode)", re.IGNORECASE)
_ORDERS = {"rgb": "rgb", "srgb": "rgb", "bgr": "bgr", "grey": "grey", "gray": "grey", "grayscale": "grey"}
#: entries with a smallest and a largest value
RANGES = ("value_range", "input_range", "pixel_range")
#: a switch of the normalisation, and one of the division by 255 beside it
_SWITCH = re.compile(rf"{_BEFORE}normali[sz]e(_images?|_inputs?)?", re.IGNORECASE)
_SCALES = ("scale", "rescale")
#: what an entry says without mean and std: 1 or 255, the largest value of pixels that are not normalised
UNNORMALISED = "unnormalised"
#: the entry with a range from -1 to 1; with other statistics than these, it is not known which comes first
SIGNED = "signed"
#: words that name a data set, whose statistics are given differently
_DATA_SET = re.compile(r"\w*(mnist|cifar|svhn|stl|imagenet|places|celeba|food)[\w-]*")
#: a word, not a text
_WORD = re.compile(r"[\w .-]{1,30}")


def of_modes(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Its values, and None under the name of what is not understood, those of steps under ``UNREAD`` among them."""
    found: dict[str, Any] = _of_ranges(entry) | _unnormalised(entry)
    strange: list[str] = []
    for name, value in entry.items():
        word = value.lower() if isinstance(value, str) and _WORD.fullmatch(value) else ""
        if _COLOURS.fullmatch(str(name)) and word in _ORDERS:
            found["channel_order"] = _ORDERS[word]
        elif _MODE.fullmatch(str(name)) and word in _WORDS:
            found |= _WORDS[word]
        elif name == _DEFAULT_OR_HALF and isinstance(value, bool | str):
            found |= _SWITCHED.get(str(value).lower(), {})
        elif _is_strange(str(name), value, word):
            text = f"{name}={value}"
            strange.append(f"mean and std ({text})" if _DATA_SET.fullmatch(word) else text)
    listed = entry.get(UNREAD)
    strange += [each for each in listed if isinstance(each, str)] if isinstance(listed, tuple) else []
    return found | dict.fromkeys(strange)


def _is_strange(name: str, value: Any, word: str) -> bool:
    if _PER_IMAGE.fullmatch(name):
        return value is True or (bool(word) and not SILENT.fullmatch(word))
    is_mode = _MODE.fullmatch(name) and not _fraction(value)
    return bool(word and (is_mode or _COLOURS.fullmatch(name)) and not SILENT.fullmatch(word))


def _of_ranges(entry: Mapping[str, Any]) -> dict[str, Any]:
    """From -1 to 1, as a range or as a factor with an offset."""
    if name := _with_ends(entry, -1, 1):
        return {**_HALF, SIGNED: name}
    factor, offset = (_fraction(entry.get(name)) for name in ("rescale", "offset"))
    if not factor or factor < 0 or offset is None or offset > 0:
        return {}
    return {"mean": (-offset / (255 * factor),), "std": (1 / (255 * factor),)}


def _unnormalised(entry: Mapping[str, Any]) -> dict[str, Any]:
    """That nothing is normalised: a switch is off, or there is a range from 0 to 1 and no word on a normalisation."""
    if any(_SWITCH.fullmatch(str(name)) and _is_off(value) for name, value in entry.items()):
        return {UNNORMALISED: 255 if any(_is_off(entry.get(name)) for name in _SCALES) else 1}
    is_said = any(_MODE.fullmatch(str(name)) or _PER_IMAGE.fullmatch(str(name)) for name in entry)
    return {UNNORMALISED: 1} if _with_ends(entry, 0, 1) and not is_said else {}


def _is_off(value: Any) -> bool:
    return isinstance(value, bool | str) and str(value).lower() == "false"


def _with_ends(entry: Mapping[str, Any], least: int, most: int) -> str:
    """The name of the range from ``least`` to ``most``; empty without one."""
    found = {name: plain(entry.get(name)) for name in RANGES}
    names = (name for name, ends in found.items() if isinstance(ends, list | tuple) and [*ends] == [least, most])
    return next(names, "")


def _fraction(value: Any) -> float | None:
    """A number, or a text such as 1/127.5."""
    try:
        above, _, below = str(value).partition("/")
        return float(Fraction(above) / Fraction(below or 1)) if isinstance(value, str | int | float) else None
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
