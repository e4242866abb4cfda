"""Methods on a tiny task without image files: an untrained teacher, a student, a few steps of anything."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from okdbench import registry
from okdbench.api import Batch, Clock, Method, Task
from okdbench.checks.hyperparameters import another as another
from okdbench.core import plugins
from okdbench.core.config import check_hyperparameters
from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind
from okdbench.data.dataset import Augmentation
from okdbench.distill.accounting import Meter
from okdbench.distill.adversarial import DataFree
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state
from okdbench.training.weights_hash import fingerprint

#: a residual network with batch norm, 0.4 million parameters
TINY = "test_resnet"
#: the digits' own pair, which trains three times as fast
PAIR = {"teacher": "lenet5_bn", "student": "lenet5_half_bn"}
CPU = torch.device("cpu")
DATA_FREE = [n for n in plugins.method_names() if issubclass(registry.load_method(n), DataFree) and n != "augkd"]
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def untrained_classifier(
    seed: int, name: str = "test_resnet", classes: int = 10, size: int = 32, channels: int = 3
) -> ClassifierWrapper:
    """An untrained network with confident predictions and running statistics that differ from their defaults."""
    torch.manual_seed(seed)
    normaliser = Normaliser(MEAN[:channels], STD[:channels])
    net = ClassifierWrapper(build_classifier(name, classes, size, channels=channels), normaliser)
    with torch.no_grad():
        for _ in range(3):
            net(torch.rand(16, channels, size, size))
        net.net.get_classifier().weight.mul_(20)  # type: ignore[operator]
    return net


def make_method(
    method: str,
    settings: dict[str, Any] | None = None,
    *,
    images: int = 320,
    batch_size: int = 16,
    kind: TaskKind = TaskKind.ADAPT,
    track: Track = Track.LABEL_FREE,
    classes: int = 10,
    size: int = 32,
    teacher: str = "test_resnet",
    student: str = "test_resnet",
) -> Method:
    """The method, set up with these hyper-parameters on top of those of budget smoke; nothing is trained yet."""
    cls = registry.load_method(method)
    hp = check_hyperparameters(cls.Hyperparameters, cls.presets.get("smoke", {}), settings or {}, method)
    task = Task(
        teacher=untrained_classifier(1, teacher, classes, size).lock(),
        student=untrained_classifier(2, student, classes, size),
        classes=classes,
        image_size=size,
        channels=3,
        class_embeddings=torch.eye(classes),
        kind=kind,
        train_size=64,
        student_images=images,
        batch_size=batch_size,
        track=track,
        normaliser=Normaliser(MEAN, STD),
        augmentation=frozenset({Augmentation.SHIFT}),
        device=CPU,
        rng=torch.Generator().manual_seed(3),
        meter=Meter(),
    )
    task.meter.watch("teacher", task.teacher)
    task.meter.watch("student", task.student)
    torch.manual_seed(4)
    return cls(task, hp)


def run_stages(method: Method, steps: int | None = None) -> list[dict[str, float]]:
    """Run the method's stages like the training loop, at most ``steps`` steps of each; the losses of every step."""
    losses = []
    for stage in method.stages():
        method.student.train()
        if stage.begin:
            stage.begin()
        for step in range(stage.steps if steps is None else min(steps, stage.steps)):
            method.set_clock(Clock(step, stage.steps))
            size = stage.batch_size or method.task.batch_size
            batches = [batch(100 * step + i, size, method.task) for i in range(stage.batches if stage.data else 0)]
            losses.append({name: term.item() for name, term in stage.step(*batches).items()})
        if stage.finish:
            stage.finish()
    return losses


def batch(seed: int, size: int, task: Task) -> Batch:
    """Random images with random labels."""
    rng = torch.Generator().manual_seed(seed)
    images = torch.rand(size, task.channels, task.image_size, task.image_size, generator=rng)
    return Batch(images, torch.randint(task.classes, (size,), generator=rng))


def state(module: nn.Module) -> str:
    """Fingerprint of its weights and buffers."""
    return fingerprint(clone_state(module))


def trained(method: str, settings: dict[str, Any] | None = None, **task: Any) -> str:
    """Fingerprint of the student after all stages."""
    distiller = make_method(method, settings, **task)
    run_stages(distiller)
    return state(distiller.student)
