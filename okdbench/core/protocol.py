"""The rules that every method is measured by: settings, splits, budgets, tracks and selection.

Nothing here depends on a method, a data set or a machine. A change of the rules changes ``PROTOCOL_VERSION``, which is
part of every key and every record, so that runs under different rules never appear in one table.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from okdbench.core.errors import UserError, unknown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PROTOCOL_VERSION = 1

# The teacher needs no validation split: its last step is always used, whatever its accuracy.
TEACHER_FRACTIONS = {"train": 0.8, "test": 0.2}
STUDENT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}

#: labelled track: share of a data-free method's budget; the shared fine-tuning stage gets the rest
DATA_FREE_SHARE = 0.5


class Track(StrEnum):
    """Whether a method has access to the labels of the student domain."""

    LABELLED = "labelled"
    LABEL_FREE = "label-free"


@dataclass(frozen=True)
class Setting:
    """The domains that the teacher is trained on, and the domain that the student is trained for and tested on."""

    name: str
    teacher_domains: tuple[str, ...]
    student_domain: str

    @classmethod
    def parse(cls, text: str, domains: Mapping[str, str]) -> Setting:
        """Parse ``MP-O``: letters of the teacher's domains, a dash, the letter of the student's domain.

        The part before the dash is empty when the teacher's training images are not available, as in ``-O``.

        >>> Setting.parse("mp-o", {"M": "mnist", "O": "optical", "P": "print"}).teacher_domains
        ('mnist', 'print')

        Raises:
            UserError: the text has another form, a letter is unknown, or a domain appears twice.
        """
        teacher, dash, student = text.upper().partition("-")
        letters = ", ".join(f"{letter} = {name}" for letter, name in domains.items())
        if not dash or len(student) != 1:
            raise UserError(
                f"setting {text!r} is not of the form AB-C: teacher domains, dash, student domain ({letters})"
            )
        for letter in teacher + student:
            if letter not in domains:
                raise UserError(f"setting {text!r}: no domain has the letter {letter!r} ({letters})")
        if student in teacher or len(set(teacher)) < len(teacher):
            raise UserError(f"setting {text!r} names a domain twice; use each letter at most once ({letters})")
        # Sorted, so that MP-O and PM-O are one setting with one name and one key.
        ordered = sorted(teacher)
        return cls(f"{''.join(ordered)}-{student}", tuple(domains[letter] for letter in ordered), domains[student])


@dataclass(frozen=True)
class Budget:
    """How much training a run may use, counted in images so that it is equal for all methods.

    Attributes:
        student_images: images that the student is trained on, summed over all stages.
        batch_size: images in one update of the student.
        teacher_images: images that the teacher is trained on.
        evaluations: evaluations of the student in each stage that trains it.
    """

    name: str
    student_images: int
    batch_size: int
    teacher_images: int
    evaluations: int


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("smoke", student_images=640, batch_size=16, teacher_images=640, evaluations=2),
        Budget("quick", student_images=20_000, batch_size=64, teacher_images=24_000, evaluations=10),
        Budget("standard", student_images=10_000_000, batch_size=256, teacher_images=2_000_000, evaluations=20),
        Budget("paper", student_images=10_000_000, batch_size=256, teacher_images=2_000_000, evaluations=50),
    )
}

# A smoke run shows that a method works, not how good it is.
UNRANKED_BUDGETS = frozenset({"smoke"})


def is_ranked(budget: str, student_images: float) -> bool:
    """Whether a row gets a rank: its budget is a ranked one and was not exceeded.

    With explicit step counts, and with some bugs of released code, the student is trained on more images than the
    budget allows; such a row is shown without a rank. Budget ``paper`` follows each paper and has no limit.
    """
    # Records from elsewhere may have a budget that is unknown here: there is no limit to compare with.
    limit = BUDGETS[budget].student_images if budget in BUDGETS and budget != "paper" else float("inf")
    return budget not in UNRANKED_BUDGETS and student_images <= limit


def budget_named(name: str) -> Budget:
    """The budget called ``name``.

    Raises:
        UserError: no budget has this name.
    """
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    return BUDGETS[name]


def split(
    paths: Sequence[str], labels: Sequence[int], fractions: Mapping[str, float]
) -> dict[str, npt.NDArray[np.int64]]:
    """Split samples into disjoint parts, stratified by class, as a pure function of their relative paths.

    The samples of a class are sorted by the SHA-256 of their paths and cut at the cumulative fractions. So neither the
    seed, nor the order of ``paths``, nor the samples of other classes move an image from one part to another.

    Args:
        paths: N unique relative paths.
        labels: N class indices.
        fractions: part -> share; the shares sum to 1. Sizes are rounded half up, the first part gets what remains.

    Returns:
        part -> sorted indices into ``paths``.
    """
    import numpy as np  # here, so that `okdbench --help` does not load it

    # Stratified: each class is split by itself, so that every part has the class proportions of the whole.
    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    parts: dict[str, list[int]] = {part: [] for part in fractions}
    first, *others = fractions
    for indices in members.values():
        # Hashes, not the paths themselves: consecutive files are often frames of one object.
        rest = sorted(indices, key=lambda i: hashlib.sha256(paths[i].encode()).digest())
        for part in others:
            # Half up: round() is half to even, so that 5 images would give no validation image, and 15 and 25 both two.
            size = math.floor(fractions[part] * len(indices) + 0.5)
            parts[part] += rest[:size]
            rest = rest[size:]
        parts[first] += rest
    return {part: np.array(sorted(chosen), dtype=np.int64) for part, chosen in parts.items()}


def select(scores: Sequence[float], track: Track) -> int:
    """Index of the evaluation that counts.

    Labelled track: the highest score on the student domain's validation split, the earliest one of equal scores.
    Label-free track: the last one, because a choice by validation accuracy uses labels that the track withholds.
    """
    if track is Track.LABEL_FREE:
        return len(scores) - 1
    import numpy as np

    return int(np.argmax(scores))
