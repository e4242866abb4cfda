"""MosaicKD and its data-free baseline give the numbers of MosaicKD's released code, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
from support import parity
from support.parity import LOSS_TOLERANCE, Record, load, make_method, numbers, same_loss, same_losses, same_tensor
from torch import Tensor

from okdbench.api import Batch
from okdbench.distill.losses import batch_norm_l2, class_imbalance, entropy, kl
from okdbench.distill.networks.discriminators import PatchDiscriminator, patch_loss
from okdbench.distill.networks.generators import Generator

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("mosaickd")
#: in each iteration
STUDENT_STEPS = 5
TRAIN_MODE = {"legacy_student_train_mode": True}


# Networks and losses


@pytest.mark.parametrize("mode", ["train", "eval"])
def test_the_discriminator_has_the_outputs_of_the_release(mode: str) -> None:
    net = PatchDiscriminator(32, width=4)
    load(net, SOURCE.group("D"))
    net.train(mode == "train")
    same_tensor(net(SOURCE["net/normalised"]), SOURCE[f"net/D_{mode}"], tolerance=LOSS_TOLERANCE)


def test_the_generator_has_the_outputs_of_the_release() -> None:
    net = Generator(8, 32, 4)
    load(net, SOURCE.group("G"))
    same_tensor(net(SOURCE["net/z"]), SOURCE["net/G_train"])


def leaf(name: str) -> Tensor:
    """A stored input of the losses that can be differentiated."""
    return SOURCE[f"losses/{name}"].clone().requires_grad_()


@pytest.mark.parametrize("summed", [False, True])
def test_the_losses_of_the_windows_are_those_of_the_release(summed: bool) -> None:
    fake, real = leaf("fake"), leaf("real")
    loss = (patch_loss(fake, False, summed) + patch_loss(real, True, summed)) / 2
    same_loss(loss, {"fake": fake, "real": real}, SOURCE, "losses/discriminator")
    same_loss(patch_loss(fake, True, summed), {"fake": fake}, SOURCE, "losses/local")


def test_the_losses_of_the_logits_are_those_of_the_release() -> None:
    t, s = leaf("t"), leaf("s")
    same_loss(entropy(t), {"t": t}, SOURCE, "losses/align")
    same_loss(class_imbalance(t) / math.log(2), {"t": t}, SOURCE, "losses/balance_bits")
    same_loss(-kl(t, s), {"t": t, "s": s}, SOURCE, "losses/adversarial")


# Iterations


def mosaickd(settings: Mapping[str, Any]) -> Any:
    """MosaicKD with the weights of the start; half of a batch of 12 is generated."""
    settings = {"balance": 10 / math.log(2), **settings}
    method = make_method("mosaickd", SOURCE, settings, noise=SOURCE["iterations/noise"], batch_size=12)
    load(method.discriminator.module, SOURCE.group("D"))
    return method


def run_iterations(method: Any) -> list[dict[str, Tensor]]:
    """Two iterations on the stored real images; the terms of each."""
    terms = []
    for real, images in zip(SOURCE["iterations/real"], SOURCE["iterations/ood"].split(STUDENT_STEPS), strict=True):
        terms.append(method.mosaic_iteration(Batch(real, None), *(Batch(x, None) for x in images)))
    assert not method.task.stored
    return terms


def check_generator_and_student(method: Any, part: str) -> Record:
    """Assert that the updates of G and S in two iterations are those of a part; the record of D."""
    generator, student, discriminator = map(Record, (method.generator, method.learner, method.discriminator))
    terms = run_iterations(method)
    generator.same_as(SOURCE, part, "G")
    student.same_as(SOURCE, part, "S")
    for found, stored in zip(terms, SOURCE[f"{part}/terms_G"], strict=True):
        values = [found[name] for name in ("local", "align", "adversarial")]
        # in bits there; without a weight there is no term
        bits = [found["balance"] / math.log(2)] if method.hp.balance else []
        same_losses(values + bits, stored[: 3 + len(bits)])
    return discriminator


@pytest.mark.parametrize(("part", "settings"), [("released", TRAIN_MODE), ("default", {})])
def test_iterations_are_those_of_the_release(part: str, settings: dict[str, bool]) -> None:
    check_generator_and_student(mosaickd(settings), part).same_as(SOURCE, part, "D")


def test_iterations_with_the_command_lines_weights_are_those_of_the_release() -> None:
    method = mosaickd({"legacy_argparse_weights": True, **TRAIN_MODE})
    check_generator_and_student(method, "argparse").same_as(SOURCE, "argparse", "D")


@pytest.mark.parametrize("part", ["dfkd", "dfkd_eval"])
def test_iterations_of_the_data_free_baseline_are_those_of_the_release(part: str) -> None:
    method = make_method("dfkd", SOURCE, {"balance": 20 / math.log(10)}, noise=SOURCE["dfkd/noise"])
    # declared in the card: the release has one norm over all layers
    method.priors["bn"] = lambda output: batch_norm_l2(output.bn)
    if part == "dfkd":
        # the release leaves the student in train mode in G's step; dfkd has no switch for it
        method.adversary_logits = method.student
    generator, student = Record(method.generator), Record(method.learner)
    parity.iterate(method, 2)
    generator.same_as(SOURCE, part, "G")
    student.same_as(SOURCE, part, "S", without=["grad"])
    assert not method.task.stored
