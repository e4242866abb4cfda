"""AuG-KD on 24 images per split: trials whose steps a test runs one by one, and records of their calls."""

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
from okdbench.data.dataset import Augmentation
from okdbench.data.images import Images
from okdbench.data.loader import Stream
from okdbench.data.splits import Splits
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.methods.augkd import AuGKD
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import normaliser
from okdbench.training.trial import Trial

CPU = torch.device("cpu")
SPLIT_SIZE = 24  # images in each split
IMAGES = 120  # training images of the student
BATCH_SIZE = 8
BASE = {"inner_steps": 2, "anchor_steps": 4}  # stages of 3, 4 and 9 steps

STAGES = {"data-free": {"generator", "encoder", "student"}, "anchor": {"anchor"}, "mixup": {"student"}}

Start = Callable[..., Trial]


def small_plan(plan: Plan, batch_size: int, student_images: int) -> Plan:
    """The plan with 24 images in each split, evenly from all classes, and a budget of a second."""
    splits = {
        name: images.take(np.arange(SPLIT_SIZE) * len(images.labels) // SPLIT_SIZE)
        for name, images in vars(plan.splits).items()
        if isinstance(images, Images)
    }
    budget = replace(plan.budget, student_images=student_images, batch_size=batch_size, evaluations=1)
    return replace(plan, splits=Splits(**splits), budget=budget)


def make_teacher(plan: Plan, name: str = "test_resnet") -> ClassifierWrapper:
    """An untrained network of 10 classes with confident predictions and running statistics unlike the defaults."""
    torch.manual_seed(7)
    teacher = ClassifierWrapper(build_classifier(name, 10, 32, channels=1), normaliser(plan, CPU))
    for _ in range(5):
        teacher(torch.rand(16, 1, 32, 32))
    with torch.no_grad():
        head = teacher.net.get_classifier()
        head.weight.mul_(20)
        head.bias.normal_(0, 1)
    return teacher.lock()


def trial_factory(plan: Plan, teacher: ClassifierWrapper, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """A function that creates a trial of AuG-KD with a copy of the teacher; nothing is trained yet."""

    def make(
        trial_teacher: ClassifierWrapper = teacher,
        batch_size: int = BATCH_SIZE,
        student_images: int = IMAGES,
        **settings: Any,
    ) -> Trial:
        hyperparameters = check_hyperparameters(AuGKD.Hyperparameters, AuGKD.presets["smoke"], BASE | settings, "augkd")
        small = replace(small_plan(plan, batch_size, student_images), hyperparameters=hyperparameters)
        return Trial(small, copy.deepcopy(trial_teacher), tmp_path_factory.mktemp("run"), CPU, quiet)

    return make


def networks(trial: Trial) -> dict[str, nn.Module]:
    method = trial.method
    own = {name: getattr(method, name).module for name in ("generator", "encoder", "anchor")}
    return {"teacher": method.teacher, "student": method.student, **own}


def make_batch(trial: Trial, size: int = BATCH_SIZE, step: int = 0) -> Batch:
    images = trial.plan.splits.train
    return Stream(images, batch_size=size, seed=0, device=CPU, augmentation=[Augmentation.SHIFT]).batch(step)


def run_stage(trial: Trial, name: str, steps: int | None = 1) -> list[dict[str, float]]:
    """Begin the stage and run its first steps, or all of them and its end, like the training loop; the losses."""
    stage = next(stage for stage in trial.method.stages() if stage.name == name)
    trial.method.student.train()
    if stage.begin:
        stage.begin()
    losses = []
    for i in range(steps or stage.steps):
        trial.method.clock = Clock(i, stage.steps)
        terms = stage.step(make_batch(trial, stage.batch_size or BATCH_SIZE, i)) if stage.data else stage.step()
        losses.append({name: term.item() for name, term in terms.items()})
    if steps is None and stage.finish:
        stage.finish()
    return losses


def record_forwards(module: nn.Module) -> list[tuple[Tensor, Any]]:
    """A list that collects first input and output of every later forward pass of ``module``."""
    calls: list[tuple[Tensor, Any]] = []
    module.register_forward_hook(lambda _module, inputs, output: calls.append((inputs[0].detach().clone(), output)))
    return calls


def record_updates(learner: Learner) -> tuple[list[float], list[float]]:
    """Lists that collect loss and learning rate of every later update."""
    losses: list[float] = []
    rates: list[float] = []
    update = learner.update

    def spy(loss: Tensor, *rest: Any, **options: Any) -> None:
        losses.append(loss.item())
        rates.append(learner.lr)
        update(loss, *rest, **options)

    learner.update = spy  # type: ignore[method-assign]
    return losses, rates


def mean_kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> float:
    p, q = (softmax(x.detach().double().numpy() / temperature, axis=1) for x in (teacher, student))
    return float(temperature**2 * entropy(p, q, axis=1).mean())


def cross_entropy(logits: Tensor, labels: Tensor) -> Any:
    p = softmax(logits.detach().double().numpy(), axis=1)
    return -np.log(p[np.arange(len(p)), labels.numpy()])


def close(value: float) -> Any:
    return pytest.approx(value, rel=1e-4)
