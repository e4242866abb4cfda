"""How an image becomes a square, as it is written: ``stretch``, ``crop``, ``pad``, or ``crop:0.875``, and a filter."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

#: filter that scales images: Pillow's, which look at all pixels of a larger image, except nearest; cv2 is bilinear of
#: four pixels, as OpenCV has it, and PyTorch with ``antialias=False``
Interpolation = Literal["bilinear", "bicubic", "lanczos", "box", "hamming", "nearest", "cv2"]


class Resize(StrEnum):
    """How an image becomes a square.

    stretch: its sides are scaled, each by its own factor. crop: the shorter side is scaled, and the centre of the
    longer one kept. pad: it is scaled down if it is too large, and put into the centre of a black square.

    A number after stretch and crop, such as ``crop:0.875``, keeps the central part of that size of both sides: it is
    timm's ``crop_pct``.
    """

    STRETCH = "stretch"
    CROP = "crop"
    PAD = "pad"


def parse_resize(text: str) -> tuple[Resize, float]:
    """The rule, and the part of each side that is kept.

    >>> parse_resize("crop:0.875"), parse_resize("pad")
    ((<Resize.CROP: 'crop'>, 0.875), (<Resize.PAD: 'pad'>, 1.0))

    Raises:
        ValueError: there is no such rule.
    """
    name, colon, number = text.partition(":")
    share = float(number) if colon else 1.0
    if name not in list(Resize) or not 0 < share <= 1 or (name == Resize.PAD and colon):
        raise ValueError(f"{text} is no rule of resize")
    return Resize(name), share


def spell_resize(rule: str, share: float = 1.0) -> str:
    """The text of a rule; that of the whole image has no number.

    >>> spell_resize("crop", 0.875), spell_resize("stretch")
    ('crop:0.875', 'stretch')
    """
    return str(rule) if share == 1 else f"{rule}:{share!r}"


def one_spelling(value: object) -> object:
    """A rule in its one spelling, so that it has one key; what is no text is left to other checks.

    Raises:
        ValueError: there is no such rule.
    """
    try:
        return spell_resize(*parse_resize(value)) if isinstance(value, str) else value
    except ValueError as error:
        rules = ", ".join(Resize)
        raise ValueError(f"not a choice; allowed {rules}, and a part such as crop:0.875") from error
