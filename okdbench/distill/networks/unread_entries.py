"""Entries of a file that speak of preprocessing by their names, in a form that nothing here understands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from okdbench.distill.networks.plain_values import mapping_of, plain
from okdbench.distill.networks.stated_modes import SILENT
from okdbench.distill.networks.stated_statistics import NO_IMAGES
from okdbench.distill.networks.stated_values import stated_in
from okdbench.distill.networks.transform_steps import has_steps

_SPEAKS = re.compile(r"(\w+_)?(pre_?process(ing|or)?|normali[sz](e|er|ation|ing)|transform(s|ations?)?)", re.IGNORECASE)
#: parts of a normalisation, which may be anything else unless there is one for each colour
_PARTS = re.compile(r"subtract|divide|shift|offset|mu|sd|center|scale", re.IGNORECASE)
_COLOURS = 3
#: a text that is read elsewhere
_PIPELINE = re.compile(r"\bCompose\(|dict\(|mean.*std", re.DOTALL)
#: levels in which they are looked for
_DEEPEST = 4


def unread_entries(content: Mapping[str, Any], depth: int = _DEEPEST) -> Iterator[str]:
    """Their names.

    >>> list(unread_entries({"cfg": {"preprocess": {"scale": 2.5, "shift": -0.5}}, "transform": None, "lr": 0.1}))
    ['preprocess']
    """
    for name, value in content.items() if depth else ():
        inner = mapping_of(value)
        if NO_IMAGES.search(str(name)) or {"_modules", "transforms"} & inner.keys() or has_steps(value):
            continue
        speaks = _SPEAKS.fullmatch(str(name))
        if (speaks and not _is_understood(value, depth)) or (_PARTS.fullmatch(str(name)) and _is_of_colours(value)):
            yield str(name)
        elif not speaks:
            yield from unread_entries(inner, depth - 1)


def _is_of_colours(value: Any) -> bool:
    numbers = plain(value)
    is_list = isinstance(numbers, list | tuple) and len(numbers) == _COLOURS
    return is_list and all(isinstance(number, int | float) for number in numbers)


def _is_understood(value: Any, depth: int) -> bool:
    """Whether it is read elsewhere, or says nothing."""
    if inner := mapping_of(value):
        is_read = {"transforms", "type"} & inner.keys() or any(each is not None for each in stated_in(inner).values())
        below = (each for each in inner.values() if mapping_of(each))
        return not depth or bool(is_read) or any(_is_understood(each, depth - 1) for each in below)
    if isinstance(value, str):
        return not value or bool(_PIPELINE.search(value) or SILENT.fullmatch(value.lower()))
    return value is None or isinstance(value, bool | int | float) or (isinstance(value, list | tuple) and not value)
