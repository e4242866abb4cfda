"""The images of one setting, split by the protocol."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from okdbench.core.errors import UserError
from okdbench.core.protocol import STUDENT_FRACTIONS, TEACHER_FRACTIONS, Setting, split
from okdbench.data.cache import load_domain
from okdbench.data.dataset import Dataset
from okdbench.data.images import Images


@dataclass(frozen=True)
class Splits:
    """All images of a run. A method gets only ``student_train``; a teacher is trained only on ``teacher_train``."""

    student_train: Images
    student_val: Images
    student_test: Images
    teacher_train: Images
    teacher_test: Images

    @property
    def digest(self) -> str:
        """A hash of every image, label and path, and of the part that it is in."""
        return hashlib.sha256("".join(part.digest for part in vars(self).values()).encode()).hexdigest()


def assemble(dataset: Dataset, setting: Setting, image_size: int, root: Path, test_split: str = "protocol") -> Splits:
    """Load and split the domains of ``setting``.

    Args:
        dataset: where the images come from.
        setting: the teacher's domains and the student's domain.
        image_size: height and width in pixels to which the images are resized.
        root: the data folder.
        test_split: ``protocol``, or ``official`` for the data set's own test images in place of the protocol's test
            split; the other parts are the same.

    Raises:
        UserError: images are missing or cannot be cached, a split is empty, or there is no official test split.
    """
    if test_split == "official" and setting.student_domain not in dataset.official_tests:
        raise UserError(f"{dataset.name} {setting.student_domain} has no official test split; leave out --test-split")
    # The official test images first: when they are missing, that is reported before hours of decoding.
    official = dataset.official_tests.get(setting.student_domain, "") if test_split == "official" else ""
    replaced = {"test": load_domain(dataset, official, image_size, root)} if official else {}
    student = _parts(load_domain(dataset, setting.student_domain, image_size, root), STUDENT_FRACTIONS)
    sources = [
        _parts(load_domain(dataset, domain, image_size, root), TEACHER_FRACTIONS) for domain in setting.teacher_domains
    ]
    student |= replaced
    # Of the right image size, for settings such as -O, where the images of the teacher are not available.
    none = student["train"].take(np.empty(0, np.int64))
    return Splits(
        student_train=student["train"],
        student_val=student["val"],
        student_test=student["test"],
        teacher_train=Images.concatenate([none, *(source["train"] for source in sources)]),
        teacher_test=Images.concatenate([none, *(source["test"] for source in sources)]),
    )


class SplitCache:
    """:func:`assemble` with a memory of the last result, so that consecutive runs of a setting share their images."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._splits: Splits | None = None

    def __call__(
        self, dataset: Dataset, setting: Setting, image_size: int, root: Path, test_split: str = "protocol"
    ) -> Splits:
        """The splits of ``setting``, loaded unless the last call had the same arguments.

        Args:
            dataset: where the images come from.
            setting: the teacher's domains and the student's domain.
            image_size: height and width in pixels to which the images are resized.
            root: the data folder.
            test_split: ``protocol`` or ``official``.

        Raises:
            UserError: as :func:`assemble`.
        """
        key = (dataset.identity, setting, image_size, root, test_split)
        if self._splits is None or key != self._key:
            self._splits = None  # released first: two settings of a large data set need not fit into memory together
            self._key, self._splits = key, assemble(dataset, setting, image_size, root, test_split)
        return self._splits


def _parts(images: Images, fractions: dict[str, float]) -> dict[str, Images]:
    """The images of a domain, split; a UserError when a part is empty."""
    # An empty validation or test split would make every accuracy undefined.
    indices = split(images.paths, images.labels.tolist(), fractions)
    empty = [part for part, chosen in indices.items() if not len(chosen)]
    if empty:
        domain = images.paths[0].partition("/")[0]
        raise UserError(f"{domain} has too few images for its {empty[0]} split; at least one class needs 5 images")
    return {part: images.take(chosen) for part, chosen in indices.items()}
