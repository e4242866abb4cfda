"""The splits of a setting: sizes for small classes, and domains that are too small."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from okdbench.core.errors import UserError
from okdbench.core.protocol import Setting
from okdbench.data import Dataset, Sample
from okdbench.data.splits import assemble


class Small(Dataset):
    """Two domains of two classes with ``count`` images each."""

    classes = ("cup", "lamp")
    domains = {"S": "studio", "P": "phone"}  # noqa: RUF012

    def __init__(self, count: int) -> None:
        self.count = count

    def samples(self, domain: str, root: Path) -> list[Sample]:  # noqa: ARG002
        rng = np.random.default_rng(len(domain))
        pixels = rng.integers(0, 256, (2 * self.count, 8, 8, 3), dtype=np.uint8)
        return [Sample(f"{domain}/{index:03d}", index % 2, image) for index, image in enumerate(pixels)]


@pytest.mark.parametrize(("count", "sizes"), [(5, (3, 1, 1)), (15, (11, 2, 2)), (25, (19, 3, 3))])
def test_small_classes_are_split_by_rounding_half_up(count: int, sizes: tuple[int, ...], root: Path) -> None:
    splits = assemble(Small(count), Setting.parse("S-P", Small.domains), 8, root)
    for part, size in zip((splits.student_train, splits.student_val, splits.student_test), sizes, strict=True):
        assert np.bincount(part.labels).tolist() == [size, size]
    assert len(splits.teacher_test) == 2 * round(0.2 * count)


def test_four_images_per_class_are_too_few(root: Path) -> None:
    with pytest.raises(UserError, match="phone has too few images for its val split; at least one class needs 5"):
        assemble(Small(4), Setting.parse("S-P", Small.domains), 8, root)
