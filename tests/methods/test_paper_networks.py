"""Every method takes a step with each pair of networks of the papers, or says what the pair lacks."""

from __future__ import annotations

import math

import pytest
from support.tiny_task import make_method, run_stages

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError

PAIRS = [("lenet5", "lenet5_half"), ("lenet5_bn", "lenet5_half_bn")]
LARGE_PAIRS = [
    ("cifar_resnet34", "cifar_resnet18"), ("cifar_vgg11_bn", "cifar_resnet18"), ("wrn_40_2", "wrn_16_1"),
    ("wrn_40_2", "wrn_40_1"), ("wrn_40_2", "wrn_16_2"),
]  # fmt: skip
#: what the method compares of the teacher's batch norms, and LeNet-5 of 1998 has none
NEED_BATCH_NORM = {"augkd", "cmi", "deepinversion", "dfkd", "dfq", "fast", "mad", "nayer", "spaceshipnet"}
#: what it compares are maps of one size, and these two have others
NEED_MAPS = {("zskt", "cifar_vgg11_bn")}


@pytest.mark.parametrize(
    "pair", [*PAIRS, *(pytest.param(pair, marks=pytest.mark.slow) for pair in LARGE_PAIRS)], ids="->".join
)
@pytest.mark.parametrize("name", plugins.method_names())
def test_a_step_with_the_networks_of_the_papers(name: str, pair: tuple[str, str]) -> None:
    teacher, student = pair
    kind = registry.load_method(name).card.tasks[-1]
    refused = (name in NEED_BATCH_NORM and teacher == "lenet5") or (name, teacher) in NEED_MAPS

    def step() -> list[dict[str, float]]:
        made = make_method(name, teacher=teacher, student=student, images=8, batch_size=4, kind=kind)
        return run_stages(made, steps=1)

    if refused:
        with pytest.raises(UserError, match=r"batch-norm statistics|feature maps"):
            step()
    else:
        assert all(math.isfinite(value) for losses in step() for value in losses.values())
