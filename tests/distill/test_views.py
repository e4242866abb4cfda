"""Views of images that are optimised are those of the training images, and have exact gradients."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from okdbench.data.augmentation import augment, cropped
from okdbench.data.dataset import Augmentation
from okdbench.distill.views import crop_positions, cropped_each, interpolated, shifted_each


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.rand(50, 3, 32, 48, generator=rng())


@pytest.mark.parametrize("mirrors", [False, True])
def test_images_are_shifted_as_training_images_are(images: Tensor, mirrors: bool) -> None:
    kinds = {Augmentation.SHIFT, Augmentation.FLIP} if mirrors else {Augmentation.SHIFT}
    assert shifted_each(images, mirrors, rng()).equal(augment(images, rng(), kinds))


def test_a_crop_has_the_pixels_of_a_training_images_crop(images: Tensor) -> None:
    numbers = torch.rand(50, 3, generator=rng())
    made = interpolated(images, *crop_positions(numbers, 32, 48))
    torch.testing.assert_close(made, cropped(images, numbers), rtol=0, atol=1e-5)
    assert cropped_each(images, False, rng()).equal(made)


def test_each_crop_is_mirrored_or_not(images: Tensor) -> None:
    plain, made = cropped_each(images, False, rng()), cropped_each(images, True, rng())
    same = [torch.equal(image, other) for image, other in zip(made, plain, strict=True)]
    turned = [torch.equal(image, other.flip(2)) for image, other in zip(made, plain, strict=True)]
    assert all(a != b for a, b in zip(same, turned, strict=True))
    assert 10 < sum(turned) < 40


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("view", [shifted_each, cropped_each])
def test_a_view_has_the_gradients_of_its_pixels(view: Callable[..., Tensor]) -> None:
    pixels = torch.rand(2, 1, 8, 8, generator=rng(), requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: view(x, True, rng()), pixels)


def test_pixels_are_not_rounded_to_bfloat16(images: Tensor) -> None:
    with torch.autocast("cpu", torch.bfloat16):
        made = shifted_each(images.bfloat16(), False, rng())
        assert made.equal(augment(images.bfloat16().float(), rng(), {Augmentation.SHIFT}))
