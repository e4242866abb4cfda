"""Methods on a tiny task without pictures from disk: a teacher with opinions, a student, two steps of anything."""

from __future__ import annotations

from typing import Any

import torch

from okdbench import registry
from okdbench.api import Batch, Clock, Method, Task
from okdbench.checks.hyperparameters import another as another
from okdbench.core.config import check_hyperparameters
from okdbench.core.protocol import Track
from okdbench.distill.accounting import Meter
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def probe(seed: int, name: str = "test_resnet", classes: int = 10, size: int = 32) -> ClassifierWrapper:
    """A network that was never trained but has running statistics and opinions of its own."""
    torch.manual_seed(seed)
    net = ClassifierWrapper(build_classifier(name, classes, size), Normaliser(MEAN, STD))
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(16, 3, size, size))
        net.net.get_classifier().weight.mul_(20)  # type: ignore[operator]
    return net


def play(
    method: str,
    settings: dict[str, Any] | None = None,
    *,
    images: int = 320,
    batch_size: int = 16,
    track: Track = Track.LABEL_FREE,
    classes: int = 10,
    size: int = 32,
    teacher: str = "test_resnet",
) -> Method:
    """The method, set up with these hyper-parameters over those of budget smoke; nothing is trained yet."""
    cls = registry.load_method(method)
    hp = check_hyperparameters(cls.Hyperparameters, cls.presets.get("smoke", {}), settings or {}, method)
    task = Task(
        teacher=probe(1, teacher, classes, size).lock(),
        student=probe(2, "test_resnet", classes, size),
        classes=classes,
        image_size=size,
        train_size=64,
        student_images=images,
        batch_size=batch_size,
        track=track,
        normaliser=Normaliser(MEAN, STD),
        flip=False,
        device=CPU,
        rng=torch.Generator().manual_seed(3),
        meter=Meter(),
    )
    task.meter.watch("teacher", task.teacher)
    task.meter.watch("student", task.student)
    torch.manual_seed(4)
    return cls(task, hp)


def walk(method: Method, rounds: int | None = None) -> list[dict[str, float]]:
    """Do the method's stages as the engine does, at most ``rounds`` steps of each; the losses of every step."""
    seen = []
    for stage in method.stages():
        method.student.train()
        if stage.begin:
            stage.begin()
        for step in range(stage.steps if rounds is None else min(rounds, stage.steps)):
            method.tell(Clock(step, stage.steps))
            size = stage.batch_size or method.task.batch_size
            batches = [batch(100 * step + i, size, method.task) for i in range(stage.batches if stage.data else 0)]
            seen.append({name: term.item() for name, term in stage.step(*batches).items()})
        if stage.finish:
            stage.finish()
    return seen


def batch(seed: int, size: int, task: Task) -> Batch:
    """Random pictures with random labels."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(size, 3, task.image_size, task.image_size, generator=rng)
    return Batch(images, torch.randint(task.classes, (size,), generator=rng))
