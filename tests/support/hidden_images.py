"""Images in place of those that are withheld, and smaller runs, for a test's process or that of a command."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from okdbench.checks.sandbox import with_few_evaluated
from okdbench.core.protocol import BUDGETS
from okdbench.data.images import Images
from okdbench.data.splits import SplitCache, Splits
from okdbench.sweep import plans


def noise(images: Images) -> Images:
    """As many images, with random pixels and permuted labels."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, images.pixels.shape, dtype=np.uint8)
    return Images(pixels, rng.permutation(images.labels), images.paths)


def other_labels(images: Images) -> Images:
    return Images(images.pixels, np.roll(images.labels, 1) * 7 % 10, images.paths)


def tiny_runs() -> None:
    """Fewer images to train and to evaluate on than with budget smoke, from now on in this process."""
    BUDGETS["smoke"] = replace(BUDGETS["smoke"], student_images=160, teacher_images=160)
    plans.SplitCache = _Few  # type: ignore[misc]


def tiny_runs_without_test_images() -> None:
    """The same with noise for every test image."""
    tiny_runs()
    plans.SplitCache = _Untested  # type: ignore[misc]


def tiny_runs_without_labels() -> None:
    """The same with noise for every validation image too, and with other labels of the student's domain."""
    tiny_runs()
    plans.SplitCache = _Unlabelled  # type: ignore[misc]


class _Few(SplitCache):
    def __call__(self, *args: Any, **options: Any) -> Splits:
        return with_few_evaluated(super().__call__(*args, **options))


class _Untested(_Few):
    def __call__(self, *args: Any, **options: Any) -> Splits:
        splits = super().__call__(*args, **options)
        return replace(splits, test=noise(splits.test), teacher_test=noise(splits.teacher_test))


class _Unlabelled(_Untested):
    def __call__(self, *args: Any, **options: Any) -> Splits:
        splits = super().__call__(*args, **options)
        return replace(splits, val=noise(splits.val), train=other_labels(splits.train))
