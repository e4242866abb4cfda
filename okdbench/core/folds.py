"""Five folds: how the images of a domain are divided into train, validation and test."""

from __future__ import annotations

import hashlib
import itertools
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FOLDS = 5


def fold_of(seed: int) -> int:
    """The fold that a run tests on: five consecutive seeds test every image once."""
    return seed % FOLDS


def split(
    paths: Sequence[str],
    labels: Sequence[int],
    fold: int,
    *,
    validation: bool = True,
    test: bool = True,
    groups: Sequence[str] = (),
) -> dict[str, npt.NDArray[np.int64]]:
    """Split samples into disjoint parts, stratified by class, as a pure function of their relative paths.

    Test is the fold itself (20 %), validation every second image of the next one (10 %), train the rest. So neither
    the order of ``paths`` nor the samples of other classes move an image from one part to another.

    Args:
        paths: N unique relative paths.
        labels: N class indices; -1 where there is none.
        fold: the test fold, in 0 .. 4.
        validation: whether there is a validation part; otherwise its images are for training.
        test: whether there is a test part; otherwise its images are for training, because others are tested on.
        groups: N names; samples of one name are in one part, and those with none are groups of their own. Without any,
            each sample is.

    Returns:
        ``train``, ``val`` and ``test`` -> sorted indices into ``paths``.
    """
    import numpy as np  # here, so that `okdbench --help` does not load it

    if groups:
        return _split_groups(paths, labels, fold, validation, test, groups)
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for index, (label, place) in enumerate(zip(labels, _places(paths, labels), strict=True)):
        parts[_part(place, label, fold, validation=validation, test=test)].append(index)
    return {part: np.array(chosen, dtype=np.int64) for part, chosen in parts.items()}


def _split_groups(
    paths: Sequence[str], labels: Sequence[int], fold: int, validation: bool, test: bool, groups: Sequence[str]
) -> dict[str, npt.NDArray[np.int64]]:
    """The split of whole groups, each of which counts for the lowest class in it."""
    import numpy as np

    names = [f"group {group}" if group else path for path, group in zip(paths, groups, strict=True)]
    label_of: dict[str, int] = {}
    for name, label in zip(names, labels, strict=True):
        label_of[name] = min(label, label_of.get(name, label))
    units = sorted(label_of)
    counts = Counter(label_of.values())
    part_at = partial(_part, fold=fold, validation=validation, test=test)
    part_of = {
        # Of few groups the whole next fold validates, so that each class has some.
        name: part_at(place, label_of[name], halved=counts[label_of[name]] >= 2 * FOLDS)
        for name, place in zip(units, _places(units, [label_of[unit] for unit in units]), strict=True)
    }
    parts: dict[str, list[int]] = {"train": [], "val": [], "test": []}
    for index, name in enumerate(names):
        parts[part_of[name]].append(index)
    return {part: np.array(chosen, dtype=np.int64) for part, chosen in parts.items()}


def _part(place: int, label: int, fold: int, *, validation: bool, test: bool, halved: bool = True) -> str:
    """The part of a sample by its place in its class; of the next fold, one half validates if ``halved``, or all."""
    # Shifted by the class, so that classes with fewer than five images do not all start in the first fold.
    distance = (place + label - fold) % FOLDS
    is_second = not halved or (place // FOLDS + label) % 2 == 0
    return "test" if distance == 0 and test else "val" if distance == 1 and is_second and validation else "train"


def images_needed(
    part: str, label: int, folds: Sequence[int], count: int = 1, *, validation: bool = True, test: bool = True
) -> int:
    """How many images a class must have so that a part has ``count`` of them in each of these folds.

    >>> images_needed("test", 0, range(5)), images_needed("val", 0, range(5)), images_needed("val", 1, range(5))
    (5, 5, 10)

    Args:
        part: ``train``, ``val`` or ``test``, which must exist.
        label: index of the class.
        folds: the test folds.
        count: images of the class in the part, at least 1.
        validation: as in :func:`split`, and so ``test``.
    """

    def needed(fold: int) -> int:
        at = partial(_part, label=label, fold=fold, validation=validation, test=test)
        return next(itertools.islice((place for place in itertools.count() if at(place) == part), count - 1, None)) + 1

    return max(map(needed, folds))


def first_of_each_class(paths: Sequence[str], labels: Sequence[int], count: int) -> npt.NDArray[np.int64]:
    """Sorted indices of ``count`` samples per class, or of all where a class has fewer.

    The choice is a function of the paths, and nested: the samples for a smaller count are among those for a larger one.
    """
    import numpy as np

    return np.flatnonzero(np.array(_places(paths, labels), dtype=np.int64) < count)


def hash_of(path: str) -> bytes:
    """What the images of a class are ordered by."""
    # Not the path itself, because consecutive files are often frames of one object.
    return hashlib.sha256(path.encode()).digest()


def _places(paths: Sequence[str], labels: Sequence[int]) -> list[int]:
    """For each sample its place in the order of its class, counted from 0."""
    seen: dict[int, int] = {}
    places = [0] * len(paths)
    for index in sorted(range(len(paths)), key=lambda i: hash_of(paths[i])):
        places[index] = seen.get(labels[index], 0)
        seen[labels[index]] = places[index] + 1
    return places
