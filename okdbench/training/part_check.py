"""Looks whether a teacher knows the user's test part far worse than the other parts of the same domain.

A test list may have its classes in another order than the train list: every number is right for the labels as they are
written, and wrong for the user. It is looked at after the run, so no test image reaches a method or a choice.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from okdbench.core.settings import TaskKind
from okdbench.data.class_order import shortened
from okdbench.data.custom_dataset import OwnDataset
from okdbench.training import teacher_check
from okdbench.training.evaluation import Evaluator, accuracy, predict
from okdbench.training.plan import Plan
from okdbench.training.teacher_check import ERRORS, is_near_chance, of_tested_domain
from okdbench.training.teacher_classes import order_in_answers


def report(plan: Plan, evaluator: Evaluator, file: Path) -> None:
    """Print a warning where the test part is far worse known, and keep it in ``file``, as the teacher's check does."""
    if text := _warning(plan, evaluator):
        teacher_check.add(plan, f"warning: {text}", file)


def _warning(plan: Plan, evaluator: Evaluator) -> str:
    images, where = of_tested_domain(plan)
    if not _is_divided(plan) or not len(images):
        return ""
    logits, labels = evaluator.teacher_logits, torch.from_numpy(evaluator.test.labels)
    tested = accuracy(logits, labels)
    known = accuracy(predict(evaluator.teacher, images, evaluator.device), torch.from_numpy(images.labels))
    if not _is_far_below(tested, known, 100 / len(plan.dataset.classes), len(labels), len(images)):
        return ""
    cause = _order(plan, logits, labels, (known + tested) / 2) or (
        "these may have the classes in another order or be of another kind, or it knows the others by heart"
    )
    return f"{known:.1f} % of {len(images)} images of {where}, but {tested:.1f} % of {len(labels)} test images; {cause}"


def _is_divided(plan: Plan) -> bool:
    """Whether the user has divided the tested domain, and the teacher has not learned its train part here."""
    data, is_learned = plan.dataset, plan.setting.task is not TaskKind.ADAPT and not plan.config.teacher_weights
    if not isinstance(data, OwnDataset) or plan.config.test_split == "folds" or is_learned:
        return False
    return any(domain in data.official_tests for domain in plan.setting.test_domains)


def _is_far_below(tested: float, known: float, chance: float, *counts: int) -> bool:
    """Whether so many tested and known images, of which these percentages are right, differ by more than luck."""
    luck = ERRORS * 50 * math.sqrt(sum(1 / count for count in counts))
    is_low = tested < known / 2 or is_near_chance(tested, chance)
    return is_low and known - tested > luck and not is_near_chance(known, chance)


def _order(plan: Plan, logits: Tensor, labels: Tensor, least: float) -> str:
    """That the answers are right in another order of the classes, to at least so many percent; else empty."""
    found = order_in_answers(plan, logits, labels)
    if not found or found[1] < least:
        return ""
    names, outputs = plan.dataset.classes, list(plan.dataset.teacher_classes) or list(range(logits.shape[1]))
    pairs = zip(names, (names[outputs.index(output)] for output in found[0]), strict=True)
    swapped = shortened([f"{own} is {answer}" for own, answer in pairs if own != answer])
    return f"by its answers these have the classes in another order ({swapped}); number all parts alike"
