"""How files of teachers say what their images are like, in the forms that several tests need."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import timm
import torch
from torch import nn
from torchvision.transforms import v2

from support.plain_teachers import NETWORK, teacher_of
from support.teacher_plans import checkpoint, plan_of

MEAN, STD = [0.2] * 3, [0.35] * 3
#: of OpenMMLab
PREPROCESSOR = "data_preprocessor = dict(mean=[51, 51, 51], num_classes=3, std=[89.25] * 3, to_rgb=True)"

MM_TEST = """test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='ResizeEdge', scale=40, edge='short', backend='pillow'),
    dict(type='CenterCrop', crop_size=32), dict(type='PackInputs')]
"""
#: the text of a pipeline of torchvision
PRINTED = "Compose(Grayscale(num_output_channels=3) ToTensor() Normalize(mean=[0.2, 0.2, 0.2], std=[0.35, 0.35, 0.35]))"
#: its last steps, with other statistics
TEN = [v2.ToTensor(), v2.Normalize([0.8] * 3, [0.1] * 3)]
#: a step of Albumentations
OPENCV = {"__class_fullname__": "Resize", "height": 32, "width": 32, "interpolation": 1}
#: the cure of what no option expresses
NO_OPTION = "no option does all of it: do it in the network's code, --teacher ./net.py;"


def trained(folder: Path, mean: list[float], std: list[float], *first: nn.Module) -> nn.Module:
    """A network that knows the images of the folder, with these transforms before its normalisation."""
    whole = [*first, v2.Resize((32, 32)), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True)]
    return teacher_of(sorted(folder.glob("images/*/*")), v2.Compose([*whole, v2.Normalize(mean, std)]))


def note_on(entries: dict[str, Any], photos: Path, folder: Path) -> str:
    """What a run says of a teacher whose file has these entries beside its weights."""
    checkpoint(**entries)(timm.create_model(NETWORK, num_classes=3), folder / "teacher.pth")
    return plan_of(photos, folder / "teacher.pth").format_note
