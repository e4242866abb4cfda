"""AuG-KD on two dozen pictures: a trial of which a test takes single steps, and what it sees of them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from scipy.stats import entropy
from torch import Tensor, nn

from okdbench.api import Batch, Clock, Learner
from okdbench.core.config import check_hyperparameters
from okdbench.data.loader import Stream
from okdbench.data.splits import Splits
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.methods.augkd import AuGKD
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial, normaliser

CPU = torch.device("cpu")
PICTURES = 24  # in each part of the material
IMAGES = 120  # that the student may learn from
BATCH_SIZE = 8
BASE = {"inner_steps": 2, "anchor_steps": 4}  # stages of 3, 4 and 9 steps

STAGES = {"data-free": {"generator", "encoder", "student"}, "anchor": {"anchor"}, "mixup": {"student"}}

Start = Callable[..., Trial]


def small(plan: Plan, batch_size: int, student_images: int) -> Plan:
    """The plan with two dozen pictures in each part, evenly from all classes, and a budget of a second."""
    parts = {
        name: images.take(np.arange(PICTURES) * len(images.labels) // PICTURES)
        for name, images in vars(plan.splits).items()
    }
    budget = replace(plan.budget, student_images=student_images, batch_size=batch_size, evaluations=1)
    return replace(plan, splits=Splits(**parts), budget=budget)


def a_teacher(plan: Plan, name: str = "test_resnet") -> ClassifierWrapper:
    """A network of 10 classes that was never trained but has running statistics of its own, and opinions."""
    torch.manual_seed(7)
    probe = ClassifierWrapper(build_classifier(name, 10, 32), normaliser(plan, CPU))
    for _ in range(5):
        probe(torch.rand(16, 3, 32, 32))
    with torch.no_grad():
        head = probe.net.get_classifier()
        head.weight.mul_(20)
        head.bias.normal_(0, 1)
    return probe.lock()


def starter(usual: Plan, teacher: ClassifierWrapper, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """What makes a trial of AuG-KD with its hyper-parameters and a copy of the teacher, nothing trained yet."""

    def make(
        master: ClassifierWrapper = teacher, batch_size: int = BATCH_SIZE, student_images: int = IMAGES, **settings: Any
    ) -> Trial:
        chosen = check_hyperparameters(AuGKD.Hyperparameters, AuGKD.presets["smoke"], BASE | settings, "augkd")
        one = replace(small(usual, batch_size, student_images), hyperparameters=chosen)
        return Trial(one, copy.deepcopy(master), tmp_path_factory.mktemp("run"), CPU, quiet)

    return make


def networks(trial: Trial) -> dict[str, nn.Module]:
    method = trial.method
    own = {name: getattr(method, name).module for name in ("generator", "encoder", "anchor")}
    return {"teacher": method.teacher, "student": method.student, **own}


def a_batch(trial: Trial, size: int = BATCH_SIZE, step: int = 0) -> Batch:
    return Stream(trial.plan.splits.student_train, batch_size=size, seed=0, flip=False, device=CPU).batch(step)


def walk(trial: Trial, name: str, steps: int | None = 1) -> list[dict[str, float]]:
    """Begin the stage and do its first steps, or all of them and its end, as the engine does; the losses."""
    stage = next(stage for stage in trial.method.stages() if stage.name == name)
    trial.method.student.train()
    if stage.begin:
        stage.begin()
    losses = []
    for i in range(steps or stage.steps):
        trial.method.clock = Clock(i, stage.steps)
        terms = stage.step(a_batch(trial, stage.batch_size or BATCH_SIZE, i)) if stage.data else stage.step()
        losses.append({name: term.item() for name, term in terms.items()})
    if steps is None and stage.finish:
        stage.finish()
    return losses


def record(module: nn.Module) -> list[tuple[Tensor, Any]]:
    """First input and output of every coming forward of ``module``."""
    seen: list[tuple[Tensor, Any]] = []
    module.register_forward_hook(lambda _module, inputs, output: seen.append((inputs[0].detach().clone(), output)))
    return seen


def watch(learner: Learner) -> tuple[list[float], list[float]]:
    """Losses and learning rates of every coming update."""
    losses: list[float] = []
    rates: list[float] = []
    update = learner.update

    def spy(loss: Tensor, *rest: Any, **options: Any) -> None:
        losses.append(loss.item())
        rates.append(learner.lr)
        update(loss, *rest, **options)

    learner.update = spy  # type: ignore[method-assign]
    return losses, rates


def relative_entropy(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> float:
    p, q = (softmax(x.detach().double().numpy() / temperature, axis=1) for x in (teacher, student))
    return float(temperature**2 * entropy(p, q, axis=1).mean())


def cross_entropy(logits: Tensor, labels: Tensor) -> Any:
    p = softmax(logits.detach().double().numpy(), axis=1)
    return -np.log(p[np.arange(len(p)), labels.numpy()])


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-4)
