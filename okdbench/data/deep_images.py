"""Images of more than eight bits: integers and floats are scaled to bytes by one range for all images of a domain.

Files rarely say which range they use: twelve bits are often stored in sixteen, and floats reach up to 1, to 255 or to
anything else. So the range is declared, or measured.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from okdbench.core.errors import UserError

Values = npt.NDArray[np.float32]

#: bits of cameras and scanners
DEPTHS = (8, 10, 12, 14, 16)
#: below this a range is that of the values themselves, because nothing would be seen of them in 0 .. 255
DARK = 128
#: floats in 0 .. 1 that were resized reach a little beyond
OVERSHOOT = 1.1
#: a share of the images that a few with hot pixels leave
NEARLY_ALL = 0.95
#: by so much their range is smaller than the measured one
FAR = 4
#: tag of TIFF: bits of each channel
_BITS = 258
#: the byte order that takes the other byte of 16 bits
_OTHER_BYTE = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}


class Largest(NamedTuple):
    """The largest value of an image, and whether its values are floats."""

    value: float
    is_float: bool


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened, and not yet loaded, has integers of more than eight bits, or floats.

    Raises:
        ValueError: it is stored in a way that Pillow reads wrongly.
    """
    if image.mode[0] in "IF" or _wide_tile(image):
        return True
    if max(getattr(image, "tag_v2", {}).get(_BITS, (8,))) > DEPTHS[0]:
        raise ValueError("its 16 bits are stored in a way that Pillow does not read; save it as a PNG")
    return False


def to_bytes(image: Image.Image, reopen: Callable[[], Image.Image], max_value: float | None) -> Image.Image:
    """A deep image with eight bits per channel, and its EXIF.

    Args:
        image: opened, and not yet loaded.
        reopen: opens it again.
        max_value: what becomes white; None for the largest value of the bits that it declares.

    Raises:
        ValueError: it has negative values, or it is not known what is white.
    """
    values = _values(image, reopen)
    largest = max_value or declared_range(image)
    if not max_value and values.max() > largest * OVERSHOOT:
        raise ValueError("its values exceed 1, and nothing says what is white; --max-value does")
    if values.min() < -0.01 * largest:
        raise ValueError(f"its values begin at {values.min():g}; save it with values from 0 on")
    pixels = (values.clip(0, largest) * (255 / largest) + 0.5).astype(np.uint8)
    if image.mode == "RGBA":  # transparency always has all bits
        pixels[..., 3] = values[..., 3] / 257
    made = Image.fromarray(pixels)
    made.info["exif"] = image.getexif().tobytes()
    return made


def declared_range(image: Image.Image) -> float:
    """What is white by the bits that a deep image declares; 1 in floats.

    Raises:
        ValueError: it has 32 bits, which no camera fills.
    """
    if image.mode == "F":
        return 1.0
    bits = int(max(getattr(image, "tag_v2", {}).get(_BITS, DEPTHS[-1:])))
    if bits > DEPTHS[-1]:
        raise ValueError(f"it has {bits} bits, and nothing says what is white; --max-value does")
    return float(2**bits - 1)


def has_gaps(image: Image.Image) -> bool:
    """Whether some pixels of a deep image are no finite numbers; they are read as black."""
    return image.mode == "F" and not np.isfinite(np.asarray(image)).all()


def largest_of(image: Image.Image, reopen: Callable[[], Image.Image]) -> Largest:
    """The largest value of a deep image, in all channels but that of transparency."""
    return _largest(_values(image, reopen), image.mode == "F")


def full_range(found: Iterable[Largest]) -> float | None:
    """What is white in all images with these largest values; None without any.

    Integers have the fewest bits of ``DEPTHS`` that they need. Floats reach up to 1 or 255, or else to their largest.

    >>> full_range([Largest(3000, False), Largest(900, False)]), full_range([Largest(0.4, True)])
    (4095.0, 1.0)

    Raises:
        UserError: some are integers and some floats.
    """
    largest = list(found)
    if len({each.is_float for each in largest}) > 1:
        raise UserError("some of these images have integers of 16 bits, and some floats; convert them to one kind")
    if not largest:
        return None
    top, is_float = max(each.value for each in largest), largest[0].is_float
    whites = (1.0, 255.0) if is_float else tuple(2.0**bits - 1 for bits in DEPTHS)
    if is_float and top <= OVERSHOOT:
        return 1.0
    if top < DARK:
        return max(top, 1.0)
    return next((white for white in whites if top <= white), top)


def usual_range(peaks: npt.NDArray[np.uint8], white: float) -> float | None:
    """What would be white by nearly all of these images; None where it is about what is white.

    A single hot pixel, of 65535 in images of 12 bits, makes all others nearly black.

    Args:
        peaks: the largest byte of each image, as it is scaled.
        white: what became 255.
    """
    tops = (2.0**bits - 1 for bits in DEPTHS)
    return next((t for t in tops if FAR * t <= white and (peaks <= round(t * 255 / white)).mean() >= NEARLY_ALL), None)


def _values(image: Image.Image, reopen: Callable[[], Image.Image]) -> Values:
    """H x W, or H x W x 3 or 4."""
    if image.mode[0] in "IF":
        values = np.asarray(image).astype(np.float32)
        return np.where(np.isfinite(values), values, 0)
    # Pillow keeps one byte of each 16 bits in colour, and opened in the other byte order it keeps the other one.
    low = reopen()
    tile = _wide_tile(low)
    low.tile = [_in_other_order(each, tile) for each in low.tile]  # type: ignore[attr-defined]
    high = np.asarray(image).astype(np.float32)
    return high * np.float32(256) + np.asarray(low, np.float32)


def _largest(values: Values, is_float: bool) -> Largest:
    return Largest(float((values[..., :3] if values.ndim == 3 else values).max()), is_float)


def _wide_tile(image: Image.Image) -> str:
    """The layout of 16 bits in colour, such as ``RGB;16B``; empty for other images."""
    for tile in getattr(image, "tile", ()):
        layout = tile[3] if isinstance(tile[3], str) else (tile[3] or [""])[0]
        if isinstance(layout, str) and layout[:-1] in ("RGB;16", "RGBA;16", "RGBX;16"):
            return layout
    return ""


def _in_other_order(tile: Any, layout: str) -> Any:
    other = layout[:-1] + _OTHER_BYTE[layout[-1]]
    args = other if isinstance(tile[3], str) else (other, *tile[3][1:])
    return tile._replace(args=args) if hasattr(tile, "_replace") else (*tile[:3], args)
