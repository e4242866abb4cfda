"""The rules that every method is measured by: settings, splits, budgets, tracks and selection.

Nothing here depends on a method, a data set or a machine. Changing a rule changes ``PROTOCOL_VERSION``, which is part
of every run's key, so that records made under different rules never meet in one table.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from okdbench.core.errors import UserError, unknown

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

PROTOCOL_VERSION = 1

TEACHER_FRACTIONS = {"train": 0.8, "test": 0.2}
STUDENT_FRACTIONS = {"train": 0.8, "val": 0.1, "test": 0.1}


#: labelled track: share of a data-free method's budget before the shared fine-tuning stage gets the rest
DATA_FREE_SHARE = 0.5


class Track(StrEnum):
    """Whether a method may see the student domain's labels."""

    LABELLED = "labelled"
    LABEL_FREE = "label-free"


@dataclass(frozen=True)
class Setting:
    """Which domains the teacher learned and which one the student is for."""

    name: str
    teacher_domains: tuple[str, ...]
    student_domain: str

    @classmethod
    def parse(cls, text: str, domains: Mapping[str, str]) -> Setting:
        """Read ``MP-O``: the letters of the teacher's domains, a dash, the letter of the student's.

        Nothing stands before the dash where the teacher's own pictures are not at hand, as in ``-O``.

        >>> Setting.parse("mp-o", {"M": "mnist", "O": "optical", "P": "print"}).teacher_domains
        ('mnist', 'print')
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
            raise UserError(f"setting {text!r}: every domain may appear once; the student's is not among the teacher's")
        ordered = sorted(teacher)
        return cls(f"{''.join(ordered)}-{student}", tuple(domains[letter] for letter in ordered), domains[student])


@dataclass(frozen=True)
class Budget:
    """How much training a run may spend, counted in pictures and thus equal for all methods.

    Attributes:
        student_images: pictures that the student learns from, all stages together.
        batch_size: pictures of one student update.
        teacher_images: pictures that the teacher learns from.
        evaluations: how often the student is evaluated in each stage that trains it.
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

UNRANKED_BUDGETS = frozenset({"smoke"})


def is_ranked(budget: str, student_images: float) -> bool:
    """Whether a row may have a rank: its budget is a ranked one, and it kept to it.

    Explicit steps and some faults of released code make the student learn from more pictures than the budget allows;
    such a row is shown, and compared with nobody. Budget ``paper`` is each author's own and has no limit.
    """
    limit = BUDGETS[budget].student_images if budget in BUDGETS and budget != "paper" else float("inf")
    return budget not in UNRANKED_BUDGETS and student_images <= limit


def budget_named(name: str) -> Budget:
    """The budget called ``name``; UserError when there is none."""
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    return BUDGETS[name]


def split(
    paths: Sequence[str], labels: Sequence[int], fractions: Mapping[str, float]
) -> dict[str, npt.NDArray[np.int64]]:
    """Divide samples into disjoint parts, stratified by class, as a pure function of their relative paths.

    Samples of a class are put in the order of their paths' SHA-256 and cut at the cumulated fractions, so neither the
    seed, nor the order of ``paths``, nor another class's samples move any picture from one part to another.

    Args:
        paths: N unique relative paths.
        labels: N class indices.
        fractions: part -> share; the shares sum to 1 and the first part takes the rounding.

    Returns:
        part -> sorted indices into ``paths``.
    """
    import numpy as np  # here, so that `okdbench --help` does not load it

    members: dict[int, list[int]] = {}
    for index, label in enumerate(labels):
        members.setdefault(int(label), []).append(index)
    parts: dict[str, list[int]] = {part: [] for part in fractions}
    first, *others = fractions
    for indices in members.values():
        rest = sorted(indices, key=lambda i: hashlib.sha256(paths[i].encode()).digest())
        for part in others:
            size = round(fractions[part] * len(indices))
            parts[part] += rest[:size]
            rest = rest[size:]
        parts[first] += rest
    return {part: np.array(sorted(chosen), dtype=np.int64) for part, chosen in parts.items()}


def select(scores: Sequence[float], track: Track) -> int:
    """Index of the evaluation that counts.

    Labelled track: the best score on the student domain's validation split, the earliest of equals. Label-free track:
    the last one, because choosing by validation accuracy would use labels that the track withholds.
    """
    if track is Track.LABEL_FREE:
        return len(scores) - 1
    import numpy as np

    return int(np.argmax(scores))
