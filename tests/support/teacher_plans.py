"""Runs of teachers from a file on a few images, and how many of these they know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import nn
from torchvision.transforms import v2

from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded
from support.plain_teachers import NETWORK, Pipeline, photographs

CPU = torch.device("cpu")
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
HALF = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
TIMM = dict.fromkeys(("img_size", "input_size", "crop_pct", "crop_mode", "mean", "std", "interpolation"))


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


def squares(size: int, mean: tuple[float, ...] = (0, 0, 0), std: tuple[float, ...] = (1, 1, 1)) -> Pipeline:
    """torchvision's Resize((size, size)), ToTensor, Normalize."""
    whole = [v2.Resize((size, size)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
    made: Pipeline = v2.Compose(whole)
    return made


def checkpoint(**entries: Any) -> Callable[[nn.Module, Path], None]:
    """Saves a network with these entries beside its weights."""
    return lambda net, file: torch.save({"state_dict": net.state_dict(), **entries}, file)
