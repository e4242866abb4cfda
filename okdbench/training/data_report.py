"""What a user should know of the images when a run starts: nothing of it is an error, and each line is printed once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from okdbench.core.notices import say_once
from okdbench.data.class_order import shortened
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.deep_images import usual_range
from okdbench.data.image_files import described
from okdbench.data.images import Images
from okdbench.data.own_passport import NOT_COMPARED, compared, leaks, span
from okdbench.training.plan import Plan

#: whose images this process has looked at
_reported: set[str] = set()


def report(plan: Plan) -> None:
    """Print what is to say of a run's images on standard error, unless an earlier run of this process has."""
    if plan.method.reads_names(plan.hyperparameters) and plan.class_embeddings is None:
        say_once(
            f"{plan.dataset.name} has no text embeddings of its classes; one-hot ones stand in (okdbench data embed)"
        )
    where = f"{plan.dataset.name} {plan.setting.name} seed {plan.config.seed}"
    if not isinstance(plan.dataset, OwnDataset) or f"{where} {plan.splits.digest}" in _reported:
        return
    _reported.add(f"{where} {plan.splits.digest}")
    for line in [*plan.dataset.remarks(), *(f"{where}: {line}" for line in _lines(plan, plan.dataset))]:
        say_once(line)


def _lines(plan: Plan, dataset: OwnDataset) -> Iterator[str]:
    splits, domains = plan.splits, (*plan.setting.teacher_domains, plan.setting.input_domain)
    named = {"teacher": splits.teacher_train, "train": splits.train, "val": splits.val, "test": splits.test}
    parts = {name: part for name, part in named.items() if len(part)}
    ignored: Counter[str] = sum((dataset.scan(domain).ignored for domain in domains if domain), Counter())
    counts = ", ".join(f"{name} {_count(part, len(dataset.classes))}" for name, part in parts.items())
    yield f"{counts}; ignored: {described(ignored) or 'nothing'}"
    learned = {} if plan.config.teacher_weights else {"the teacher": splits.teacher_train}
    for who, part in (learned | {"the student": splits.train}).items():
        if names := _absent(part, dataset):
            yield f"warning: {who} has no training image of {names}; add some"
    if names := _absent(splits.test, dataset):
        yield f"warning: no test image in this fold, so not tested: {names}"
    found = compared(dataset, splits, plan.data_root)
    if paths := found.contradictory:
        yield f"warning: {len(paths)} images are equal to one of another class: {shortened(paths)}; remove them"
    if white := sorted({f"{part.max_value:g}" for part in parts.values() if part.max_value}):
        dark = "" if dataset.max_value else _dark(list(parts.values()))
        yield f"white is {' and '.join(white)} in files of more than 8 bits{dark}; max_value: sets it"
    official = any(domain in dataset.official_tests for domain in plan.setting.test_domains)
    if text := leaks(splits, found, official and plan.config.test_split != "folds"):
        yield f"warning: {text}"
    if found.only_equal:
        yield NOT_COMPARED


def _dark(parts: Sequence[Images]) -> str:
    """That nearly all images of one range are far below it, and by how much; empty where they are not."""
    for white in {part.max_value for part in parts if part.max_value}:
        peaks = np.concatenate([part.peaks for part in parts if part.max_value == white])
        if usual := usual_range(peaks, white):
            return f", and nearly all of {len(peaks)} images are below {usual + 1:g}, as if others had faulty pixels"
    return ""


def _absent(part: Images, dataset: OwnDataset) -> str:
    """The classes without an image in a part that has labels."""
    found = set(part.labels.tolist()) - {-1}
    return ", ".join(name for index, name in enumerate(dataset.classes) if found and index not in found)


def _count(part: Images, classes: int) -> str:
    """``30 images (10 per class)``."""
    labels = part.labels[part.labels >= 0]
    per_class = f" ({span(np.bincount(labels, minlength=classes).tolist())} per class)" if len(labels) else ""
    return f"{len(part)} images{per_class}"
