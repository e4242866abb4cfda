"""The steps of a pipeline of transforms that no mean and no standard deviation expresses, by their names.

What a test does not have, as random changes, is passed over; of all else that is not known, the name is given.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from okdbench.distill.networks.plain_values import UNREAD

#: steps that are understood, or that change no value
_KNOWN = {"Compose", "Sequential", "Resize", "CenterCrop", "Grayscale", "ToGray", "Normalize", "ToTensor", "ToTensorV2",
          "PILToTensor", "MaybeToTensor", "ToImage", "ToImageTensor", "ToPILImage", "ToPureTensor", "ToDtype",
          "ToFloat", "ConvertImageDtype", "ConvertDtype", "RGB", "Identity", "NoOp", ""}  # fmt: skip
#: steps of a training, which a test does not have
_RANDOM = re.compile(r"Random|Jitter|Aug|Erasing|Dropout|Cutout|Flip|Rotat|Blur|Noise|Elastic|Distort|Mix|OneOf|SomeOf")
#: those of them that choose among others, whatever their probability
_CHOICES = re.compile(r"Aug|OneOf|SomeOf|RandomApply|RandomChoice|RandomOrder")
#: steps that bring bytes to values from 0 to 1
_SCALES = {"ToTensor", "MaybeToTensor", "ConvertImageDtype", "ConvertDtype", "ToFloat"}
_SIZED = {"size", "height", "width", "max_size", "min_height"}
#: a step in a text, and its arguments, in which others may be
_PRINTED = re.compile(r"\b([A-Z]\w+)\((?=((?:[^()\n]|\([^()]*\))*))")
#: names of steps that resize
_RESIZES = re.compile("[Ss]ize|Scale")
_GIVEN = re.compile(r"(\w+)=['\"]?([\w.+-]+)")


def of_steps(pipeline: str | Mapping[str, Any]) -> dict[str, Any]:
    """Of a pipeline: whether its values stay from 0 to 255, and the names of steps that are not understood."""
    steps = list(_printed(pipeline) if isinstance(pipeline, str) else _listed(pipeline["transforms"]))
    strange = [name for name, given in steps if name not in _KNOWN and _changes_tests(name, given)]
    kinds = [given.get("normalization", "standard") for name, given in steps if name == "Normalize"]
    strange += [f"normalization={kind}" for kind in kinds if isinstance(kind, str) and kind != "standard"]
    scales = {str(given.get("scale")) for name, given in steps if name == "ToDtype"}
    is_raw = scales == {"False"} and not any(name in _SCALES for name, _ in steps)
    return ({UNREAD: tuple(strange)} if strange else {}) | ({"value_range": 255} if is_raw else {})


def cuts_alone(pipeline: str | Mapping[str, Any]) -> bool:
    """Whether the middle of images of any size is cut out, without a step that resizes them.

    >>> cuts_alone("Compose(CenterCrop(size=(32, 32)), ToTensor())"), cuts_alone("Resize(36), CenterCrop(32)")
    (True, False)
    """
    steps = _PRINTED.findall(pipeline) if isinstance(pipeline, str) else _listed(pipeline["transforms"])
    named = [name for name, _ in steps]
    return "CenterCrop" in named and not any(_RESIZES.search(name) for name in named)


def _changes_tests(name: str, given: Mapping[str, Any]) -> bool:
    if _SIZED & given.keys() or _CHOICES.search(name):
        return False
    return str(given["p"]) in ("1", "1.0") if "p" in given else not _RANDOM.search(name)


def _printed(text: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    if text.lstrip().startswith("Compose("):
        yield from ((name, dict(_GIVEN.findall(arguments))) for name, arguments in _PRINTED.findall(text))


def _listed(steps: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Objects of torchvision, whose class is known by name alone, and dicts of Albumentations."""
    for step in steps if isinstance(steps, Iterable) and not isinstance(steps, Mapping | str) else ():
        is_dict = isinstance(step, Mapping) and "__class_fullname__" in step
        given = step if is_dict else getattr(step, "__dict__", {})
        name = str(step["__class_fullname__"] if is_dict else getattr(type(step), "origin", "")).rpartition(".")[2]
        yield name, given
        if name in ("Compose", "Sequential"):
            yield from _listed(given.get("transforms"))
