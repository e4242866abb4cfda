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


def student_warnings(plan: Plan) -> Iterator[str]:
    """What to say of students of other seeds: each seed tests on images of its own, which the others learn from."""
    config, own = plan.config, plan.config.seed
    for name in dict.fromkeys((config.teacher_weights, config.teacher_init, config.student_weights)):
        card = _card(Path(name)) if name else None
        if card and _tests_on_other_images(card, plan):
            yield (
                f"{name}: warning: by its card it is a student of {card.dataset}, seed {_seed(card)}, and learned from "
                f"images that seed {own} tests on; take one of seed {own}"
            )


def _tests_on_other_images(card: StudentCard, plan: Plan) -> bool:
    if card.dataset != plan.dataset.name or card.classes != plan.dataset.classes:
        return False
    has_folds = plan.config.test_split == "folds" or not plan.dataset.official_tests
    with suppress(UserError):  # as of another data set of this name
        learned = plan.dataset.setting(card.setting).input_domain
        is_tested = learned in plan.setting.test_domains
        return has_folds and is_tested and fold_of(_seed(card)) != fold_of(plan.config.seed)
    return False


def _card(path: Path) -> StudentCard | None:
    with suppress(OSError, ValueError):  # other files are refused, or are no students
        content = path.read_bytes()
        return card_in(content) if is_safetensors(content) else None
    return None


def _seed(card: StudentCard) -> int:
    words = shlex.split(card.command)
    return int(words[words.index("--seed") + 1]) if "--seed" in words[:-1] else 0
