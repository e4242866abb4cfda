"""Image files -> ``uint8`` arrays of one size."""

from __future__ import annotations

import hashlib
import io
import logging
import struct
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from okdbench.core.errors import UserError, one_line
from okdbench.core.resize import Interpolation, Resize, parse_resize
from okdbench.data.dataset import Sample
from okdbench.data.deep_images import declared_range, full_range, has_gaps, is_deep, largest_of, to_bytes
from okdbench.data.image_files import is_heic
from okdbench.data.image_form import ImageForm
from okdbench.data.not_images import reason_for

#: Exceptions of Pillow for files that are truncated, damaged or not images.
_UNDECODABLE = (OSError, ValueError, SyntaxError, EOFError, struct.error, Image.DecompressionBombError)

#: endings of files that have eight bits per channel, and so need not be opened to measure their range
_EIGHT_BITS = {".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".heic"}

#: filters that look at single pixels of a larger image, and so at those of its full size
_SPARSE = ("nearest", "cv2")
#: so many files of one reason are named in an error message
NAMED = 20

# Without a handler Python prints what Pillow logs, such as a line for each TIFF of many bands that it refuses.
logging.getLogger("PIL").addHandler(logging.NullHandler())

#: alpha of a pixel that hides what is behind it
OPAQUE = 255

_FILTERS = threading.RLock()

T = TypeVar("T")


class UnreadableError(UserError):
    """Images that cannot be read, all at once.

    Attributes:
        images: file and reason of each.
    """

    def __init__(self, images: Sequence[tuple[Path, str]]) -> None:
        self.images = list(images)
        files: dict[str, list[Path]] = {}
        for file, reason in self.images:
            files.setdefault(reason, []).append(file)
        named = ", ".join(f"{_first(those)} ({reason})" for reason, those in files.items())
        what = f"the image {named}" if len(self.images) == 1 else f"{len(self.images)} images: {named}"
        them = "it" if len(self.images) == 1 else "them"
        super().__init__(f"cannot read {what}; replace or delete {them}, then run again")


def _first(files: Sequence[Path]) -> str:
    more = f" and {len(files) - NAMED} more" if len(files) > NAMED else ""
    return ", ".join(map(str, files[:NAMED])) + more


@contextmanager
def decoding_pool() -> Iterator[ThreadPoolExecutor]:
    """Threads that decode images without Pillow's warning about large ones.

    Photographs may be larger than Pillow's limit. It warns above the limit and raises an error above twice the limit,
    which stays in force.
    """
    # Warning filters belong to the process and are not thread-safe: each change is undone here, and pools take turns.
    with _FILTERS, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with ThreadPoolExecutor() as pool:
            yield pool


def decode(sample: Sample, form: ImageForm) -> npt.NDArray[np.uint8]:
    """Decode ``sample`` to the height, width and channels of ``form``, white where a part of it is transparent.

    Raises:
        UnreadableError: the file is not a readable image, or its content is not the registered one.
    """
    if isinstance(sample.source, np.ndarray):
        return _resized(Image.fromarray(sample.source), form)
    try:
        content = sample.source.read_bytes()
        if sample.sha256 and hashlib.sha256(content).hexdigest() != sample.sha256:
            raise ValueError("its content is not what was registered")
        with opened(content) as image:
            stored: Image.Image = image
            if is_deep(image):
                stored = to_bytes(image, lambda: opened(content), form.max_value)
            elif form.interpolation not in _SPARSE:
                # A large JPEG is decoded at 1/2, 1/4 or 1/8 of its size, which takes a fraction of the time.
                image.draft("RGB", (2 * form.size, 2 * form.size))
            turned = ImageOps.exif_transpose(stored) if form.exif_rotation else stored
            return _resized(_to_rgb(turned), form)
    except _UNDECODABLE as error:
        raise UnreadableError([(sample.source, _reason(error))]) from error


def read_image(path: Path, form: ImageForm) -> npt.NDArray[np.uint8]:
    """Decode a file, exactly as in training.

    Raises:
        UnreadableError: the file is not a readable image.
    """
    return decode(Sample(path.name, 0, path), form)


def measured_range(files: Iterable[Path]) -> float | None:
    """What is white in all images of more than eight bits among these; None if there are none of them.

    Raises:
        UserError: some have integers and some floats.
    """
    return full_range(_of_deep(files, largest_of))


def declared_ranges(files: Iterable[Path]) -> list[float]:
    """What is white in each image of more than eight bits among these, by the bits that it declares."""
    return _of_deep(files, lambda image, _: declared_range(image))


def number_with_gaps(files: Iterable[Path]) -> int:
    """How many of these images have pixels that are no finite numbers."""
    return sum(_of_deep(files, lambda image, _: has_gaps(image)))


def is_turned(file: Path) -> bool:
    """Whether its EXIF says that the image is shown in another direction than Pillow reads it."""
    with suppress(*_UNDECODABLE), Image.open(file) as image:  # reads the header alone
        # Pillow turns a TIFF itself, for everyone.
        return image.format != "TIFF" and image.getexif().get(ExifTags.Base.Orientation, 1) not in (0, 1)
    return False


def is_transparent(file: Path) -> bool:
    """Whether some of its pixels, and not all, hide less than they should."""
    with suppress(*_UNDECODABLE), Image.open(file) as image:
        if image.has_transparency_data and not is_clear(image):
            return bool((np.asarray(image.convert("RGBA"))[..., 3] < OPAQUE).any())
    return False


def is_clear(image: Image.Image) -> bool:
    """Whether nothing of it would be seen, as in 32-bit images whose fourth band nobody filled."""
    return "A" in image.getbands() and image.getchannel("A").getextrema() == (0, 0)


def _of_deep(files: Iterable[Path], what: Callable[[Image.Image, Callable[[], Image.Image]], T]) -> list[T]:
    """What a function returns for the deep images; those that cannot be read are reported when they are decoded."""

    def attempt(file: Path) -> T | None:
        with suppress(*_UNDECODABLE), Image.open(file) as image:  # reads the header alone
            return what(image, lambda: Image.open(file)) if is_deep(image) else None
        return None

    with decoding_pool() as pool:
        found = pool.map(attempt, (file for file in files if file.suffix.lower() not in _EIGHT_BITS))
        return [each for each in found if each is not None]


def opened(content: bytes) -> Image.Image:
    """An image that is not yet loaded.

    Raises:
        ValueError: it is not an image, or an HEIC image, and pillow-heif is not installed.
    """
    if is_heic(content):
        _learn_heic()
    try:
        return Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError(reason_for(content)) from None


@cache
def _learn_heic() -> None:
    try:
        import pillow_heif
    except ImportError:
        raise ValueError("HEIC images need pillow-heif: pip install pillow-heif") from None
    pillow_heif.register_heif_opener()


def decoding_error(content: bytes) -> str:
    """Why these bytes are not a complete image; empty if they are."""
    try:
        with opened(content) as image:
            image.load()
    except _UNDECODABLE as error:
        return _reason(error)
    return ""


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels, make it smaller"
    return one_line(error)


def _resized(image: Image.Image, form: ImageForm) -> npt.NDArray[np.uint8]:
    image = image.convert("L" if form.channels == 1 else "RGB")
    rule, share = parse_resize(form.resize)
    image = _padded(image, form.size, form.interpolation) if rule is Resize.PAD else _centre(image, rule, share)
    return np.asarray(_scaled(image, form.shape[:2], form.interpolation)).reshape(form.shape)


def _scaled(
    image: Image.Image, size: tuple[int, int], interpolation: Interpolation, gap: float | None = 3.0
) -> Image.Image:
    if interpolation == "cv2":
        return image.transform(size, Image.Transform.EXTENT, (0, 0, *image.size), Image.Resampling.BILINEAR)
    return image.resize(size, Image.Resampling[interpolation.upper()], reducing_gap=gap)


def _centre(image: Image.Image, rule: Resize, share: float) -> Image.Image:
    """The central part of an image, a square with ``crop``, that is scaled to the size."""
    sides = (min(image.size),) * 2 if rule is Resize.CROP else image.size
    width, height = (max(1, round(side * share)) for side in sides)
    if (width, height) == image.size:
        return image
    # Of an odd rest, the larger half is cut off at the right and at the bottom.
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return image.crop((left, top, left + width, top + height))


def _padded(image: Image.Image, size: int, interpolation: Interpolation) -> Image.Image:
    """The image in the centre of a black square, scaled down if it is larger."""
    if (longer := max(image.size)) > size:
        width, height = (max(1, round(side / longer * size)) for side in image.size)
        image = _scaled(image, (width, height), interpolation, gap=None)
    square = Image.new(image.mode, (size, size))
    square.paste(image, ((size - image.width) // 2, (size - image.height) // 2))
    return square


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.has_transparency_data and not is_clear(image):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")
