"""How long a run would take here, from a few steps on random images; no image on disk is read."""

from __future__ import annotations

import time

import torch

from okdbench.core.config import RunConfig
from okdbench.core.protocol import Budget, tracks_of
from okdbench.data.augmentation import kinds_of
from okdbench.data.dataset import Dataset, TeacherRecipe
from okdbench.data.loader import Batch
from okdbench.distill.accounting import Meter
from okdbench.distill.card import BaseHyperparameters
from okdbench.distill.method import Clock, Method, Stage, Task, Trainable
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.training.teacher import Supervised

#: images in a step that is timed on the CPU; the time per image hardly depends on it
CPU_BATCH = 16
#: timed steps after the first one, which counts only if it takes longer than ``SLOW`` seconds
STEPS, SLOW = 2, 1.0


class StepTimer:
    """Times steps of methods and of teachers with the networks of a configuration.

    Args:
        config: names the networks and the size of the images.
        dataset: its channels and classes.
        device: where the steps run.
    """

    def __init__(self, config: RunConfig, dataset: Dataset, device: torch.device) -> None:
        self._config, self._dataset, self._device = config, dataset, device
        self._rng = torch.Generator(device).manual_seed(0)

    def method_seconds(self, method: type[Method], hp: BaseHyperparameters, budget: Budget) -> float:
        """Seconds for each image that the student learns from, in the longest stage; 0 for a method without any.

        Raises:
            UserError: the method refuses the networks or the hyper-parameters.
        """
        meter = Meter()
        task = self._task(meter, budget)
        made = method(task, hp)
        stages = sorted(made.stages(), key=lambda stage: stage.steps)
        return self._timed(made, stages[-1], meter, task.batch_size) if stages else 0.0

    def teacher_seconds(self, recipe: TeacherRecipe | None) -> float:
        """Seconds for each image that the teacher learns from."""
        meter = Meter()
        net = self._network(self._config.teacher)
        meter.watch("teacher", net)
        trained = Supervised(net, STEPS + 1, self._device, meter, recipe)
        return self._timed(trained, trained.stages()[0], meter, self._batch_size(recipe.batch_size if recipe else 64))

    def _timed(self, trained: Trainable, stage: Stage, meter: Meter, batch_size: int) -> float:
        if stage.begin:
            stage.begin()
        learned = meter.total_learned()
        batches = [self._images(batch_size) for _ in range(stage.batches)] if stage.data else []
        began = self._now()
        for step in range(STEPS + 1):
            if step == 1:
                if self._now() - began > SLOW:
                    break
                began, learned = self._now(), meter.total_learned()
            trained.set_clock(Clock(step, stage.steps))
            stage.step(*batches)
        images = meter.total_learned() - learned
        return (self._now() - began) / images if images else 0.0

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()

    def _batch_size(self, usual: int) -> int:
        return min(usual, CPU_BATCH) if self._device.type == "cpu" else usual

    def _images(self, count: int) -> Batch:
        size, device = self._config.image_size, self._device
        images = torch.rand(count, self._dataset.channels, size, size, device=device, generator=self._rng)
        classes = len(self._dataset.classes)
        labels = torch.randint(classes, (count,), device=device, generator=self._rng)
        return Batch(images.contiguous(memory_format=torch.channels_last), labels)

    def _network(self, name: str) -> ClassifierWrapper:
        normaliser = Normaliser(self._dataset.mean, self._dataset.std)
        net = build_classifier(
            name, len(self._dataset.classes), self._config.image_size, channels=self._dataset.channels
        )
        return ClassifierWrapper(net, normaliser).to(self._device)

    def _task(self, meter: Meter, budget: Budget) -> Task:
        setting = self._dataset.setting(self._config.setting)
        teacher, student = (self._network(name) for name in (self._config.teacher, self._config.student))
        meter.watch("teacher", teacher.lock())
        meter.watch("student", student.train())
        return Task(
            teacher=teacher,
            student=student,
            classes=len(self._dataset.classes),
            image_size=self._config.image_size,
            channels=self._dataset.channels,
            kind=setting.task,
            train_size=10 * budget.batch_size,
            student_images=budget.student_images,
            batch_size=self._batch_size(budget.batch_size),
            track=self._config.track or tracks_of(setting.task)[0],
            normaliser=teacher.normaliser,
            augmentation=kinds_of(self._dataset.augmentation),
            device=self._device,
            rng=self._rng,
            meter=meter,
        )
