"""Samples made by code are made once, and again when what they depend on changes or the file is damaged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from okdbench.core.errors import UserError
from okdbench.data import Sample, kept_samples
from okdbench.datasets.digits import Digits

SAMPLES = [
    Sample(f"two/{label}/{name}.png", label, np.full((4, 4, 3), label, np.uint8)) for label, name in enumerate("ab")
]


@pytest.fixture
def made() -> list[int]:
    """One entry for each call of ``make``."""
    return []


@pytest.fixture
def samples(root: Path, made: list[int]) -> Callable[..., list[Sample]]:
    def make() -> list[Sample]:
        made.append(1)
        return SAMPLES

    def kept(*libraries: str) -> list[Sample]:
        return list(kept_samples(Digits(), "two", root, make, libraries))

    return kept


def files(root: Path) -> list[Path]:
    return list((root / "cache").iterdir())


def test_samples_are_made_once_and_read_back(samples: Callable[..., list[Sample]], made: list[int]) -> None:
    for found in (samples(), samples()):
        assert [(sample.path, sample.label) for sample in found] == [("two/0/a.png", 0), ("two/1/b.png", 1)]
        assert np.array_equal([sample.source for sample in found], [sample.source for sample in SAMPLES])
    assert len(made) == 1


@pytest.mark.parametrize("what", ["code", "library"])
def test_a_change_of_what_they_depend_on_makes_them_again(
    what: str, samples: Callable[..., list[Sample]], made: list[int], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples("pillow")
    before = files(root)
    changed = {"code": "digest_of", "library": "version"}[what]
    monkeypatch.setattr(f"okdbench.data.sample_store.{changed}", lambda *_: "another")
    samples("pillow")
    assert len(made) == 2
    assert len(files(root)) == 1
    assert files(root) != before


@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_made_again(
    damage: str, samples: Callable[..., list[Sample]], made: list[int], root: Path
) -> None:
    samples()
    (file,) = files(root)
    content = file.read_bytes()
    middle = content.index(b"labels") + 200  # inside an array
    changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    file.write_bytes({"cut": content[: len(content) // 2], "changed": changed, "empty": b""}[damage])
    assert samples()[1].label == 1
    assert len(made) == 2
    assert file.read_bytes() == content


def test_a_change_of_any_byte_gives_the_same_samples(samples: Callable[..., list[Sample]], root: Path) -> None:
    samples()
    (file,) = files(root)
    content = file.read_bytes()
    for place in range(0, len(content), 7):
        file.write_bytes(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        assert [(sample.path, sample.label) for sample in samples()] == [("two/0/a.png", 0), ("two/1/b.png", 1)]
        assert all((sample.source == sample.label).all() for sample in samples())


def test_a_data_folder_that_cannot_be_written_is_named(samples: Callable[..., list[Sample]], root: Path) -> None:
    root.write_bytes(b"a file where a folder should be")
    with pytest.raises(UserError, match="--data-root"):
        samples()
