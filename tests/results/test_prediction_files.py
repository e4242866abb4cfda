"""Predictions of a run as a file: what is written is read, and what is damaged or hostile is refused in one line."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from okdbench.core.errors import UserError
from okdbench.results.predictions import FILE, TOP, Predictions, read_predictions, write_predictions

NAMES = tuple(f"größe {index}" for index in range(305))
IMAGES = ("amazon/mug/0001.jpg", "amazon/Ordner/größe 2.jpg", "x")


def predictions(classes: int = TOP) -> Predictions:
    """Three images; half precision has no exact value for a third."""
    probabilities = np.tile(np.linspace(1 / 3, 0, classes, dtype=np.float32), (3, 1))
    order = np.stack([np.roll(np.arange(classes), shift) + 300 for shift in range(3)])
    return Predictions(IMAGES, np.array([0, 304, 7]), order, probabilities, NAMES)


@pytest.mark.parametrize("classes", [TOP, 2])
def test_what_is_written_is_read(tmp_path: Path, classes: int) -> None:
    made = predictions(classes)
    write_predictions(tmp_path / "runs" / "key", made)
    found = read_predictions(tmp_path / "runs" / "key")
    assert found.images == IMAGES
    assert found.names == NAMES
    assert all(type(name) is str for name in found.images + found.names)
    assert np.array_equal(found.labels, made.labels)
    assert np.array_equal(found.classes, made.classes)
    assert found.probabilities.shape == (3, classes)
    assert np.array_equal(found.probabilities, made.probabilities.astype(np.float16))
    assert np.allclose(found.probabilities, made.probabilities, atol=5e-4)
    # Nothing larger is in the file: 2 bytes per number.
    assert [array.dtype for array in found[1:4]] == [np.int16, np.int16, np.float16]
    assert [path.name for path in (tmp_path / "runs" / "key").iterdir()] == [FILE]


def test_equal_predictions_give_equal_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_predictions(tmp_path / name, predictions())
    assert (tmp_path / "a" / FILE).read_bytes() == (tmp_path / "b" / FILE).read_bytes()


def test_a_thousand_images_take_a_few_kilobytes(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    probabilities = np.sort(rng.random((1000, TOP)))[:, ::-1] / TOP
    classes = rng.permuted(np.tile(np.arange(31), (1000, 1)), axis=1)[:, :TOP]
    names = tuple(f"amazon/back_pack/frame_{number:04}.jpg" for number in range(1000))
    write_predictions(tmp_path, Predictions(names, rng.integers(0, 31, 1000), classes, probabilities))
    assert (tmp_path / FILE).stat().st_size < 24_000
    assert read_predictions(tmp_path).images == names


def test_a_file_from_before_there_were_names_has_none(tmp_path: Path) -> None:
    write_predictions(tmp_path, predictions())
    with np.load(tmp_path / FILE) as file:
        older = {name: file[name] for name in file.files if name != "names"}
    np.savez(tmp_path / FILE, **older)
    assert read_predictions(tmp_path)[:1] == (IMAGES,)
    assert read_predictions(tmp_path).names == ()


def misfit(**changes: Any) -> Callable[[Path], None]:
    """Replace parts of a file."""

    def change(file: Path) -> None:
        with np.load(file) as content:
            parts = {name: content[name] for name in content.files}
        np.savez(file, **parts | changes)

    return change


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-40])


def flip(file: Path) -> None:
    """Change the content of a member of the archive."""
    content = bytearray(file.read_bytes())
    start = content.index(b"probabilities.npy")
    content[start + 30 : start + 60] = bytes(30)
    file.write_bytes(bytes(content))


def drop(file: Path) -> None:
    with file.open("wb") as opened:
        np.savez(opened, images=np.array(IMAGES), labels=np.zeros(3), classes=np.zeros((3, 5)))


def pickled(file: Path) -> None:
    """An array of Python objects, which only unpickling could read."""
    content: dict[str, Any] = {name: np.zeros(3) for name in Predictions._fields}
    with file.open("wb") as opened:
        np.savez(opened, **content | {"images": np.array([{}, {}, {}], dtype=object)})


DAMAGE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "text": lambda file: file.write_text("no archive"),
    "cut": cut,
    "flipped": flip,
    "a part is missing": drop,
    "pickled": pickled,
    "a pickle": lambda file: file.write_bytes(pickle.dumps({})),
    "fewer images": misfit(images=np.array(IMAGES[:2])),
    "no images": misfit(
        images=np.array([], np.str_),
        labels=np.zeros(0, int),
        classes=np.zeros((0, 5), int),
        probabilities=np.zeros((0, 5)),
    ),
    "names of images are numbers": misfit(images=np.zeros(3)),
    "more labels": misfit(labels=np.zeros(4, int)),
    "one label": misfit(labels=np.int16(0)),
    "no classes": misfit(classes=np.zeros((3, 0), int), probabilities=np.zeros((3, 0))),
    "one class": misfit(classes=np.zeros(3, int), probabilities=np.zeros(3)),
    "fewer probabilities": misfit(probabilities=np.zeros((3, 4))),
    "classes are no indices": misfit(classes=np.zeros((3, 5))),
    "a negative class": misfit(labels=np.array([0, -1, 7])),
    "a class without a name": misfit(labels=np.array([0, 305, 7])),
    "one array": lambda file: np.save(file.open("wb"), np.zeros(3)),
    "a folder": lambda file: (file.unlink(), file.mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_refused_in_one_line(tmp_path: Path, damage: str) -> None:
    write_predictions(tmp_path, predictions())
    DAMAGE[damage](tmp_path / FILE)
    with pytest.raises(UserError, match=r"cannot be read .* delete the run's folder and repeat its command") as caught:
        read_predictions(tmp_path)
    assert str(tmp_path / FILE) in str(caught.value)
    assert "\n" not in str(caught.value)
