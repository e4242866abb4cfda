"""The steps of a pipeline of transforms by their names, in the forms that files have: objects, dicts, or a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

#: how 1 may be written
ONE = ("1", "1.0")
#: names of steps that change the size of images, or what is in them
_FRAMES = re.compile(r"Resiz|Crop|Pad|Size|Scale(?!r|Intens)|[Ll]etter_?[Bb]ox|Square|KeepRatio")
#: steps of a training, which a test does not have
_RANDOM = re.compile(r"Random|Jitter|Aug|Erasing|Dropout|Cutout|Flip|Rotat|Blur|Noise|Elastic|Distort|Mix|OneOf|SomeOf")
#: steps in which others are
_WHOLE = ("Compose", "Sequential")
#: steps that are evident in any text, and in any list
_EVIDENT = {"Resize", "CenterCrop", "Normalize", "Grayscale", "ToGray", "SmallestMaxSize", "LongestMaxSize",
            "PadIfNeeded"}  # fmt: skip
#: these and others that scripts write in small letters, by these
_SPELT = {name.lower(): name for name in (*_EVIDENT, "ToTensor", "ToTensorV2", "SquarePad")}
#: entries of a dict that have the name of its step, and those that may have its arguments
_NAMES = ("__class_fullname__", "name", "type", "class", "class_path", "_target_", "transform")
_ARGUMENTS = ("params", "args", "kwargs", "init_args", "options")
#: entries of the steps of OpenMMLab, which are read elsewhere
_OPENMMLAB = {"crop_size", "scale", "edge", "backend", "to_rgb", "keys", "meta_keys"}
#: a longer list has no steps
_LONGEST = 50
#: a step in a text, and its arguments, in which others may be; or an object without a text of its own, or a function
_PRINTED = re.compile(
    r"\b([A-Z]\w+)\((?=((?:[^()\n]|\([^()]*\))*))|<(?:function |bound method )?([\w.<>]+?)(?: object)? at 0x"
)
#: an argument in it: a number, a word, or several numbers in brackets
_GIVEN = re.compile(r"(\w+)=(?:\w+\()*([\[(][^\])]*[\])]|[<'\"]*[\w.+-]+)")
_FIRST = re.compile(r"\s*(\d+(?:\s*,\s*\d+)?|[\[(][\d\s,]*[\])])\s*(?:,\s*\w+=|$)")


class Step(NamedTuple):
    """A step, and its arguments.

    Attributes:
        name: of its class; empty if it is not known.
        given: its arguments by their names.
    """

    name: str
    given: Mapping[str, Any]

    @property
    def is_frame(self) -> bool:
        """Whether it changes the size of images, or what is in them."""
        return bool(_FRAMES.search(self.name) or (not self.name and "size" in self.given))

    @property
    def is_random(self) -> bool:
        """Whether it is one of a training by its name."""
        return bool(_RANDOM.search(self.name))


def steps_of(pipeline: Any) -> list[Step]:
    """All steps in their order, of the pipelines in a text those of tests; none of what is no pipeline.

    >>> [(name, *given) for name, given in steps_of("Compose(<SquarePad object at 0x7f>, Resize(size=32), ToTensor())")]
    [('Compose',), ('SquarePad',), ('Resize', 'size'), ('ToTensor',)]
    """
    if isinstance(pipeline, str):
        parts = [[*_printed(part)] for part in re.split(r"\n(?=\w*\W*Compose\()", pipeline)]
        tests = [part for part in parts if not any(step.is_random for step in part)]
        return [step for part in tests or parts for step in part]
    return [
        *_listed(pipeline["transforms"] if isinstance(pipeline, Mapping) and "transforms" in pipeline else pipeline)
    ]


def has_steps(value: Any) -> bool:
    """Whether a list, or a mapping of nothing else, names the steps of a pipeline, and not one of OpenMMLab."""
    if not isinstance(value, list | tuple | Mapping) or len(value) > _LONGEST:
        return False
    if any(isinstance(each, Mapping) and _OPENMMLAB & each.keys() for each in value):
        return False
    steps = steps_of(value)
    are_usual = all(step.is_frame or step.is_random or step.name in _EVIDENT or step.name[:2] == "To" for step in steps)
    is_evident = any(step.name in _EVIDENT for step in steps) and all(step.name for step in steps)
    return is_evident and (are_usual or not isinstance(value, Mapping))


def _printed(text: str) -> Iterator[Step]:
    is_whole = text.lstrip().startswith("Compose(")
    for name, arguments, nameless in _PRINTED.findall(text):
        if nameless and is_whole:
            yield Step(nameless.rpartition(".")[2].strip("<>"), {})
        elif is_whole or name in _EVIDENT:
            first = {"size": found[1]} if (found := _FIRST.match(arguments)) else {}
            given = {key: value.strip("<'\"") for key, value in _GIVEN.findall(arguments)}
            yield Step(name, {} if name in _WHOLE else first | given)


def _listed(steps: Any) -> Iterator[Step]:
    if isinstance(steps, Mapping) and _EVIDENT & steps.keys():
        steps = [{name: given} for name, given in steps.items()]
    for each in steps if isinstance(steps, list | tuple) else ():
        step = _named(each) if isinstance(each, Mapping) and each else _object(each)
        yield step
        if step.name in _WHOLE:
            yield from _listed(step.given.get("transforms"))


def _object(step: Any) -> Step:
    """Of torchvision or one's own, whose class is known by name alone; or that name."""
    if isinstance(step, str):
        return Step(_short(step), {})
    kind = step if isinstance(step, type) else type(step)
    return Step(str(getattr(kind, "origin", "")).rpartition(".")[2], getattr(step, "__dict__", {}))


def _named(step: Mapping[Any, Any]) -> Step:
    """Of Albumentations, or of a configuration: ``{"name": "Resize", "size": 32}``, ``{"Resize": {"size": 32}}``."""
    if found := [_short(step[key]) for key in _NAMES if isinstance(step.get(key), str)]:
        inner = next((given for key in _ARGUMENTS if isinstance(given := step.get(key), Mapping)), {})
        return Step(next((name for name in found if name in _EVIDENT), found[0]), {**step, **inner})
    (name, given), *others = step.items()
    if others or not isinstance(name, str) or not (_short(name) in _EVIDENT or isinstance(given, Mapping)):
        return Step("", step)
    return Step(_short(name), given if isinstance(given, Mapping) else {"size": given})


def _short(name: str) -> str:
    """The name of the class: ``center_crop`` and ``transforms.CenterCrop`` are ``CenterCrop``."""
    last = name.rpartition(".")[2]
    words = "".join(word.capitalize() for word in last.split("_")) if last.islower() else last
    return _SPELT.get(words.lower(), words)
