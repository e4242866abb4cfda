"""Runs of teachers from a file on a few images, and how many of these they know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded
from support.plain_teachers import NETWORK, photographs

CPU = torch.device("cpu")


def shop(folder: Path, photo: tuple[int, int]) -> Path:
    """The YAML file of a data set with new images."""
    photographs(folder / "images", photo)
    return described(folder, "shop")


def described(folder: Path, name: str, **values: Any) -> Path:
    """Another description of the same images."""
    (folder / f"{name}.yaml").write_text(yaml.safe_dump({"domains": {"shop": "images"}, **values}))
    return folder / f"{name}.yaml"


def plan_of(description: Path, weights: Path, **options: Any) -> Plan:
    values = {"method": "kd", "dataset": str(description), "setting": "-S", "budget": "smoke", "device": "cpu"}
    networks = {"teacher": NETWORK, "student": NETWORK, "teacher_weights": str(weights)}
    return make_plan({**values, **networks, **options}, data_root=description.parent / "root")


def accuracy(plan: Plan) -> float:
    """Of the teacher on all images of the plan, in percent."""
    teacher, right = loaded(plan, Path("unused"), CPU, quiet), []
    for part in (plan.splits.train, plan.splits.val, plan.splits.test):
        images = torch.from_numpy(np.ascontiguousarray(part.pixels[:])).permute(0, 3, 1, 2) / 255
        right += [teacher(images).argmax(1).numpy() == part.labels]
    return 100 * float(np.concatenate(right).mean())
