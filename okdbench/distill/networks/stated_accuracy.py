"""The accuracy that a file of weights says its network has."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import Tensor

from okdbench.distill.networks.plain_values import mapping_of, plain

#: words of an accuracy, and those of images that were not trained on
_ACCURACY = re.compile(r"(\w+[_/ .-])?(acc(uracy)?|prec|top)([_@]?(1|top1))?([_/ ]\w+)?|metric", re.IGNORECASE)
_TESTED = re.compile(r"(best|val(id(ation)?)?|test|eval)", re.IGNORECASE)
#: entries of a training, and its options
_OTHERS = re.compile(r"train|args|conf|cfg|hparam|hyper|state_dict|optim", re.IGNORECASE)
#: levels in which it is looked for
_DEEPEST = 3


def accuracy_in(content: Mapping[str, Any]) -> float | None:
    """The largest that it says, in percent, of those on other images than the training's if there are any; or None.

    >>> accuracy_in({"best_acc1": 91.5, "metrics": {"val_accuracy": 0.93, "acc": 0.999}, "args": {"acc": 32}})
    93.0
    """
    found = [*_stated(content, False, _DEEPEST)]
    tested = [percent for percent, is_tested in found if is_tested]
    return max(tested or [percent for percent, _ in found], default=None)


def _stated(content: Mapping[str, Any], is_tested: bool, depth: int) -> Iterator[tuple[float, bool]]:
    """Each accuracy, and whether its name, or that of an entry around it, is one of a test."""
    for name, value in content.items() if depth else ():
        if _OTHERS.search(str(name)):
            continue
        of_test = is_tested or bool(_TESTED.search(str(name)))
        if not isinstance(value, Tensor) and (inner := mapping_of(value)):
            yield from _stated(inner, of_test, depth - 1)
        elif _ACCURACY.fullmatch(str(name)) and (percent := _percent(value)):
            yield percent, of_test


def _percent(value: Any) -> float | None:
    """A share or a percentage; one as a whole number may be a number of anything."""
    found = plain(value)
    number = found[0] if isinstance(found, list) and len(found) == 1 else found
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number <= 100:
        return None
    return 100.0 * number if number <= 1 and isinstance(number, float) else float(number)
