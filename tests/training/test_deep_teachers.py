"""Teachers of files of more than eight bits, for which another value was white."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.plain_teachers import photographs, teacher_of
from support.teacher_plans import CPU, HALF, accuracy, described, plan_of
from torch import Tensor

from okdbench.data.decoding import read_image
from okdbench.data.deep_images import usual_range
from okdbench.data.image_form import ImageForm
from okdbench.training import data_report, teacher_check
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of as loaded

DARK = {"mean": [0.03] * 3, "std": [0.02] * 3}


def of_sixteen_bits(image: Image.Image) -> Tensor:
    """value / 65535, normalised."""
    pixels = read_image(Path(str(image.filename)), ImageForm(32, max_value=65535))  # type: ignore[attr-defined]
    return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - DARK["mean"][0]) / DARK["std"][0]


def of_twelve_bits(image: Image.Image) -> Tensor:
    """value / 4095, normalised."""
    pixels = read_image(Path(str(image.filename)), ImageForm(32, max_value=4095))  # type: ignore[attr-defined]
    return torch.from_numpy(pixels).permute(2, 0, 1) / 127.5 - 1


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


def test_a_hot_pixel_is_named_as_a_cause(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of one image in 75; all others have twelve bits."""
    files = photographs(tmp_path / "images", (70, 70), 25)
    for index, file in enumerate(files):
        values = np.asarray(Image.open(file).convert("L")).astype(np.uint16) * 16
        values[0, 0] = 65535 if index == 3 else values[0, 0]
        Image.fromarray(values).save(file)
    torch.save({"state_dict": teacher_of(files, of_twelve_bits).state_dict(), **HALF}, tmp_path / "teacher.pt")
    plan = plan_of(described(tmp_path, "shop"), tmp_path / "teacher.pt")
    assert accuracy(plan) < 60
    data_report.report(plan)
    dark = "white is 65535 in files of more than 8 bits, and nearly all of 75 images are below 4096, as if others had"
    assert dark in capsys.readouterr().err
    teacher_check.report(plan, loaded(plan, Path("unused"), CPU, quiet), CPU)
    assert "warning: with max_value: 4095 in the file of the data set it has 100.0 %" in capsys.readouterr().err
    plan = plan_of(described(tmp_path, "white", max_value=4095), tmp_path / "teacher.pt")
    assert accuracy(plan) == 100
    data_report.report(plan)
    assert "white is 4095 in files of more than 8 bits; max_value: sets it" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("peaks", "white", "usual"),
    [
        ([16] * 19 + [255], 65535, 4095),
        ([16] * 18 + [255] * 2, 65535, None),
        ([64] * 19 + [255], 65535, 16383),
        ([65] * 19 + [255], 65535, None),
        ([1] * 20, 65535, 255),
        ([64] * 20, 4095, 1023),
        ([10] * 20, 1, None),
        ([10] * 20, 255, None),
    ],
)
def test_a_range_that_few_images_have_is_known(peaks: list[int], white: float, usual: float | None) -> None:
    assert usual_range(np.array(peaks, np.uint8), white) == usual
