"""Image files -> arrays of bytes of one size."""

from __future__ import annotations

import hashlib
import io
import struct
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from okdbench.core.errors import UserError
from okdbench.data.dataset import Sample

#: What Pillow raises for pictures that are cut off, damaged or no pictures at all.
UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)


def decode(sample: Sample, size: int) -> npt.NDArray[np.uint8]:
    """Read ``sample`` as a ``size`` x ``size`` x 3 array, stretched to the square, white under transparent parts.

    Raises:
        UserError: the file cannot be read as a picture.
    """
    if isinstance(sample.source, np.ndarray):
        return _shrink(Image.fromarray(sample.source), size)
    try:
        content = sample.source.read_bytes()
        if sample.sha256 and hashlib.sha256(content).hexdigest() != sample.sha256:
            raise ValueError("its content is not what was registered")
        with Image.open(io.BytesIO(content)) as picture:
            picture.draft("RGB", (2 * size, 2 * size))  # a JPEG is then decoded at a fraction of its size
            return _shrink(_to_rgb(ImageOps.exif_transpose(picture)), size)
    except UNDECODABLE as error:
        raise UserError(
            f"cannot read the picture {sample.source} ({_reason(error)}); replace or delete it, then run again"
        ) from error


def read_picture(path: Path, size: int) -> npt.NDArray[np.uint8]:
    """The picture in a file as every run sees it, ``size`` x ``size`` x 3.

    Raises:
        UserError: the file cannot be read as a picture.
    """
    return decode(Sample(path.name, 0, path), size)


def undecodable(content: bytes) -> str:
    """Why these bytes are no picture that can be read to its end; empty for one that can."""
    try:
        with Image.open(io.BytesIO(content)) as picture:
            picture.load()
    except UNDECODABLE as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):  # its text holds an address in memory
        return "no picture"
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _shrink(picture: Image.Image, size: int) -> npt.NDArray[np.uint8]:
    return np.asarray(picture.resize((size, size), Image.Resampling.BILINEAR, reducing_gap=3.0))


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16 bits per pixel; Pillow's own conversion clips them at 255
        return Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8)).convert("RGB")
    if picture.has_transparency_data:
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture.convert("RGBA")).convert("RGB")
    return picture.convert("RGB")
