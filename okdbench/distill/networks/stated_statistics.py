"""The mean and the standard deviation of images in one entry of a file, under any of the names that are common."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from okdbench.distill.networks.plain_values import is_said, numbers_of

#: mean and std, None where one is there and cannot be understood
Statistics = dict[str, tuple[float, ...] | None]

_MEANS, _STDS = ("mean", "means", "mu", "subtract"), ("std", "stds", "sigma", "stdev", "sd", "divide")
_VARIANCES = ("variance", "var")
#: what stands before these words in the usual names
_USUAL = ("", "image_", "img_", "pixel_", "norm_", "dataset_", "data_", "input_", "channel_")
#: any other name with the word, such as cifar_mean, mean_rgb, and mean_ of a scaler of scikit-learn
_OTHER = re.compile(rf"(\w+_|)(?:{'|'.join(_MEANS)})(_\w*|)")
#: any name with one of the words
_ANY = re.compile(rf"(\w+_|)({'|'.join((*_MEANS, *_STDS, *_VARIANCES))})(_\w+|)")
#: names of a mean and a standard deviation in one list
_PAIR = re.compile(r"(\w+_)?stats|mean_std|norm(ali[sz](e|ation))?")
#: channels of an image in colour; an unusual name with one number may be anything
_COLOURS = 3
#: names of entries whose statistics are those of something else
NO_IMAGES = re.compile(
    r"optim|sched|metric|loss|reward|target|score|hist|accuracy|running|noise|jitter|(^|_)init(?!_arg)|"
    r"(^|_)(weight|bias|results?|folds?|cv)(_|\d|$)",
    re.IGNORECASE,
)

#: name of a mean in a layer of a network -> that of its standard deviation
STATISTICS = {
    **{f"{before}mean": f"{before}std" for before in _USUAL},
    "mu": "sigma",
    "_mean": "_std",
}


def statistics_in(entry: Mapping[str, Any]) -> Statistics:
    """Mean and std of an entry; those of usual names before others."""
    values = {str(name).lower(): value for name, value in entry.items() if is_said(value)}
    for before in _USUAL:
        if found := _under(values, before, ""):
            return found
    others = [each for name in values if (each := _in_list(name, values[name]) or _elsewhere(values, name))]
    if any(each != others[0] for each in others):
        return dict.fromkeys(("mean", "std"))
    return dict(others[0]) if others else {}


def is_statistic(path: str) -> bool:
    """Whether a value at this place, as of an entry in a mapping, is a mean or a standard deviation of images."""
    *above, last = path.lower().split(".")
    name = above[-1] if above and last.isdigit() else last
    return not NO_IMAGES.search(name) and bool(_ANY.fullmatch(name) or _PAIR.fullmatch(name))


def _under(values: Mapping[str, Any], before: str, after: str) -> Statistics:
    """Those whose names differ in the word alone; a mean or a std without the other only under these two words."""
    mean, std, variance = (
        _first(values, [before + word + after for word in words]) for words in (_MEANS, _STDS, _VARIANCES)
    )
    if mean is not None and std is not None:
        return {"mean": numbers_of(mean), "std": _positive(std)}
    if mean is not None and variance is not None:
        squares = _positive(variance, 255**2)
        return {"mean": numbers_of(mean), "std": squares and tuple(map(math.sqrt, squares))}
    readers = {"mean": numbers_of, "std": _positive}
    return {word: read(values[name]) for word, read in readers.items() if (name := f"{before}{word}{after}") in values}


def _elsewhere(values: Mapping[str, Any], name: str) -> Statistics:
    """Both under an unusual name, for three channels."""
    if NO_IMAGES.search(name) or not (parts := _OTHER.fullmatch(name)):
        return {}
    found = _under(values, *parts.groups())
    return found if all(len(found.get(field) or ()) == _COLOURS for field in ("mean", "std")) else {}


def _in_list(name: str, value: Any) -> Statistics:
    if not _PAIR.fullmatch(name) or not isinstance(value, list | tuple) or len(value) != len(("mean", "std")):
        return {}
    if any(isinstance(each, str | int | float) for each in value):
        return {}
    return {"mean": numbers_of(value[0]), "std": _positive(value[1])}


def _first(entry: Mapping[str, Any], names: Iterable[str]) -> Any:
    return next((entry[name] for name in names if name in entry), None)


def _positive(value: Any, most: float = 255) -> tuple[float, ...] | None:
    numbers = numbers_of(value, most)
    return numbers if numbers and min(numbers) > 0 else None
