"""Values of a file as plain numbers: texts that spell them, as in the metadata of safetensors, and tensors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from okdbench.distill.networks.inert_pickle import InertArray

#: a value that is there and cannot be understood
UNREAD = "not understood"
#: a longer list has no entries
_LONGEST = 50


def is_said(value: Any) -> bool:
    """Whether it says anything: None and an empty text do not."""
    return value is not None and not (isinstance(value, str) and not value)


def plain(value: Any) -> Any:
    """Text as the value that it spells; a tensor or an array as numbers."""
    if isinstance(value, Tensor):
        return value.flatten().tolist() if value.layout == torch.strided else None
    if isinstance(value, InertArray):
        return value.numbers
    if isinstance(value, str):
        try:
            return json.loads(value.replace("(", "[").replace(")", "]"))
        except ValueError:
            parts = value.strip("()[]").replace(",", " ").split()
            return list(map(float, parts)) if parts and all(map(_is_number, parts)) else value
    return value


def numbers_of(value: Any, most: float = 255) -> tuple[float, ...] | None:
    """One number, or one for each of three channels, none negative or larger than ``most``; None for others."""
    found = plain(value)
    numbers = [*map(_single, found)] if isinstance(found, list | tuple) else [found]
    if len(numbers) not in (1, 3) or not all(isinstance(n, int | float) and 0 <= n <= most for n in numbers):
        return None
    return tuple(map(float, numbers))


def _single(value: Any) -> Any:
    """A number in a tensor or an array of its own as this number."""
    found = plain(value) if isinstance(value, Tensor | InertArray) else value
    return found[0] if isinstance(found, list) and len(found) == 1 else found


def mapping_of(value: Any) -> Mapping[str, Any]:
    """An entry as a mapping: one, JSON of one, a list of some, or an object such as ``argparse.Namespace``."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            return {}
    if isinstance(value, list | tuple) and len(value) < _LONGEST and all(isinstance(each, Mapping) for each in value):
        return {str(index): each for index, each in enumerate(value)}
    if isinstance(value, Mapping) and value:
        return value
    return getattr(value, "__dict__", {})


def _is_number(text: str) -> bool:
    return text.replace(".", "", 1).isdigit()
