"""The images of a transfer domain that are most out of the teacher's domains (MosaicKD, Fang et al., NeurIPS 2021)."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from okdbench.core.files import write_atomic
from okdbench.distill.losses import entropies
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.training.evaluation import predict
from okdbench.training.plan import Plan
from okdbench.training.teacher import teacher_file


def with_subset(plan: Plan, teacher: ClassifierWrapper, runs: Path, device: torch.device) -> Plan:
    """The plan with the ``ood_subset`` images on which the teacher is least certain, or as it is without that option.

    They are chosen once for a teacher and a set of images, and kept beside the teacher's weights.

    Args:
        plan: the run.
        teacher: the trained teacher.
        runs: folder of runs, with teachers below it.
        device: where the teacher works.
    """
    count = plan.config.ood_subset
    if count is None:
        return plan
    images = plan.access.images
    file = teacher_file(runs / "teachers", plan).with_name(f"ood-{images.digest[:16]}-{count}.json")
    chosen = _kept(file, count, len(images))
    if chosen is None:
        scores = entropies(predict(teacher, images, device))
        # Of equal entropies the first. Another device may round them otherwise; the record has a hash of the choice.
        chosen = sorted(scores.argsort(descending=True, stable=True)[:count].tolist())
        file.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(file, json.dumps(chosen).encode())
    return plan.with_images(chosen)


def _kept(file: Path, count: int, total: int) -> list[int] | None:
    """The choice of an earlier run; None without one that can be right."""
    try:
        chosen = [int(index) for index in json.loads(file.read_bytes())]
    except (OSError, ValueError, TypeError):
        return None
    return chosen if len(set(chosen)) == count and 0 <= min(chosen) <= max(chosen) < total else None


def subset_digest(plan: Plan) -> str:
    """A hash of the paths of the chosen images, for the record; empty if none were chosen."""
    if plan.chosen is None:
        return ""
    return hashlib.sha256(json.dumps(plan.access.images.paths).encode()).hexdigest()
