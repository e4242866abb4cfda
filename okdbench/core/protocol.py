"""The rules that every method is measured by: tracks, budgets, selection and the seeds of tuning.

Tasks and settings are in :mod:`okdbench.core.settings`, splits in :mod:`okdbench.core.folds`.
Nothing here depends on a method, a data set or a machine. A change of the rules changes ``PROTOCOL_VERSION``, which is
part of every key and every record, so that runs under different rules never appear in one table.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from okdbench.core.errors import UserError, unknown
from okdbench.core.folds import FOLDS
from okdbench.core.settings import TaskKind

#: docs/protocol.md says what each version changed
PROTOCOL_VERSION = 5
#: runs in bfloat16 of earlier versions are void: after an update, the rest of a step used the old weights
FIRST_BFLOAT16_VERSION = 3


class Track(StrEnum):
    """Which train images of the student's domain a method sees, and which of their labels.

    With N labels per class: labelled, only the images that have one of them; semi, all images, of which these have
    labels; label-free, all images and no label.
    """

    LABELLED = "labelled"
    SEMI = "semi"
    LABEL_FREE = "label-free"


def tracks_of(task: TaskKind) -> tuple[Track, ...]:
    """The tracks of a task, its default one first; only task adapt gives labels to a method."""
    return tuple(Track) if task is TaskKind.ADAPT else (Track.LABEL_FREE,)


@dataclass(frozen=True)
class Budget:
    """How much training a run may use, counted in images so that it is equal for all methods.

    Attributes:
        student_images: images that the student is trained on, summed over all stages.
        batch_size: images in one update of the student.
        teacher_images: images that the teacher is trained on.
        teacher_batch_size: images in one update of the teacher.
        evaluations: evaluations of the student in each stage that trains it.
    """

    name: str
    student_images: int
    batch_size: int
    teacher_images: int
    teacher_batch_size: int
    evaluations: int


BUDGETS = {
    budget.name: budget
    for budget in (
        Budget("smoke", 640, batch_size=16, teacher_images=640, teacher_batch_size=32, evaluations=2),
        Budget("quick", 128_000, batch_size=128, teacher_images=60_000, teacher_batch_size=64, evaluations=10),
        Budget(
            "standard", 10_000_000, batch_size=256, teacher_images=2_000_000, teacher_batch_size=512, evaluations=20
        ),
        Budget("paper", 10_000_000, batch_size=256, teacher_images=2_000_000, teacher_batch_size=512, evaluations=50),
    )
}

# A smoke run shows that a method works, not how good it is.
UNRANKED_BUDGETS = frozenset({"smoke"})


#: student images of budget quick before version 4
_EARLIER_QUICK = 20_000


def is_ranked(budget: str, student_images: float, protocol: int = PROTOCOL_VERSION) -> bool:
    """Whether a row gets a rank: its budget is a ranked one and was not exceeded.

    With explicit step counts, and with some bugs of released code, the student is trained on more images than the
    budget allows; such a row is shown without a rank. Budget ``paper`` follows each paper and has no limit.
    """
    # Records from elsewhere may have a budget that is unknown here: there is no limit to compare with.
    limit = BUDGETS[budget].student_images if budget in BUDGETS and budget != "paper" else float("inf")
    if budget == "quick" and protocol < 4:
        limit = _EARLIER_QUICK
    return budget not in UNRANKED_BUDGETS and student_images <= limit


def budget_named(name: str) -> Budget:
    """The budget called ``name``.

    Raises:
        UserError: no budget has this name.
    """
    if name not in BUDGETS:
        raise unknown("budget", name, BUDGETS)
    return BUDGETS[name]


#: seeds from this one on are those of ``okdbench tune``, and in no table
FIRST_TUNING_SEED = 1000


def is_tuning_seed(seed: int) -> bool:
    """Whether a run with this seed chooses hyper-parameters, so that no table may use it."""
    return seed >= FIRST_TUNING_SEED


def tuning_seeds(count: int) -> list[int]:
    """The first ``count`` seeds of a tuning: 1000, 1005, 1010, ...

    All have one test fold, so that no tuning trains on, or is scored on, the images that seeds 0, 5, 10, ... test.
    """
    return [FIRST_TUNING_SEED + FOLDS * index for index in range(count)]


def refuse_tuning_seeds(seeds: Iterable[int]) -> None:
    """Do nothing if all seeds are those of a table.

    Raises:
        UserError: one is a tuning seed.
    """
    for seed in filter(is_tuning_seed, seeds):
        raise UserError(
            f"--seed {seed}: seeds from {FIRST_TUNING_SEED} on are for okdbench tune and in no table; use a smaller one"
        )


def select(scores: Sequence[float | None], track: Track) -> int:
    """Index of the evaluation that counts.

    Labelled and semi track: the highest score on the validation split, the earliest one of equal scores. Label-free
    track: the last one, because a choice by validation accuracy uses labels that the track withholds.
    """
    if track is Track.LABEL_FREE:
        return len(scores) - 1
    known = [score for score in scores if score is not None]
    assert len(known) == len(scores), "only the label-free track has no validation split"
    return known.index(max(known))
