"""PRE-DFKD gives the numbers of LTR's released code where the two share it, in float64; the rest is written out."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
from support import tiny_task
from support.parity import (
    Record,
    iterate,
    load,
    make_method,
    numbers,
    same_losses,
    same_tensor,
    same_tensors,
    state,
)
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from okdbench import registry
from okdbench.api import Clock, HyperparameterError
from okdbench.distill.networks.wrapper import Normaliser

SOURCE = numbers("ltr")
#: biases of the memory's encoder that batch norm takes away: their gradients are rounding errors
DEAD = ("picture.bias", "shrink.9.bias")
CLAMPED, TRAIN_MODE = {"legacy_clamped_js": True}, {"legacy_student_train_mode": True}
LATER = Clock(1, 100)


def pre(settings: Mapping[str, Any], noise: Iterable[Tensor] = ()) -> Any:
    """The method with 16 new and 2 old images in a step, and the stored weights of its auto-encoder."""
    method = make_method("pre", SOURCE, {"balance": 5 / math.log(10), **settings}, noise=noise, batch_size=18)
    if method.hp.memory == "generative":
        load(method.vae.module.encoder, SOURCE.group("E"))
        load(method.vae.module.generator, SOURCE.group("MG"))
    return method


# Numbers of the release


@pytest.mark.usefixtures("double")
def test_a_step_on_new_and_old_images_is_that_of_the_release() -> None:
    method = pre({})
    record, new, old = Record(method.learner), SOURCE["new"], SOURCE["old"]
    method.replay_step(new, method.teacher.targets(new), old, method.teacher.targets(old))
    same_tensors(record.gradients[0], SOURCE.group("step/mb/grad_S"))
    same_tensors(state(method.student), SOURCE.group("step/mb/after_S"))


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("part", "settings"), [("gen", CLAMPED | TRAIN_MODE), ("gen_eval", CLAMPED)])
def test_a_generator_step_is_that_of_the_release(part: str, settings: Mapping[str, Any]) -> None:
    method = pre(settings)
    record = Record(method.generator)
    method.generator_step(method.generator.module(SOURCE["generator/z"]))
    # the release adds 1 - JS, okdbench -JS
    same_losses([record.losses[0] + 1], SOURCE[f"generator/{part}/loss"].view(1))
    record.same_as(SOURCE, f"generator/{part}", "G", without=["loss"])


@pytest.mark.usefixtures("double")
def test_the_student_sees_old_images_from_the_first_round_on() -> None:
    method = pre({}, [SOURCE["dream/z"]])
    assert not method.clock.step
    same_tensor(method.sample_memory(), SOURCE["dream/pictures"])


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize(("part", "clock"), [("vae_first", Clock(0, 100)), ("vae", LATER)])
def test_a_step_of_the_auto_encoder_is_that_of_the_release(part: str, clock: Clock) -> None:
    method = pre({}, [SOURCE[f"{part}/epsilon"]])
    # the stored generators end in a sigmoid, so what they make is not normalised as it is in the release
    method.task = replace(method.task, normaliser=Normaliser((0.0,) * 3, (1.0,) * 3))
    method.set_clock(clock)
    method.sample_vae = lambda train: SOURCE["old"] if train else None
    record, new = Record(method.vae), SOURCE["new"]
    # the student's own old images play no part
    seen = [new, SOURCE["old"].flip(3)]
    method.update_vae(seen, [method.teacher.targets(images) for images in seen])
    same_losses(record.losses, SOURCE[f"{part}/loss"].view(1))
    assert not method.task.stored
    if part == "vae":
        of_generator = {f"generator's {name}": gradient for name, gradient in SOURCE.group("vae/grad_MG").items()}
        same_tensors(record.gradients[0], SOURCE.group("vae/grad_E") | of_generator, DEAD)


@pytest.mark.usefixtures("double")
def test_rounds_with_a_buffer_are_those_of_the_release() -> None:
    settings = {"memory": "buffer", "inner_steps": 2, "pushes": 1, **CLAMPED, **TRAIN_MODE}
    method = pre(settings, SOURCE["rounds/noise"])
    generator, student = Record(method.generator), Record(method.learner)
    iterate(method, 3)
    generator.same_as(SOURCE, "rounds", "G", without=["loss"])
    student.same_as(SOURCE, "rounds", "S", without=["loss", "grad"])
    (memory,) = method.buffer.batches
    same_tensor(memory, SOURCE["rounds/memory"])


# What the numbers do not hold


def tiny(settings: dict[str, Any], **task: Any) -> Any:
    return tiny_task.make_method("pre", settings, **task)


def tracked(module: nn.Module) -> list[int]:
    """How many batches each batch norm has followed."""
    return [int(buffer) for name, buffer in module.named_buffers() if name.endswith("num_batches_tracked")]


@pytest.mark.parametrize(("clock", "forwards"), [(Clock(0, 4), 1), (Clock(1, 4), 3)])
def test_the_memory_generator_is_in_train_mode_for_the_auto_encoder_alone(clock: Clock, forwards: int) -> None:
    method = tiny({})
    method.set_clock(clock)
    generator = method.vae.module.generator
    new = method.sample_images()
    method.sample_memory()
    assert set(tracked(generator)) == {0}
    method.update_vae([new], [method.teacher.targets(new)])
    assert set(tracked(generator)) == {forwards}


def test_the_auto_encoder_learns_in_four_steps_of_a_round() -> None:
    method = tiny({})
    record = Record(method.vae)
    iterate(method, 2)
    assert len(record.losses) == 2 * 4
    assert all(gradient.abs().sum() > 0 for gradient in record.gradients[-1] if gradient.dim() > 1)


def test_the_error_is_of_normalised_images_logits_and_features() -> None:
    made, x = torch.rand(2, 4, 3, 32, 32, generator=torch.Generator().manual_seed(5))
    std = torch.tensor(tiny_task.STD).view(3, 1, 1)
    errors = {}
    for weight in (0.0, 0.5):
        method = tiny({"features": weight})
        loss = method.reconstruction(images := made.clone().requires_grad_(), x, method.teacher.targets(x))
        errors[weight] = (loss, torch.autograd.grad(loss, images)[0])
    outputs = [method.teacher.forward_with_features(images, "penultimate") for images in (made, x)]
    logits, features = (
        (getattr(outputs[0], name) - getattr(outputs[1], name)).abs().mean() for name in ("logits", "penultimate")
    )
    torch.testing.assert_close(errors[0.0][0], ((made - x) / std).abs().mean() + logits)
    torch.testing.assert_close(errors[0.5][0] - errors[0.0][0], 0.5 * features)
    assert (errors[0.5][1] - errors[0.0][1]).abs().sum() > 0


@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_a_teacher_without_features_is_refused_with_the_cure(weight: float) -> None:
    method = tiny({"activation": 0.0, "features": weight})
    method.teacher.net.get_classifier = lambda: None
    with pytest.raises(HyperparameterError, match="it takes features=0") if weight else nullcontext():
        method.setup()


def test_a_batch_of_budget_paper_is_that_of_the_release() -> None:
    method = tiny({}, batch_size=registry.load_method("pre").papers[""].batch_size)
    assert (method.batch_size, method.replay_size) == (1024, 1024 // 8)


def test_the_generator_of_new_images_alone_has_spectral_norms() -> None:
    method = tiny({})
    for module, expected in ((method.generator.module, True), (method.vae.module, False)):
        assert any(is_parametrized(layer) for layer in module.modules()) is expected
