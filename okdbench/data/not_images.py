"""What a file is that Pillow does not take for an image, and the cure."""

from __future__ import annotations

import io
from contextlib import suppress

from PIL import TiffImagePlugin

_LFS = b"version https://git-lfs"
_SAMPLES_PER_PIXEL = 277
#: version of a TIFF whose header is longer
_BIG = 43


def reason_for(content: bytes) -> str:
    """Why these bytes are no image."""
    if content.startswith(_LFS):
        return "a pointer of Git LFS and not the image itself: run git lfs pull"
    if (bands := _bands(content)) > 1:
        return f"a TIFF of {bands} bands: save three of them as an image"
    return "not an image"


def _bands(content: bytes) -> int:
    """How many bands a TIFF has; 0 for other files."""
    # whatever a damaged header makes the parser raise
    with suppress(Exception):
        stream = io.BytesIO(content)
        tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(16 if content[2] == _BIG else 8))
        stream.seek(tags.next)
        tags.load(stream)
        return int(tags.get(_SAMPLES_PER_PIXEL, 1))
    return 0
