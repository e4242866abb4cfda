"""Teachers of files of more than eight bits, for which another value was white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.plain_teachers import photographs, teacher_of
from support.teacher_plans import CPU, accuracy, described, plan_of
from torch import Tensor

from okdbench.data.decoding import read_image
from okdbench.data.image_form import ImageForm
from okdbench.training import teacher_check
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded

DARK = {"mean": [0.03] * 3, "std": [0.02] * 3}


def of_sixteen_bits(image: Image.Image) -> Tensor:
    """value / 65535, normalised."""
    pixels = read_image(Path(str(image.filename)), ImageForm(32, max_value=65535))  # type: ignore[attr-defined]
    return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - DARK["mean"][0]) / DARK["std"][0]


def test_another_white_is_named_as_a_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = photographs(tmp_path / "images", (70, 70), 25)
    for file in files:  # twelve bits in sixteen
        Image.fromarray(np.asarray(Image.open(file).convert("L")).astype(np.uint16) * 16).save(file)
    torch.save({"state_dict": teacher_of(files, of_sixteen_bits).state_dict(), **DARK}, tmp_path / "teacher.pt")
    plan = plan_of(described(tmp_path, "shop"), tmp_path / "teacher.pt")
    assert accuracy(plan) < 60
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert "warning: with max_value: 65535 in the file of the data set it has 100.0 %" in capsys.readouterr().err
    plan = plan_of(described(tmp_path, "white", max_value=65535), tmp_path / "teacher.pt")
    assert accuracy(plan) == 100
