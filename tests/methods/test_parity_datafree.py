"""The data-free family gives the numbers of CMI's code, which has other forms of it, in float64."""

from __future__ import annotations

from typing import Any

import pytest
from support.parity import Record, generate_in_eval_mode, make_method, numbers
from torch import Tensor

from okdbench.distill.losses import batch_norm_l2
from okdbench.distill.networks.wrapper import ClassifierOutput

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("datafree")
ROUNDS = 2

#: settings of all of them there; DAFL and DFAD have SGD and five student steps by default
COMMON = {"generator_beta1": 0.5, "weight_decay": 1e-4}
SGD = {"student_optimizer": "sgd", "lr_student": 0.1}
CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "datafree_dafl": (
        "dafl",
        {"one_hot": 1.0, "balance": 20.0, "activation": 0.001, "lr_generator": 0.001, "inner_steps": 5},
    ),
    "datafree_zskt": ("zskt", {"attention": 0.0, "clip": 0.0, "inner_steps": 5, **SGD}),
    "datafree_dfad": ("dfad", {}),
    "datafree_dfq": ("dfkd", {"one_hot": 1.0, "balance": 20.0, "bn": 1.0, "inner_steps": 10, **SGD}),
}


def biased_norms(output: ClassifierOutput) -> Tensor:
    """The batch-norm term, summed over layers, with the biased variances of CMI's code."""
    counts = [6 * 16 * 16, 6 * 8 * 8]
    layers = [s._replace(var=s.var * (n - 1) / n) for s, n in zip(output.bn, counts, strict=True)]
    return batch_norm_l2(layers, per_layer=True)


@pytest.mark.parametrize("part", CASES)
def test_rounds_are_those_of_cmis_code(part: str) -> None:
    name, settings = CASES[part]
    method = make_method(name, SOURCE, COMMON | settings, noise=SOURCE[f"{part}/noise"])
    generate_in_eval_mode(method)
    if "bn" in method.priors:
        method.priors["bn"] = biased_norms  # declared in dfkd's card
    generator, student = Record(method.generator), Record(method.learner)
    # the common loop: each step of S has new images, also where the method's own release has not
    for _ in range(ROUNDS):
        method.generator_step(method.generator.module(method.noise()))
        for _ in range(method.hp.inner_steps):
            method.student_step()
    generator.same_as(SOURCE, part, "G", without=["loss"])
    student.same_as(SOURCE, part, "S")
    assert not method.task.stored
