"""The accuracy that a file of weights says its network has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from okdbench.distill.networks.plain_values import mapping_of, plain

#: words before and after that of an accuracy on images that were not trained on; timm's train.py calls it metric
_NAMES = re.compile(
    r"((best|val|valid|validation|test|eval|top|mean|final|max)[_/ .-]?)*"
    r"(acc(uracy)?|prec|top)([_@/ .-]?(1|top1|val|test|best))?|metric",
    re.IGNORECASE,
)
#: levels in which it is looked for
_DEEPEST = 3


def accuracy_in(content: Mapping[str, Any]) -> float | None:
    """The largest that it says, in percent; None where it says none.

    >>> accuracy_in({"state_dict": {}, "best_acc1": 91.5, "args": {"val_accuracy": 0.93, "accuracy_weight": 1.0}})
    93.0
    """
    return max(_stated(content, _DEEPEST), default=None)


def _stated(content: Mapping[str, Any], depth: int) -> Iterator[float]:
    for name, value in content.items() if depth else ():
        if not isinstance(value, Tensor) and (inner := mapping_of(value)):
            yield from _stated(inner, depth - 1)
        elif _NAMES.fullmatch(str(name)) and (percent := _percent(value)):
            yield percent


def _percent(value: Any) -> float | None:
    """A share or a percentage; one as a whole number may be a number of anything."""
    found = plain(value)
    number = found[0] if isinstance(found, list) and len(found) == 1 else found
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 100:
        return None
    return 100.0 * number if number <= 1 and isinstance(number, float) else float(number)
