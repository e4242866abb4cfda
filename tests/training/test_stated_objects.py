"""What whole objects in a teacher's file say of its images is read: networks of one's own, and configurations."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from support.plain_teachers import teacher_of
from support.stated_forms import MEAN, STD
from support.teacher_plans import HALF, IMAGENET, accuracy, plan_of, squares
from torch import nn
from torchvision.models import ResNet18_Weights
from torchvision.transforms import InterpolationMode


class Normalising(nn.Module):
    """A network of one's own whose statistics are attributes, and no buffers."""

    def __init__(self, model: nn.Module, mean: Any, std: Any) -> None:
        super().__init__()
        self.model, self.mean, self.std = model, mean, std


@pytest.mark.parametrize("form", [list, lambda numbers: torch.tensor(numbers).view(1, 3, 1, 1)], ids=["list", "tensor"])
@pytest.mark.parametrize("around", [lambda net: net, lambda net: {"model": net}], ids=["alone", "in a dict"])
def test_statistics_that_are_attributes_of_a_whole_network_are_read(
    form: Callable[[Any], Any], around: Callable[[Any], Any], net: nn.Module, photos: Path, tmp_path: Path
) -> None:
    torch.save(around(Normalising(net, form(MEAN), form(STD))), tmp_path / "teacher.pth")
    plan = plan_of(photos, tmp_path / "teacher.pth")
    assert plan.format_note.startswith("says mean 0.2, std 0.35;")
    assert accuracy(plan) == 100
    torch.save(around(Normalising(net, None, nn.ReLU())), tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith("does not say how its images are made;")


class Node:
    """A part of a configuration of OmegaConf, as it is pickled."""

    def __init__(self, value: Any) -> None:
        parts = {key: Node(each) for key, each in value.items()} if isinstance(value, dict) else value
        self._content = [*map(Node, parts)] if isinstance(parts, list) else parts
        if not isinstance(value, dict | list):
            self._val = vars(self).pop("_content")


def test_a_configuration_of_omegaconf_is_read(
    net: nn.Module, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "omegaconf", ModuleType("omegaconf"))
    monkeypatch.setitem(sys.modules, "omegaconf.dictconfig", module := ModuleType("omegaconf.dictconfig"))
    monkeypatch.setattr(Node, "__module__", module.__name__)
    vars(module)["Node"] = Node
    config = Node({"data": {"mean": MEAN, "std": STD, "img_size": 32}, "lr": 0.1})
    torch.save({"model": net.state_dict(), "cfg": config}, tmp_path / "teacher.pth")
    assert plan_of(photos, tmp_path / "teacher.pth").format_note.startswith("says 32 px, mean 0.2, std 0.35;")


def test_the_pretraining_of_a_pickled_network_is_not_taken_for_its_own(photos: Path, tmp_path: Path) -> None:
    net = teacher_of(sorted(photos.parent.glob("images/*/*")), squares(32, **IMAGENET))
    vars(net)["pretrained_cfg"] = {**vars(net)["pretrained_cfg"], **HALF, "input_size": (3, 160, 160)}
    for content in (net, {"model": net}, {"trainer": {"model": nn.DataParallel(net)}}):
        torch.save(content, tmp_path / "teacher.pth")
        plan = plan_of(photos, tmp_path / "teacher.pth")
        assert plan.format_note.startswith("does not say how its images are made; by default 32 px, mean 0.485")
        assert accuracy(plan) == 100


@pytest.mark.parametrize("form", [lambda preset: preset, str], ids=["object", "text"])
def test_the_transforms_of_torchvisions_weights_are_read(
    form: Callable[[Any], Any], net: nn.Module, photos: Path
) -> None:
    preset = ResNet18_Weights.DEFAULT.transforms(crop_size=32, resize_size=40, interpolation=InterpolationMode.BICUBIC)
    file = photos.parent / "preset.pth"
    torch.save({"state_dict": net.state_dict(), "transform": form(preset)}, file)
    note = plan_of(photos, file).format_note
    assert note.startswith("says 32 px, mean 0.485,0.456,0.406, std 0.229,0.224,0.225, crop:0.8, bicubic")
