"""Whether a file that a run reads is a student of okdbench that learned from the images that the run tests on."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from okdbench.core.errors import UserError
from okdbench.core.folds import fold_of
from okdbench.distill.networks.file_kinds import is_safetensors
from okdbench.training.plan import Plan
from okdbench.training.student import StudentCard, card_in

#: bytes of a header
_LARGEST = 10**8


def student_warnings(plan: Plan) -> Iterator[str]:
    """What to say of students of other seeds: each seed tests on images of its own, which the others learn from."""
    config, own = plan.config, plan.config.seed
    for name in dict.fromkeys((config.teacher_weights, config.teacher_init, config.student_weights)):
        card = _card(Path(name)) if name else None
        if card and _has_other_images(card, plan):
            yield (
                f"{name}: warning: by its card it is a student of {card.dataset}, seed {_said(card, 'seed')}, and has "
                f"learned from images that seed {own} tests on; take one of seed {own} and of the same --test-split"
            )


def _has_other_images(card: StudentCard, plan: Plan) -> bool:
    """Whether it learned from other images of a domain that the run tests on than a student of this run does."""
    if card.dataset != plan.dataset.name or card.classes != plan.dataset.classes:
        return False
    try:
        learned = plan.dataset.setting(card.setting).input_domain
    except UserError:  # as of another data set of this name
        return False
    is_official = learned in plan.dataset.official_tests
    folds = [not is_official or split == "folds" for split in (_said(card, "test-split"), plan.config.test_split)]
    is_other = folds[0] != folds[1] or (folds[1] and fold_of(int(_said(card, "seed"))) != fold_of(plan.config.seed))
    return learned in plan.setting.test_domains and is_other


def _card(path: Path) -> StudentCard | None:
    with suppress(OSError, ValueError), path.open("rb") as file:  # other files are refused, or are no students
        start = file.read(8)
        header = start + file.read(min(int.from_bytes(start, "little"), _LARGEST))
        return card_in(header) if is_safetensors(header) else None
    return None


def _said(card: StudentCard, option: str) -> str:
    """An option of its command; 0 without one."""
    words = shlex.split(card.command)
    return words[words.index(f"--{option}") + 1] if f"--{option}" in words[:-1] else "0"
