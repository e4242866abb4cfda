"""What a pipeline of transforms says of the images: objects of torchvision, dicts with names, or any text.

A text may be a printed pipeline, a configuration of OpenMMLab, or ``mean=...; std=...``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from okdbench.distill.networks.openmmlab import size_of_pipeline
from okdbench.distill.networks.plain_values import UNREAD, numbers_of
from okdbench.distill.networks.transform_sizes import size_of_steps
from okdbench.distill.networks.transform_steps import ONE, steps_of
from okdbench.distill.networks.unusual_steps import SCALES, of_steps

#: a number, several in brackets, or several with commas
_NUMBERS = r"(?:\w+\()?([\[(][^\])]{0,200}[\])]|\d[\d.]*(?:\s*,\s*\d[\d.]*)*)(?:(?:, *dtype=[\w.]+)?\))?"
#: a mean and a standard deviation beside each other, with other plain arguments between them
_STATISTICS = re.compile(rf"mean['\"]?\s*[=:]\s*{_NUMBERS}([^()\[\]{{}}]{{0,80}}?)std['\"]?\s*[=:]\s*{_NUMBERS}", re.I)
#: the same, whatever the values are
_MENTIONED = re.compile(r"mean['\"]?\s*[=:].{0,200}?std['\"]?\s*[=:]", re.I | re.DOTALL)
#: a switch for the order in a configuration of OpenMMLab
_TO_RGB = re.compile(r"\b(?:bgr_)?to_rgb['\"]?\s*[=:]\s*(True|False)")
#: the sides and the filter in torchvision's transforms of its weights
_PRESET = re.compile(
    r"crop_size=\[(?P<crop_size>\d+)\]\s+resize_size=\[(?P<resize_size>\d+)\]"
    r".{0,200}interpolation=InterpolationMode\.(?P<interpolation>\w+)",
    re.DOTALL,
)
#: number of a filter in OpenCV, which Albumentations uses -> the nearest one here
_OPENCV = {"0": "nearest", "1": "cv2", "3": "box"}
#: in a text that names initial values of weights, one number beside another is one of those
_INITIAL = re.compile(r"init_cfg|layer=")


def of_transforms(pipeline: str | Mapping[str, Any] | Sequence[Any]) -> Mapping[str, Any]:
    """Its statistics and sizes, under names that :func:`okdbench.distill.networks.stated_values.stated_in` reads."""
    steps = steps_of(pipeline)
    found = _in_text(pipeline) if isinstance(pipeline, str) else {}
    for index, step in enumerate(steps):
        given = step.given
        if {"mean", "std"} <= given.keys() and not step.is_random and not isinstance(pipeline, str):
            found |= {"mean": given["mean"], "std": given["std"]}
        if str(given.get("max_pixel_value")) in ONE and not any(name in SCALES for name, _ in steps[:index]):
            found["value_range"] = 255
        if ("num_output_channels" in given or step.name == "ToGray") and str(given.get("p", 1)) in ONE:
            found["channel_order"] = "grey"
        if "interpolation" in given and step.is_frame:
            found["interpolation"] = _filter(given)
    further, sizes = of_steps(steps), size_of_steps(steps)
    if any(name.startswith("normalization=") for name in further.get(UNREAD, ())):
        found = {name: value for name, value in found.items() if name not in ("mean", "std")}
    names = (*further.get(UNREAD, ()), *sizes.get(UNREAD, ()))
    return found | further | sizes | ({UNREAD: names} if names else {})


def _in_text(text: str) -> dict[str, Any]:
    """The statistics and the order; UNREAD for what is there in another form."""
    pairs = {(mean, std) for mean, _, std in _STATISTICS.findall(text) if _is_image(text, mean)}
    read = {(numbers_of(mean), numbers_of(std)) for mean, std in pairs}
    if not read:
        return {"mean": UNREAD, "std": UNREAD} if _MENTIONED.search(text) and not _INITIAL.search(text) else {}
    mean, std = next(iter(pairs))
    found: dict[str, Any] = {"mean": mean, "std": std} if len(read) == 1 else {"mean": UNREAD, "std": UNREAD}
    if switches := {*_TO_RGB.findall(text)}:
        found["to_rgb"] = "True" in switches
    if preset := _PRESET.search(text):
        found |= preset.groupdict()
    return found | size_of_pipeline(text)


def _is_image(text: str, mean: str) -> bool:
    return mean[0] in "[(" or not _INITIAL.search(text)


def _filter(given: Mapping[str, Any]) -> str:
    name = str(given["interpolation"]).lower().rpartition(".")[2]
    if "size" not in given:
        return _OPENCV.get(name, UNREAD)
    if str(given.get("antialias")) == "False" and name != "nearest":
        return "cv2" if name == "bilinear" else UNREAD
    return name
