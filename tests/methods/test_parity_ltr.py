"""Learning to retain gives the numbers of its released code, in float64, with okdbench's generators and encoder."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from support.parity import (
    Record,
    iterate,
    load,
    make_method,
    numbers,
    same_loss,
    same_losses,
    same_tensor,
    same_tensors,
    state,
)
from torch import Tensor

from okdbench.distill.losses import clamped_js, l1

pytestmark = pytest.mark.usefixtures("double")

SOURCE = numbers("ltr")
#: biases of the memory's encoder that batch norm takes away: their gradients are rounding errors
DEAD = ("picture.bias", "shrink.9.bias")
BALANCE = 5 / math.log(10)
CLAMPED, TRAIN_MODE = {"legacy_clamped_js": True}, {"legacy_student_train_mode": True}
INERT, CONCAT = {"legacy_inert_meta": True}, {"legacy_concat_outer": True}


def ltr(settings: Mapping[str, Any], noise: Iterable[Tensor] = (), name: str = "ltr") -> Any:
    """The method with 16 new and 2 replayed images in a step."""
    return make_method(name, SOURCE, {"balance": BALANCE, **settings}, noise=noise, batch_size=18)


def generative(noise: Iterable[Tensor]) -> Any:
    """LTR with the auto-encoder's weights of the start."""
    method = ltr({"memory": "generative"}, noise)
    load(method.vae.module.encoder, SOURCE.group("E"))
    load(method.vae.module.generator, SOURCE.group("MG"))
    return method


# Losses


def test_the_losses_are_those_of_the_release() -> None:
    t, s = SOURCE["losses/t"], SOURCE["losses/s"].clone().requires_grad_()
    same_loss(1 - clamped_js(t, s), {"s": s}, SOURCE, "losses/one_minus_clamped_js")
    same_loss(l1(t, s), {}, SOURCE, "losses/l1")


# Student


@pytest.mark.parametrize(("part", "settings"), [("released", INERT), ("live_concat", CONCAT), ("eq7", {})])
def test_a_step_on_new_and_old_images_is_that_of_the_release(part: str, settings: Mapping[str, Any]) -> None:
    method = ltr(settings)
    record, new, old = Record(method.learner), SOURCE["new"], SOURCE["old"]
    losses = method.replay_step(new, method.teacher.targets(new), old, method.teacher.targets(old))
    _, retention, outer = SOURCE[f"step/{part}/losses"]
    same_losses([losses["disagreement"]], outer.view(1))
    # without a gradient, retention is not computed
    same_losses([losses["retention"]], retention.view(1) * (settings != INERT))
    same_tensors(record.gradients[0], SOURCE.group(f"step/{part}/grad_S"))
    same_tensors(state(method.student), SOURCE.group(f"step/{part}/after_S"))


def test_a_step_of_the_control_is_that_of_the_release() -> None:
    # declared in the card of replay: the release has one mean over new and old images, as LTR's inert step has
    method = ltr(INERT)
    record, new, old = Record(method.learner), SOURCE["new"], SOURCE["old"]
    method.replay_step(new, method.teacher.targets(new), old, method.teacher.targets(old))
    same_tensors(record.gradients[0], SOURCE.group("step/mb/grad_S"))
    same_tensors(state(method.student), SOURCE.group("step/mb/after_S"))


@pytest.mark.parametrize("name", ["ltr", "replay"])
def test_a_step_without_a_memory_is_that_of_the_release(name: str) -> None:
    method = ltr({}, name=name)
    record = Record(method.learner)
    method.distill_step(SOURCE["new"], method.teacher.targets(SOURCE["new"]))
    same_tensors(record.gradients[0], SOURCE.group("step/empty/grad_S"))
    same_tensors(state(method.student), SOURCE.group("step/empty/after_S"))


# Generator


@pytest.mark.parametrize("name", ["ltr", "replay"])
@pytest.mark.parametrize(("part", "settings"), [("gen", CLAMPED | TRAIN_MODE), ("gen_eval", CLAMPED)])
def test_a_generator_step_is_that_of_the_release(part: str, settings: Mapping[str, Any], name: str) -> None:
    method = ltr(settings, name=name)
    record = Record(method.generator)
    method.generator_step(method.generator.module(SOURCE["generator/z"]))
    # the release adds 1 - JS, okdbench -JS
    same_losses([record.losses[0] + 1], SOURCE[f"generator/{part}/loss"].view(1))
    record.same_as(SOURCE, f"generator/{part}", "G", without=["loss"])


# Memory


def test_the_memory_generator_draws_the_images_of_the_release() -> None:
    method = generative([SOURCE["dream/z"]])
    same_tensor(method.sample_vae(), SOURCE["dream/pictures"])
    assert not method.task.stored


@pytest.mark.parametrize("part", ["vae", "vae_first"])
def test_a_step_of_the_auto_encoder_is_that_of_the_release(part: str) -> None:
    method = generative([SOURCE[f"{part}/epsilon"]])
    record = Record(method.vae)
    seen = [SOURCE["new"], *([SOURCE["old"]] if part == "vae" else [])]
    method.update_vae(seen, [method.teacher.targets(images) for images in seen])
    same_losses(record.losses, SOURCE[f"{part}/loss"].view(1))
    assert not method.task.stored
    if part == "vae":
        of_generator = {f"generator's {name}": gradient for name, gradient in SOURCE.group("vae/grad_MG").items()}
        stored = SOURCE.group("vae/grad_E") | of_generator
        same_tensors(record.gradients[0], stored, DEAD)


# Rounds


@pytest.mark.parametrize(("part", "settings"), [("rounds", INERT), ("rounds_live", CONCAT)])
def test_rounds_are_those_of_the_release(part: str, settings: Mapping[str, Any]) -> None:
    settings = {"inner_steps": 2, "pushes": 1, **CLAMPED, **TRAIN_MODE, **settings}
    method = ltr(settings, SOURCE["rounds/noise"])
    generator, student = Record(method.generator), Record(method.learner)
    iterate(method, 3)
    generator.same_as(SOURCE, part, "G", without=["loss"])
    student.same_as(SOURCE, part, "S", without=["loss", "grad"])
    (memory,) = method.buffer.batches
    same_tensor(memory, SOURCE[f"{part}/memory"])
    assert not method.task.stored
