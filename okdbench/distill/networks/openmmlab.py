"""The size of the images, its rule and filter in a pipeline of OpenMMLab: a list of dicts, or a configuration's text.

A file may have several pipelines, for training and for tests. A centre crop is of a test, so the resizing before it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any

from okdbench.distill.networks.plain_values import UNREAD
from okdbench.distill.networks.stated_sizes import side_of

#: a step in a text, ``dict(...)`` or ``{...}``, with nothing in brackets but numbers
_STEP = re.compile(r"\bdict\(((?:[^()]|\([\d\s,.-]*\))*)\)|\{([^{}]*)\}")
#: an argument of it: a text, a number, or several numbers
_ARGUMENT = re.compile(r"(\w+)['\"]?\s*[=:]\s*(?:['\"](\w+)['\"]|(\d+|[\[(][\d\s,-]*[\])]))")
#: filter of OpenCV, which resizes where no other backend is named -> the nearest one here
_OPENCV = {"bilinear": "cv2", "nearest": "nearest", "area": "box"}
#: the shorter side alone
_SHORTER = re.compile(r"[\[(]\s*(\d+)\s*,\s*-1\s*,?\s*[\])]")


def size_of_pipeline(pipeline: str | Iterable[Any]) -> dict[str, Any]:
    """Its ``image_size``, ``resize`` and ``interpolation``; UNREAD for one that is there in another form."""
    steps = list(_in_text(pipeline) if isinstance(pipeline, str) else _in_list(pipeline))
    kinds = [str(step["type"]) for step in steps if re.search(r"Resize|Crop", str(step["type"]))]
    found = {made for step, after in pairwise(steps) if (made := _cropped(step, after))}
    if len(found) == 1:
        return dict(zip(("image_size", "resize", "interpolation"), found.pop(), strict=True))
    is_cut = any(kind in ("ResizeEdge", "CenterCrop") for kind in kinds)
    return ({"image_size": UNREAD} if kinds else {}) | ({"resize": UNREAD} if is_cut else {})


def _in_text(text: str) -> Iterator[Mapping[str, Any]]:
    for match in _STEP.finditer(text):
        step = {name: word or numbers for name, word, numbers in _ARGUMENT.findall(match[1] or match[2] or "")}
        if "type" in step:
            yield step


def _in_list(steps: Iterable[Any]) -> Iterator[Mapping[str, Any]]:
    for step in steps:
        if isinstance(step, Mapping) and isinstance(step.get("type"), str):
            yield step


def _cropped(step: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[int, str, str] | None:
    """The side, the rule and the filter of a resizing with a centre crop after it; None for other steps."""
    inner = side_of(after.get("crop_size")) if after["type"] == "CenterCrop" else None
    given = str(step.get("scale", step.get("size", "")))
    shorter = _SHORTER.fullmatch(given)
    whole = int(shorter[1]) if shorter else side_of(given)
    if not inner or not whole or step["type"] not in ("ResizeEdge", "Resize") or step.get("edge", "short") != "short":
        return None
    rule = "crop" if shorter or step["type"] == "ResizeEdge" else "stretch"
    name = str(step.get("interpolation", "bilinear"))
    own = name if step.get("backend") == "pillow" else _OPENCV.get(name, UNREAD)
    return inner, f"{rule}:{min(1.0, inner / whole)}", own
