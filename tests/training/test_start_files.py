"""Files that a training starts from are compared with the data set: order of the classes, normalisation, last layer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import test_teacher_classes
import torch
from safetensors.torch import save_file
from support.error_text import refusal
from support.plain_teachers import NETWORK
from test_teacher_classes import CODED, plan_of, rows
from torch import nn

from okdbench.training import teacher_check
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.trial import check

#: fixtures
shop, net = test_teacher_classes.shop, test_teacher_classes.net


def test_a_start_with_the_classes_in_another_order_is_pointed_out(
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, start = tmp_path / "teacher.pt", tmp_path / "student.safetensors"
    torch.save(net.state_dict(), teacher)
    card = {"architecture": NETWORK, "classes": CODED}
    for state, warns in ((rows(net, [2, 0, 1]), True), (rows(net, [2, 0, 1, -1]), False)):
        names = [*CODED, "vase"][: len(state["head.fc.bias"])]
        save_file(state, start, {"okdbench": json.dumps(card | {"classes": names})})
        for _ in range(2):  # the second time it is read back
            execute(plan_of(shop, teacher, method="kd", student_weights=str(start)), tmp_path / "runs", quiet)
            words = f"okdbench: {start}: warning: the last layer that the student starts from has the classes in "
            assert (f"{words}another order, pen, cup, lamp; " in capsys.readouterr().err) == warns


def test_a_start_for_other_images_and_with_another_end_is_explained(
    shop: Path, net: nn.Module, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    teacher, start = tmp_path / "teacher.pt", tmp_path / "start.pt"
    torch.save(net.state_dict(), teacher)
    torch.save({"state_dict": net.state_dict(), "mean": [0.2] * 3, "std": [0.35] * 3}, start)
    execute(plan_of(shop, teacher, method="kd", student_weights=str(start)), tmp_path / "runs", quiet)
    said = f"okdbench: {start}: by the file its images had mean 0.2, std 0.35, RGB; here they have mean 0.485,"
    assert said in capsys.readouterr().err
    usual = {"mean": torch.tensor([0.485, 0.456, 0.406]), "std": torch.tensor([0.229, 0.224, 0.225])}
    torch.save({"state_dict": net.state_dict(), **usual}, start)
    teacher_check.report_files(plan_of(shop, teacher, method="kd", student_weights=str(start)))
    assert "by the file its images had" not in capsys.readouterr().err
    head = {name: tensor for name, tensor in net.state_dict().items() if "head.fc" in name}
    rest = {name: tensor for name, tensor in net.state_dict().items() if name not in head}
    torch.save(rest | {"head.fc.0.weight": torch.ones(64, 64), "head.fc.2.weight": head["head.fc.weight"]}, start)
    message = refusal(check, plan_of(shop, teacher, method="kd", student_weights=str(start)))
    assert message.endswith("'head.fc.2.weight'; save the weights before them alone, and the last layer starts new")
