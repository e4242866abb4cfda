"""What a pipeline of transforms says of the images: objects of torchvision, dicts of Albumentations, or any text.

A text may be a printed pipeline, a configuration of OpenMMLab, or ``mean=...; std=...``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from okdbench.distill.networks.openmmlab import size_of_pipeline
from okdbench.distill.networks.plain_values import UNREAD, numbers_of
from okdbench.distill.networks.transform_steps import cuts_alone, of_steps

#: the printed form of a transform of the size or the colours: its name, and what is in its brackets
_PRINTED = re.compile(r"\b(Resize|CenterCrop|Grayscale|ToGray)\(((?:[^()]|\([^()]*\))*)\)")
#: an argument in it: a number, or several in brackets
_ARGUMENT = re.compile(r"(\w+)=(\d+(?:\.\d+)?|[\[(][^\])]*[\])])")
#: arguments that are words
_WORD = re.compile(r"(interpolation|antialias)=([\w.]+)")
#: a number, several in brackets, or several with commas
_NUMBERS = r"([\[(][^\])]{0,200}[\])]|\d[\d.]*(?:\s*,\s*\d[\d.]*)*)"
#: a mean and a standard deviation beside each other, with other plain arguments between them
_STATISTICS = re.compile(rf"mean['\"]?\s*[=:]\s*{_NUMBERS}([^()\[\]{{}}]{{0,80}}?)std['\"]?\s*[=:]\s*{_NUMBERS}", re.I)
#: the same, whatever the values are
_MENTIONED = re.compile(r"mean['\"]?\s*[=:].{0,200}?std['\"]?\s*[=:]", re.I | re.DOTALL)
#: a switch for the order in a configuration of OpenMMLab
_TO_RGB = re.compile(r"\b(?:bgr_)?to_rgb['\"]?\s*[=:]\s*(True|False)")
#: how 1 may be written
_ONE = ("1", "1.0")
#: arguments of transforms that change the size
_SIDES = {"size", "height", "max_size", "min_height"}
#: number of a filter in OpenCV, which Albumentations uses -> the nearest one here
_OPENCV = {"0": "nearest", "1": "cv2", "3": "box"}
#: in a text that names initial values of weights, one number beside another is one of those
_INITIAL = re.compile(r"init_cfg|layer=")


def of_transforms(pipeline: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Its statistics and sizes, under names that :func:`okdbench.distill.networks.stated_values.stated_in` reads."""
    if isinstance(pipeline, str):
        steps, found = list(_printed(pipeline)), _in_text(pipeline)
    else:
        steps, found = list(_steps(pipeline)), {}
    for step in steps:
        if {"mean", "std"} <= step.keys():
            found |= {"mean": step["mean"], "std": step["std"]}
        if str(step.get("max_pixel_value")) in _ONE:
            found["value_range"] = 255
        if ("num_output_channels" in step or _name(step) == "ToGray") and str(step.get("p", 1)) in _ONE:
            found["channel_order"] = "grey"
        if "interpolation" in step and _SIDES & step.keys():
            found["interpolation"] = _filter(step)
    further = of_steps(pipeline)
    if any(name.startswith("normalization=") for name in further.get(UNREAD, ())):
        found = {name: value for name, value in found.items() if name not in ("mean", "std")}
    sizes = _size([_sides(step) for step in steps if _SIDES & step.keys()])
    if sizes.get("image_size", UNREAD) != UNREAD and cuts_alone(pipeline):
        # which part of the side is left depends on the images
        sizes = {"image_size": sizes["image_size"], "center_crop": "without a Resize"}
    return found | further | sizes


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
    return found | size_of_pipeline(text)


def _is_image(text: str, mean: str) -> bool:
    return mean[0] in "[(" or not _INITIAL.search(text)


def _size(steps: Sequence[Sequence[int]]) -> dict[str, Any]:
    """What ``Resize``, and ``CenterCrop`` after it, make of the sides: one number is that of the shorter side."""
    if not steps:
        return {}
    if len(steps) > 2 or not all(len({*sides}) == 1 for sides in steps):
        return {"image_size": UNREAD}
    (whole, *_), (inner, *_) = steps[0], steps[-1]
    if len(steps) == 1:
        return {"image_size": whole, **({"resize": "stretch"} if len(steps[0]) == 2 else {})}
    rule = "crop" if len(steps[0]) == 1 else "stretch"
    return {"image_size": inner, "resize": f"{rule}:{min(1.0, inner / whole)}"}


def _filter(step: Mapping[str, Any]) -> str:
    name = str(step["interpolation"]).lower().rpartition(".")[2]
    if "size" not in step:
        return _OPENCV.get(name, UNREAD)
    if str(step.get("antialias")) == "False" and name != "nearest":
        return "cv2" if name == "bilinear" else UNREAD
    return name


def _printed(text: str) -> Iterator[Mapping[str, Any]]:
    for name, arguments in _PRINTED.findall(text):
        found = dict(_ARGUMENT.findall(arguments) + _WORD.findall(arguments))
        yield {**found, "__class_fullname__": name} if name == "ToGray" else found


def _steps(pipeline: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Each transform as a mapping: the attributes of an object, or the dict of Albumentations."""
    steps = pipeline["transforms"]
    for step in steps if isinstance(steps, list | tuple) else ():
        yield step if isinstance(step, Mapping) and step else getattr(step, "__dict__", {})


def _name(step: Mapping[str, Any]) -> str:
    """Of the class, where it is known."""
    return str(step.get("__class_fullname__", "")).rpartition(".")[2]


def _sides(step: Mapping[str, Any]) -> list[int]:
    """One or two sides; none where they are not understood."""
    if _name(step) not in ("", "Resize", "CenterCrop"):
        return []
    size = step["size"] if "size" in step else [step.get("height"), step.get("width")]
    numbers = re.findall(r"\d+", str(size))
    return list(map(int, numbers)) if isinstance(size, str | int | list | tuple) and len(numbers) < 3 else []
