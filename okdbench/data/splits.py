"""The pictures of one setting, divided by the protocol, with walls between the parts."""

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
    """All pictures of a run. A method is given ``student_train`` and nothing else; the teacher ``teacher_train``."""

    student_train: Images
    student_val: Images
    student_test: Images
    teacher_train: Images
    teacher_test: Images

    @property
    def digest(self) -> str:
        """A hash of every picture, label and path, in its part."""
        return hashlib.sha256("".join(part.digest for part in vars(self).values()).encode()).hexdigest()


def assemble(dataset: Dataset, setting: Setting, image_size: int, root: Path, test_split: str = "protocol") -> Splits:
    """Load and split the domains of ``setting``; ``root`` is the data folder.

    With ``test_split`` official, the data set's own test pictures stand in for the protocol's test split, and the other
    parts stay as they are.

    Raises:
        UserError: pictures are missing or cannot be cached, or there is no official test split.
    """
    if test_split == "official" and setting.student_domain not in dataset.official_tests:
        raise UserError(f"{dataset.name} {setting.student_domain} has no official test split; leave out --test-split")
    own_test = dataset.official_tests.get(setting.student_domain, "") if test_split == "official" else ""
    tests = {"test": load_domain(dataset, own_test, image_size, root)} if own_test else {}
    student = _parts(load_domain(dataset, setting.student_domain, image_size, root), STUDENT_FRACTIONS)
    sources = [
        _parts(load_domain(dataset, domain, image_size, root), TEACHER_FRACTIONS) for domain in setting.teacher_domains
    ]
    student |= tests
    nothing = student["train"].take(np.empty(0, np.int64))  # where the teacher's own pictures are not at hand
    return Splits(
        student_train=student["train"],
        student_val=student["val"],
        student_test=student["test"],
        teacher_train=Images.concatenate([nothing, *(source["train"] for source in sources)]),
        teacher_test=Images.concatenate([nothing, *(source["test"] for source in sources)]),
    )


class SplitCache:
    """Does the work of :func:`assemble`, but keeps the pictures asked for last, for plans that share them."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._material: Splits | None = None

    def __call__(
        self, dataset: Dataset, setting: Setting, image_size: int, root: Path, test_split: str = "protocol"
    ) -> Splits:
        """The pictures of ``setting``, loaded unless the call before asked for the same."""
        key = (dataset.identity, setting, image_size, root, test_split)
        if self._material is None or key != self._key:
            self._material = None  # two settings of a large data set need not fit into memory together
            self._key, self._material = key, assemble(dataset, setting, image_size, root, test_split)
        return self._material


def _parts(images: Images, fractions: dict[str, float]) -> dict[str, Images]:
    indices = split(images.paths, images.labels.tolist(), fractions)
    empty = [part for part, chosen in indices.items() if not len(chosen)]
    if empty:
        domain = images.paths[0].partition("/")[0]
        raise UserError(f"{domain} has too few pictures for its {empty[0]} split; it takes 5 of at least one class")
    return {part: images.take(chosen) for part, chosen in indices.items()}
