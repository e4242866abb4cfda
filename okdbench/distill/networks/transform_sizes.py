"""What the steps of a pipeline make of the sides of images: they are read in their order, and others are named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from okdbench.distill.networks.plain_values import UNREAD
from okdbench.distill.networks.stated_sizes import UNREAD_CUT
from okdbench.distill.networks.transform_steps import ONE, Step

#: names of steps that scale both sides, or the shorter one, to a number
_RESIZES = ("Resize", "SmallestMaxSize", "Scale", "")
#: arguments with two sides
_PAIRS = (("height", "width"), ("min_height", "min_width"))


def size_of_steps(steps: Sequence[Step]) -> dict[str, Any]:
    """Their ``image_size`` and ``resize``, UNREAD for a size that is no square, and the names of other steps."""
    framing = _once([step for step in steps if step.is_frame and (not _is_by_chance(step) or _sides(step))])
    if not framing:
        return {}
    sides = [_sides(step) for step in framing]
    kinds = [_kind(step) for step in framing]
    is_square = len({*sides[-1]}) == 1 and len({*kinds}) == len(kinds)
    found = {"image_size": sides[-1][0] if is_square else UNREAD}
    if any(_is_by_chance(step) for step in framing):
        rule = UNREAD if "Resize" in kinds else ""
    else:
        rule = _rule(kinds, sides, framing)
    names = [step.name for step in steps]
    if rule == "pad" and "Normalize" in names[: names.index("PadIfNeeded")]:
        rule = UNREAD  # the border is not black then
    if rule != UNREAD:
        return found | ({"resize": rule} if rule else {})
    return found | {UNREAD: (f"{UNREAD_CUT}{_spelt([step.name or 'Resize' for step in framing])})",)}


def _rule(kinds: Sequence[str], sides: Sequence[Sequence[int]], steps: Sequence[Step]) -> str:
    """The rule; empty where the shorter side is all that is said, UNREAD for one that is not known."""
    first, last = sides[0], sides[-1]
    is_square = all(len({*each}) == 1 for each in sides)
    if kinds == ["Resize"] and steps[0].given.get("max_size") in (None, "None", *first):
        return "stretch" if is_square and len(first) > 1 else ""
    if kinds == ["Resize", "CenterCrop"] and is_square and last[0] <= first[0]:
        return f"{'crop' if len(first) == 1 else 'stretch'}:{last[0] / first[0]}"
    if kinds == ["LongestMaxSize", "PadIfNeeded"] and is_square and first[0] == last[0] and _is_black(steps[1].given):
        return "pad"
    return UNREAD


def _kind(step: Step) -> str:
    return "Resize" if step.name in _RESIZES else step.name


def _spelt(names: Sequence[str]) -> str:
    """``CenterCrop before Resize``."""
    return "CenterCrop without a Resize" if names == ["CenterCrop"] else " before ".join(names)


def _once(steps: list[Step]) -> list[Step]:
    """The steps of one pipeline of a text that has it twice."""
    sides, half = [(step.name, _sides(step)) for step in steps], len(steps) // 2
    return steps[:half] if sides[:half] == sides[half:] else steps


def _is_by_chance(step: Step) -> bool:
    return step.is_random or str(step.given.get("p", 1)) not in ONE


def _sides(step: Step) -> list[int]:
    """One or two sides; none where they are not understood."""
    name = "size" if step.given.get("size") is not None else "max_size"
    pair = next((pair for pair in _PAIRS if {*pair} <= step.given.keys()), ())
    given = [step.given[side] for side in pair] if pair and name == "max_size" else step.given.get(name)
    numbers = re.findall(r"\d{1,9}", str(given)) if isinstance(given, str | int | list | tuple) else []
    return [*map(int, numbers)] if len(numbers) < 3 and all(map(int, numbers)) else []


def _is_black(given: Mapping[str, Any]) -> bool:
    """Whether Albumentations' border is black and on all sides."""
    mode, place = (str(given.get(name, usual)).rpartition(".")[2] for name, usual in
                   (("border_mode", ""), ("position", "center")))  # fmt: skip
    colour = str(given.get("value", given.get("fill", 0)))
    is_zero = colour == "None" or {*map(float, re.findall(r"\d+(?:\.\d+)?", colour))} == {0.0}
    return mode in ("0", "BORDER_CONSTANT") and place.lower() == "center" and is_zero
