"""What a pipeline of torchvision says of the images, pickled as objects or printed as a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from okdbench.distill.networks.stated_values import UNREAD

#: the printed form of a transform: its name, and what is in its brackets
_PRINTED = re.compile(r"\b(Normalize|Resize|CenterCrop)\(((?:[^()]|\([^()]*\))*)\)")
#: an argument in it: a number, or several in brackets
_ARGUMENT = re.compile(r"(\w+)=(\d+(?:\.\d+)?|[\[(][^\])]*[\])])")


def of_torchvision(pipeline: str | Mapping[str, Any]) -> Mapping[str, Any]:
    """Its statistics and sizes, under names that :func:`okdbench.distill.networks.stated_values.stated_in` reads."""
    steps = list(_printed(pipeline) if isinstance(pipeline, str) else _pickled(pipeline))
    found: dict[str, Any] = {}
    for step in steps:
        if {"mean", "std"} <= step.keys():
            found |= {"mean": step["mean"], "std": step["std"]}
    return found | _size([_sides(step["size"]) for step in steps if "size" in step])


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


def _printed(text: str) -> Iterator[Mapping[str, Any]]:
    for _, arguments in _PRINTED.findall(text):
        yield dict(_ARGUMENT.findall(arguments))


def _pickled(pipeline: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    steps = pipeline["transforms"]
    return (getattr(step, "__dict__", {}) for step in (steps if isinstance(steps, list | tuple) else ()))


def _sides(size: Any) -> list[int]:
    """One or two sides; none where they are not understood."""
    numbers = re.findall(r"\d+", str(size))
    return list(map(int, numbers)) if isinstance(size, str | int | list | tuple) and len(numbers) < 3 else []
