"""How pixels are made of an image file, wherever one is read."""

from __future__ import annotations

from typing import NamedTuple

from okdbench.core.resize import Interpolation


class ImageForm(NamedTuple):
    """How an image is decoded.

    Attributes:
        size: height and width of the result in pixels.
        channels: 1 for grey, 3 for colour.
        resize: how it becomes a square, a rule of :class:`~okdbench.core.resize.Resize`.
        max_value: what is white in an image of more than eight bits; None to go by the bits that it declares.
        exif_rotation: whether it is turned upright, as its EXIF says.
        interpolation: filter that scales it.
    """

    size: int
    channels: int = 3
    resize: str = "stretch"
    max_value: float | None = None
    exif_rotation: bool = True
    interpolation: Interpolation = "bilinear"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels."""
        return (self.size, self.size, self.channels)
