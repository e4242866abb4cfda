"""Every kind of image becomes RGB or is an error, and images, labels and paths stay together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.digit_files import Folder, digits, files

from okdbench.core.errors import UserError
from okdbench.data.cache import load_domain
from okdbench.data.dataset import Sample
from okdbench.data.images import Images
from okdbench.datasets.digits import Digits


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return digits(tmp_path)


def decoded(root: Path, image: Image.Image, name: str = "one.png", size: int = 8) -> np.ndarray:
    root.mkdir()
    image.save(root / name)
    return load_domain(Folder([Sample(name, 0, root / name)]), "any", size, root).pixels[0]


def transparent_palette() -> Image.Image:
    image = paletted()
    image.info["transparency"] = image.getpixel((0, 0))
    return image


def nearly_transparent() -> Image.Image:
    image = Image.new("RGBA", (400, 400), (9, 9, 9, 0))
    image.putpixel((0, 0), (255, 255, 255, 255))
    return image


def paletted() -> Image.Image:
    return Image.new("RGB", (8, 8), (200, 40, 0)).quantize(4)


@pytest.mark.parametrize(
    ("image", "name", "expected"),
    [
        (Image.new("L", (8, 8), 77), "one.png", (77, 77, 77)),
        (Image.new("1", (8, 8), 1), "one.png", (255, 255, 255)),
        (paletted(), "one.png", (200, 40, 0)),
        (nearly_transparent(), "one.png", (255, 255, 255)),
        (Image.new("RGBA", (8, 8), (9, 9, 9, 0)), "one.tga", (9, 9, 9)),
        (Image.new("LA", (8, 8), (0, 128)), "one.png", (127, 127, 127)),
        (Image.fromarray(np.full((8, 8), 128 * 257, np.uint16)), "one.png", (128, 128, 128)),
        (Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "one.tif", (255, 0, 0)),
        (Image.new("P", (8, 8), 0), "one.gif", (0, 0, 0)),
        (Image.new("RGB", (1, 1), (1, 2, 3)), "one.png", (1, 2, 3)),
        (Image.new("RGB", (20_000, 3), (1, 2, 3)), "one.png", (1, 2, 3)),
        (transparent_palette(), "one.png", (255, 255, 255)),
    ],
    ids=[
        "grey",
        "one bit",
        "palette",
        "transparent",
        "a fourth band that nobody filled",
        "half transparent",
        "16 bits",
        "CMYK",
        "GIF",
        "one pixel",
        "20,000 pixels wide",
        "transparent palette",
    ],
)
def test_every_kind_of_image_becomes_rgb(
    root: Path, image: Image.Image, name: str, expected: tuple[int, int, int]
) -> None:
    assert (decoded(root, image, name) == expected).all()


def test_a_large_image_is_stretched_to_the_square(root: Path) -> None:
    large = Image.new("RGB", (1200, 800))
    large.paste((255, 255, 255), (600, 0, 1200, 800))
    pixels = decoded(root, large, "one.jpg", size=64).astype(int)
    assert pixels[:, :30].max() < 8
    assert pixels[:, 34:].min() > 247


@pytest.mark.parametrize(
    ("size", "resize", "expected"),
    [
        # eight columns of 0, 10, ..., 70, and four rows
        (4, "crop", [20, 30, 40, 50]),
        (8, "pad", [0, 10, 20, 30, 40, 50, 60, 70]),
        (12, "pad", [0, 0, 0, 10, 20, 30, 40, 50, 60, 70, 0, 0]),
    ],
)
def test_an_image_is_cropped_or_padded_to_the_square(root: Path, size: int, resize: str, expected: list[int]) -> None:
    image = np.arange(0, 80, 10, dtype=np.uint8)[None].repeat(4, 0)
    folder = Folder([Sample("one.png", 0, image)]).with_format(resize=resize)
    pixels = load_domain(folder, "any", size, root).pixels[0, ..., 0]
    assert pixels[size // 2].tolist() == expected
    assert pixels[:, size // 2 - 1].tolist().count(0) == size - 4
    other = load_domain(folder.with_format(resize="stretch"), "any", size, root).pixels[0, ..., 0]
    assert not np.array_equal(other, pixels)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not an image"),
        (b"not an image", "not an image"),
        (b"II*\0", "not an image"),
        (b"half", ""),
        (POINTER, "a pointer of Git LFS and not the image itself: run git lfs pull"),
    ],
)
def test_an_undecodable_image_is_named_and_nothing_is_left(
    folder: Folder, root: Path, content: bytes, reason: str
) -> None:
    broken = folder.samples("any", root)[5].source
    assert isinstance(broken, Path)
    broken.write_bytes(broken.read_bytes()[:100] if content == b"half" else content)
    with pytest.raises(
        UserError, match=rf"cannot read the image .*06\.png .*{reason}.*; replace or delete it"
    ) as caught:
        load_domain(folder, "any", 32, root)
    assert "\n" not in str(caught.value)
    assert files(root) == []


def test_many_images_stay_in_their_files(folder: Folder, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = load_domain(folder, "any", 32, root)
    order = np.array([7, 2, 2, 11])
    parts = [images.take(order), images.take(np.arange(3))]
    monkeypatch.setattr("okdbench.data.images._IN_MEMORY", 1)
    there = [images.take(order), images.take(np.arange(3))]
    assert not isinstance(there[0].pixels, np.ndarray)
    assert [part.digest for part in there] == [part.digest for part in parts]
    assert Images.concatenate(there).digest == Images.concatenate(parts).digest
    assert (
        Images.concatenate(there).take(np.array([4, 0])).digest
        == Images.concatenate(parts).take(np.array([4, 0])).digest
    )


def test_a_missing_image_is_named(folder: Folder, root: Path) -> None:
    Path(str(folder.samples("any", root)[0].source)).unlink()
    with pytest.raises(UserError, match=r"11\.png \(No such file or directory\)"):
        load_domain(folder, "any", 32, root)


def test_an_empty_domain_is_an_error(root: Path) -> None:
    with pytest.raises(UserError, match="'any' has no images"):
        load_domain(Folder([]), "any", 32, root)


def test_take_and_concatenate_keep_images_labels_and_paths_together(root: Path) -> None:
    images = load_domain(Digits(), "optical", 32, root)
    head, tail = images.take(np.arange(700)), images.take(np.arange(700, len(images)))
    both = Images.concatenate([head, tail])
    assert both.digest == images.digest
    assert len({head.digest, tail.digest, images.digest}) == 3
    backwards = images.take(np.arange(len(images))[::-1])
    assert backwards.paths == images.paths[::-1]
    assert (backwards.pixels[0] == images.pixels[-1]).all()
    assert backwards.labels[0] == images.labels[-1]


@pytest.mark.parametrize("part", ["pixels", "labels", "paths"])
def test_the_digest_covers(part: str) -> None:
    original = {"pixels": np.zeros((2, 4, 4, 3), np.uint8), "labels": np.zeros(2, np.int64), "paths": ("a", "b")}
    changed = {"pixels": np.ones((2, 4, 4, 3), np.uint8), "labels": np.ones(2, np.int64), "paths": ("a", "c")}
    assert Images(**original).digest != Images(**(original | {part: changed[part]})).digest  # type: ignore[arg-type]
