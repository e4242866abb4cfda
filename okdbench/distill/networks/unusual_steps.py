"""The steps of a pipeline of transforms that no mean and no standard deviation expresses, by their names.

What a test does not have, as random changes, is passed over; of all else that is not known, the name is given.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from okdbench.distill.networks.plain_values import UNREAD
from okdbench.distill.networks.transform_steps import ONE, Step

#: steps that are understood, or that change no value
_KNOWN = {"Compose", "Sequential", "Grayscale", "ToGray", "Normalize", "ToTensor", "ToTensorV2", "PILToTensor",
          "MaybeToTensor", "ToImage", "ToImageTensor", "ToPILImage", "ToPureTensor", "ToDtype", "ToFloat",
          "ConvertImageDtype", "ConvertDtype", "Identity", "NoOp", ""}  # fmt: skip
#: one's own steps that only make three channels
_RGB = re.compile(r"rgb$", re.IGNORECASE)
#: random steps that choose among others, whatever their probability
_CHOICES = re.compile(r"Aug|OneOf|SomeOf|RandomApply|RandomChoice|RandomOrder")
#: steps of most trainings that change an image in a test as well, where nothing else is random
_STEADY = re.compile(r"Blur$")
#: steps that bring bytes to values from 0 to 1
SCALES = {"ToTensor", "MaybeToTensor", "ConvertImageDtype", "ConvertDtype", "ToFloat"}


def of_steps(steps: Sequence[Step]) -> dict[str, Any]:
    """Of a pipeline: whether its values stay from 0 to 255, and the names of steps that are not understood."""
    is_training = any(step.is_random and not _STEADY.search(step.name) for step in steps)
    strange = [step.name for step in steps if _is_strange(step, is_training)]
    kinds = [given.get("normalization", "standard") for name, given in steps if name == "Normalize"]
    strange += [f"normalization={kind}" for kind in kinds if isinstance(kind, str) and kind != "standard"]
    scales = {str(given.get("scale")) for name, given in steps if name == "ToDtype"}
    is_raw = scales == {"False"} and not any(name in SCALES for name, _ in steps)
    return ({UNREAD: tuple(strange)} if strange else {}) | ({"value_range": 255} if is_raw else {})


def _is_strange(step: Step, is_training: bool) -> bool:
    name, given = step
    if name in _KNOWN or _RGB.search(name) or step.is_frame or _CHOICES.search(name):
        return False
    if "p" in given:
        return str(given["p"]) in ONE
    return not step.is_random or (not is_training and bool(_STEADY.search(name)))
