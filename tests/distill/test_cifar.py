"""The networks of the papers' tables: parameters as published, stages and features as the methods read them."""

from __future__ import annotations

import pytest
import torch

from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser

#: name -> parameters with ten classes, and side and channels of the map at the end of each stage. For WRN-16-1 the
#: figure 175,994 is in use too: it counts the 928 running statistics.
NETWORKS = {
    "cifar_resnet18": (11_173_962, [(32, 64), (32, 64), (16, 128), (8, 256), (4, 512)]),
    "cifar_resnet34": (21_282_122, [(32, 64), (32, 64), (16, 128), (8, 256), (4, 512)]),
    "cifar_vgg11_bn": (9_231_114, [(32, 64), (16, 128), (8, 256), (4, 512), (2, 512)]),
    "wrn_16_1": (175_066, [(32, 16), (16, 32), (8, 64)]),
    "wrn_16_2": (691_674, [(32, 32), (16, 64), (8, 128)]),
    "wrn_40_1": (563_930, [(32, 16), (16, 32), (8, 64)]),
    "wrn_40_2": (2_243_546, [(32, 32), (16, 64), (8, 128)]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_parameters_and_stages_are_those_of_the_papers(name: str) -> None:
    count, stages = NETWORKS[name]
    net = ClassifierWrapper(build_classifier(name, 10, 32), Normaliser((0.5,) * 3, (0.5,) * 3)).lock()
    assert sum(p.numel() for p in net.parameters()) == count
    output = net.forward_with_features(torch.rand(2, 3, 32, 32), "stages", "penultimate", "bn")
    assert [(maps.shape[-1], maps.shape[1]) for maps in output.stages] == stages
    assert output.penultimate.shape == (2, stages[-1][1])
    assert output.logits.shape == (2, 10)
    assert len(output.bn) == len(net.norm_layers())


def test_running_statistics_explain_the_other_figure_of_wrn_16_1() -> None:
    net = build_classifier("wrn_16_1", 10, 32)
    statistics = sum(b.numel() for name, b in net.named_buffers() if "running" in name)
    assert sum(p.numel() for p in net.parameters()) + statistics == 175_994


@pytest.mark.parametrize("name", ["cifar_resnet18", "wrn_16_1", "cifar_vgg11_bn"])
def test_they_take_grey_images_and_any_number_of_classes(name: str) -> None:
    assert build_classifier(name, 7, 32, channels=1)(torch.rand(2, 1, 32, 32)).shape == (2, 7)
