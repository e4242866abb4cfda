"""What is suspicious in the names of a user's images, in a line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from okdbench.data.class_order import shortened
from okdbench.data.own_domain import OwnImage

#: ends of the names of masks and the like; the image that they are of has the name without it
_MASKS = re.compile(r"(.+?)[_-](masks?|seg|segmentation|gt|labels?|annotations?|depth|heatmap)", re.IGNORECASE)


def remarks_on(images: Sequence[OwnImage]) -> Iterable[str]:
    """Warnings about these images of a domain; an empty text for none."""
    return _masks(images), _nested(images)


def _masks(images: Sequence[OwnImage]) -> str:
    stems = {str(PurePosixPath(image.path).with_suffix("")) for image in images}
    masks = sorted(stem for stem in stems if (match := _MASKS.fullmatch(stem)) and match[1] in stems)
    return f"warning: {len(masks)} images are called as if made of another: {shortened(masks)}" if masks else ""


def _nested(images: Sequence[OwnImage]) -> str:
    """Whether what was taken for classes are parts or domains that all have the same classes."""
    folders: dict[str, set[str]] = {}
    for image in images:
        folders.setdefault(image.label, set()).add(PurePosixPath(image.path).parent.name)
    first = next(iter(folders.values()), set())
    if len(folders) < 2 or len(first) < 2 or any(inner != first for inner in folders.values()) or first & set(folders):
        return ""
    return (
        f"warning: each of the classes {shortened(sorted(folders))} has the folders {shortened(sorted(first))}; if "
        "these are the classes, call those train, val and test, or name each as a domain"
    )
