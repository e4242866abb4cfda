"""How long a run would take here, from a few of its steps on random images."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from okdbench.core import devices
from okdbench.core.config import RunConfig
from okdbench.core.settings import Setting, TaskKind
from okdbench.data.dataset import Dataset
from okdbench.data.images import Images
from okdbench.data.loader import Batch
from okdbench.data.splits import SplitRule, Splits
from okdbench.distill.accounting import Meter
from okdbench.distill.method import Clock, Stage, Trainable
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.training.initial_networks import initial_network
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import Supervised, normaliser, teacher_amount
from okdbench.training.trial import Trial

#: images in the first steps on the CPU, where a whole batch may take minutes
CPU_BATCH = 16
#: timed steps after the first one; none where a step takes longer than ``SLOW`` seconds
STEPS, SLOW = 12, 1.0
#: images that the method sees in a plan without images, where the data set does not say how many there are
SOME_IMAGES = 2560


class StepTimer:
    """Times the steps of runs and of teachers, those of one kind once.

    Args:
        device: where the steps run.
    """

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._rng = torch.Generator(device).manual_seed(0)
        self._known: dict[tuple[object, ...], float] = {}

    def run_seconds(self, plan: Plan) -> float:
        """Seconds of all steps of a run, without its teacher and its evaluations; 0 where nothing is trained.

        Raises:
            UserError: the method refuses the networks or the hyper-parameters.
        """
        own = (plan.config.method, plan.hyperparameters.model_dump_json(), plan.setting.task, plan.track)
        return self._once((*own, plan.budget, *_networks(plan)), lambda: self._run_seconds(plan))

    def teacher_image_seconds(self, plan: Plan) -> float:
        """Seconds for each image that the teacher of a run learns from."""
        return self._once(("teacher", plan.teacher_recipe, *_networks(plan)), lambda: self._teacher_seconds(plan))

    def teacher_seconds(self, plan: Plan) -> float:
        """Seconds of all steps of the training of the teacher."""
        amount = teacher_amount(plan.teacher_recipe, plan.config.budget, len(plan.splits.teacher_train))
        return amount[0] * self.teacher_image_seconds(plan)

    def _once(self, kind: tuple[object, ...], measure: Callable[[], float]) -> float:
        if kind not in self._known:
            self._known[kind] = measure()
        return self._known[kind]

    def _run_seconds(self, plan: Plan) -> float:
        whole, first = (self._trial(plan, size) for size in (plan.budget.batch_size, self._first_batch(plan)))
        seconds = 0.0
        # A small batch first, and the whole one where that takes no time.
        for stage, small in zip(whole.trainable.stages(), first.trainable.stages(), strict=True):
            size, part = (_size(each, trial) for each, trial in ((stage, whole), (small, first)))
            step = self._step_seconds(first.trainable, small, part, first.plan) * size / part if stage.steps else 0.0
            if 0 < step < SLOW and part < size:
                step = self._step_seconds(whole.trainable, stage, size, whole.plan)
            seconds += step * stage.steps
        return seconds

    def _teacher_seconds(self, plan: Plan) -> float:
        net, meter = self._teacher(plan), Meter()
        meter.watch("teacher", net)
        size = teacher_amount(plan.teacher_recipe, plan.config.budget, len(plan.splits.teacher_train))[1]
        size = min(size, CPU_BATCH) if self.device.type == "cpu" else size
        trained = Supervised(net, STEPS + 1, self.device, meter, plan.teacher_recipe)
        return self._step_seconds(trained, trained.stages()[0], size, plan) / size

    def _trial(self, plan: Plan, batch_size: int) -> Trial:
        """A run of the method with its networks, untrained, and nearly nothing to evaluate."""
        parts = {name: getattr(plan.splits, name) for name in ("val", "test", "teacher_test")}
        one = {name: part.take(np.arange(len(part))[:1]) for name, part in parts.items()}
        cut = replace(plan, splits=replace(plan.splits, **one), budget=replace(plan.budget, batch_size=batch_size))
        return Trial(cut, self._teacher(plan).lock(), Path(), self.device, quiet)

    def _teacher(self, plan: Plan) -> ClassifierWrapper:
        net = initial_network("teacher", plan)
        return ClassifierWrapper(net, normaliser(plan, self.device)).to(self.device)

    def _first_batch(self, plan: Plan) -> int:
        size = plan.budget.batch_size
        return min(size, CPU_BATCH) if self.device.type == "cpu" else size

    def _step_seconds(self, trained: Trainable, stage: Stage, size: int, plan: Plan) -> float:
        """Mean seconds of a step, the first one left out unless it is slow."""
        if stage.begin:
            stage.begin()
        batches = [self._images(size, plan) for _ in range(stage.batches)] if stage.data else []
        autocast = devices.autocast(self.device, plan.config.precision)
        began, done = self._now(), 0
        for step in range(STEPS + 1):
            # Steps of every kind, each as often as in the stage.
            number = step if stage.period == 1 else step * stage.period // (STEPS + 1)
            trained.set_clock(Clock(number, stage.steps))
            with autocast():
                stage.step(*batches)
            done += 1
            if self._now() - began > SLOW:
                break
            if step == 0:
                began, done = self._now(), 0
        return (self._now() - began) / done

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

    def _images(self, count: int, plan: Plan) -> Batch:
        size, device = plan.config.image_size, self.device
        images = torch.rand(count, plan.dataset.channels, size, size, device=device, generator=self._rng)
        labels = torch.randint(len(plan.dataset.classes), (count,), device=device, generator=self._rng)
        return Batch(images.contiguous(memory_format=torch.channels_last), labels)


def plan_without_images(config: RunConfig) -> Plan:
    """The plan of a run whose images need not be here; they are black, and networks have no pretrained weights.

    Raises:
        UserError: the run is not possible.
    """
    # A choice among the images, and where the weights start from, change no step.
    return make_plan(config.model_copy(update={"ood_subset": None, "pretrained": False}).model_dump(), load=_black)


def _black(dataset: Dataset, setting: Setting, image_size: int, root: Path, rule: SplitRule) -> Splits:  # noqa: ARG001
    counts = getattr(dataset, "counts", {}).get(setting.input_domain, {})
    count = max(sum(counts.values()) or SOME_IMAGES, len(dataset.classes))
    # One byte in memory, however many images there are.
    pixels = np.broadcast_to(np.uint8(0), (count, image_size, image_size, dataset.channels))
    images = Images(pixels, np.arange(count) % len(dataset.classes), tuple(map(str, range(count))))
    none, one = (images.take(np.arange(number)) for number in (0, 1))
    train = none if setting.task is TaskKind.DATA_FREE else images
    return Splits(train=train, val=one, test=one, teacher_train=one, teacher_test=one)


def _networks(plan: Plan) -> tuple[object, ...]:
    config = plan.config
    return (config.teacher, config.student, config.image_size, plan.dataset.channels, len(plan.dataset.classes),
            config.precision)  # fmt: skip


def _size(stage: Stage, trial: Trial) -> int:
    return stage.batch_size or trial.plan.budget.batch_size
