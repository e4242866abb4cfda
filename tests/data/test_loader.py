"""Batches: every image once per epoch, its own shift each, and a pure function of seed and step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from okdbench.core.seeding import derive_seed
from okdbench.data.augmentation import SMALLEST_CROP, augment, cropped
from okdbench.data.dataset import Augmentation
from okdbench.data.images import Images
from okdbench.data.loader import Batch, Stream, evaluation_batches
from okdbench.datasets.digits import Digits

CPU = torch.device("cpu")
MARGIN = 4


@pytest.fixture(scope="module")
def digits(data_root: Path) -> Images:
    """300 real digits, each with its index for a label."""
    samples = Digits().samples("optical", data_root)[:300]
    pixels = np.stack([sample.source for sample in samples])[..., None]
    return Images(pixels, np.arange(len(pixels)), tuple(sample.path for sample in samples))


def numbered(count: int, side: int = 8) -> Images:
    """``count`` blank images, each with its index for a label."""
    return Images(np.zeros((count, side, side, 3), np.uint8), np.arange(count), tuple(map(str, range(count))))


def stream(images: Images, **changes: Any) -> Stream:
    usual = {"batch_size": 64, "seed": 0, "device": CPU, "augmentation": [Augmentation.SHIFT]}
    return Stream(images, **(usual | changes))


def equal(one: Batch, two: Batch) -> bool:
    return torch.equal(one.images, two.images) and torch.equal(one.labels, two.labels)


def crops(original: np.ndarray) -> np.ndarray:
    """All 9 x 9 shifts of an image, as 1 x 32 x 32 in [0, 1]."""
    padded = np.pad(original, ((MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (32, 32), (0, 1))
    return windows.astype(np.float32) / 255


def is_a_crop(image: torch.Tensor, original: np.ndarray) -> bool:
    return bool(np.isclose(crops(original), image.numpy(), atol=1e-6).all((2, 3, 4)).any())


@given(count=st.integers(1, 40), batch_size=st.integers(1, 100), seed=st.integers(0, 2**63 - 1))
def test_every_image_comes_once_per_epoch_in_full_batches(count: int, batch_size: int, seed: int) -> None:
    batches = stream(numbered(count), batch_size=batch_size, seed=seed)
    assert len(batches) == count
    drawn = [batches.batch(step).labels for step in range(1 + 3 * count // batch_size)]
    assert all(len(labels) == batch_size for labels in drawn)
    order = torch.cat(drawn).tolist()
    for start in range(0, len(order) - count + 1, count):
        assert sorted(order[start : start + count]) == list(range(count))


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**63 - 1),
    steps=st.lists(st.integers(0, 1000), min_size=1, max_size=4),
    kinds=st.sets(st.sampled_from(Augmentation)),
)
def test_a_batch_is_a_function_of_seed_and_step(
    digits: Images, seed: int, steps: list[int], kinds: set[Augmentation]
) -> None:
    one, two = (stream(digits, seed=seed, augmentation=kinds) for _ in range(2))
    expected = {step: one.batch(step) for step in sorted(set(steps))}
    assert all(equal(two.batch(step), expected[step]) for step in reversed(steps))


def test_seeds_and_steps_and_epochs_differ(digits: Images) -> None:
    batches = stream(digits)
    assert not equal(batches.batch(0), batches.batch(1))
    assert not equal(batches.batch(0), stream(digits, seed=1).batch(0))
    whole = stream(digits, batch_size=len(digits))
    assert not equal(whole.batch(0), whole.batch(1))


def test_every_image_of_a_batch_has_its_own_shift(digits: Images) -> None:
    copies = digits.take(np.zeros(200, np.int64))
    images = stream(copies, batch_size=200).batch(0).images
    different = {image.numpy().tobytes() for image in images}
    assert 50 < len(different) <= 81


def test_every_step_draws_new_shifts(digits: Images) -> None:
    copies = stream(digits.take(np.zeros(64, np.int64)))
    assert not torch.equal(copies.batch(0).images, copies.batch(1).images)


def test_without_flip_every_image_is_a_shift_of_its_original(digits: Images) -> None:
    batches = stream(digits)
    for step in range(3):
        batch = batches.batch(step)
        for image, index in zip(batch.images, batch.labels, strict=True):
            assert is_a_crop(image, digits.pixels[index])


def test_with_flip_about_half_of_the_images_are_mirrored(digits: Images) -> None:
    batch = stream(digits, batch_size=200, augmentation=[Augmentation.SHIFT, Augmentation.FLIP]).batch(0)
    pairs = list(zip(batch.images, batch.labels, strict=True))
    straight = [is_a_crop(image, digits.pixels[index]) for image, index in pairs]
    mirrored = [is_a_crop(image.flip(2), digits.pixels[index]) for image, index in pairs]
    assert all(one or other for one, other in zip(straight, mirrored, strict=True))
    assert 70 < sum(straight) < 130


def test_an_unshifted_image_is_the_original(digits: Images) -> None:
    copies = digits.take(np.zeros(300, np.int64))
    images = stream(copies, batch_size=300).batch(0).images.permute(0, 2, 3, 1)
    original = torch.from_numpy(digits.pixels[0]) / 255
    assert any(torch.equal(image, original) for image in images)


def test_without_augmentation_images_stay_as_they_are(digits: Images) -> None:
    batch = stream(digits, augmentation=()).batch(0)
    assert torch.equal(batch.images.permute(0, 2, 3, 1), torch.from_numpy(digits.pixels[batch.labels]) / 255)


def test_a_crop_is_a_part_of_its_image_enlarged() -> None:
    ramp = torch.linspace(0, 1, 32).expand(1, 32, 32)
    images = torch.stack([ramp, ramp.mT]).repeat(50, 1, 1, 1)
    made = cropped(images, torch.rand(100, 3, generator=torch.Generator().manual_seed(0)))
    assert made.shape == images.shape
    # along the ramp values still rise evenly, from one place inside it to another; across it they are equal
    for image in (*made[::2, 0], *made[1::2, 0].mT):
        slopes = image[0].diff()[1:-1]
        assert torch.allclose(image, image[0], atol=1e-6)
        assert SMALLEST_CROP**0.5 / 31 - 1e-4 < slopes.min() <= slopes.max() + 1e-6 < 1 / 31 + 1e-4
        assert torch.allclose(slopes, slopes[0], atol=1e-5)
    whole = cropped(images[:1], torch.tensor([[1.0, 0.5, 0.5]]))
    assert torch.allclose(whole, images[:1], atol=1e-6)


@pytest.mark.parametrize("kinds", [(), ("shift",), ("flip",), ("crop",), ("shift", "flip", "crop")], ids=str)
def test_images_on_the_device_have_the_same_augmentation(digits: Images, kinds: tuple[str, ...]) -> None:
    images = torch.from_numpy(digits.pixels[:50] / np.float32(255)).permute(0, 3, 1, 2)
    made = augment(images, torch.Generator().manual_seed(0), [Augmentation(kind) for kind in kinds])
    assert made.shape == images.shape
    assert torch.equal(made, images) == (not kinds)
    if kinds in ((), ("shift",)):
        assert all(is_a_crop(image, original) for image, original in zip(made, digits.pixels, strict=False))
    if kinds == ("flip",):
        mirrored = [torch.equal(image, original.flip(-1)) for image, original in zip(made, images, strict=True)]
        assert 10 < sum(mirrored) < 40
        assert all(torch.equal(image, images[i]) for i, image in enumerate(made) if not mirrored[i])
    if kinds == ("crop",):
        # An enlarged part has no pixel that is brighter than its image, and no black border of its own.
        assert all(image.max() <= original.max() for image, original in zip(made, images, strict=True))
        assert (augment(torch.ones_like(images), torch.Generator().manual_seed(0), [Augmentation.CROP]) > 0.999).all()


@pytest.mark.parametrize("size", [(32, 32), (24, 16)])
def test_images_are_channels_last_floats_in_0_1(size: tuple[int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, *size, 3), dtype=np.uint8)
    images = Images(pixels, np.arange(20), tuple(map(str, range(20))))
    batches = [stream(images, batch_size=8, augmentation=[*Augmentation]).batch(3), *evaluation_batches(images, 8, CPU)]
    for batch in batches:
        assert batch.images.shape[1:] == (3, *size)
        assert batch.images.dtype == torch.float32
        assert batch.images.is_contiguous(memory_format=torch.channels_last)
        assert batch.images.min() >= 0
        assert batch.images.max() <= 1
        assert batch.labels.dtype == torch.int64


def test_labels_are_withheld(digits: Images) -> None:
    batch = stream(digits, labelled=False).batch(0)
    with pytest.raises(LookupError, match="withheld"):
        _ = batch.labels
    assert torch.equal(batch.images, stream(digits).batch(0).images)


@pytest.mark.parametrize("batch_size", [1, 7, 300, 512])
def test_evaluation_shows_every_image_once_and_in_order(digits: Images, batch_size: int) -> None:
    batches = list(evaluation_batches(digits, batch_size, CPU))
    assert torch.cat([batch.labels for batch in batches]).tolist() == list(range(300))
    pixels = torch.cat([batch.images for batch in batches]).permute(0, 2, 3, 1)
    assert torch.equal(pixels, torch.from_numpy(digits.pixels) / 255)


def test_the_given_images_are_not_changed(digits: Images) -> None:
    digest = digits.digest
    batch = stream(digits).batch(0)
    batch.images.zero_()
    next(evaluation_batches(digits, 10, CPU)).images.zero_()
    assert Images(digits.pixels, digits.labels, digits.paths).digest == digest


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_makes_the_batches_of_the_cpu(digits: Images) -> None:
    here, there = (
        stream(digits, augmentation=[*Augmentation], device=torch.device(name)).batch(5) for name in ("cpu", "cuda")
    )
    assert torch.allclose(here.images, there.images.cpu(), atol=1e-6)
    assert there.images.is_contiguous(memory_format=torch.channels_last)


@given(st.lists(st.one_of(st.integers(), st.text()), max_size=4), st.lists(st.integers(), max_size=4))
def test_seeds_are_in_range_and_differ(one: list[int | str], two: list[int]) -> None:
    assert 0 <= derive_seed(*one) < 2**63
    assert (derive_seed(*one) == derive_seed(*two)) == (one == two)


def test_a_seed_never_changes() -> None:
    assert derive_seed("order", 0, 1) == 6948624756589500242


def test_images_that_do_not_fit_on_the_device_give_the_same_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    images = Images(
        pixels=np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), dtype=np.uint8),
        labels=np.arange(9),
        paths=tuple(map(str, range(9))),
    )
    here, there = [], []
    for batches, roomy in ((here, True), (there, False)):
        monkeypatch.setattr("okdbench.data.loader.fits", lambda *_, roomy=roomy: roomy)
        made = stream(images, batch_size=4, augmentation=[*Augmentation])
        batches += [made.batch(step) for step in (0, 1, 2, 7, 3)]
    for one, other in zip(here, there, strict=True):
        assert torch.equal(one.images, other.images)
        assert torch.equal(one.labels, other.labels)
