"""The networks, the task and the engine of one run, put together so that a method reaches only what it may see."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from okdbench import device as devices
from okdbench.api import Stage, Task, Trainable
from okdbench.data.batches import Stream
from okdbench.engine import Engine, Equipment, History, Progress
from okdbench.errors import UserError
from okdbench.evaluate import Examiner
from okdbench.finetuning import Chain, FineTuning
from okdbench.meter import Meter
from okdbench.nets.classifiers import build_classifier
from okdbench.nets.probe import Normaliser, Probe
from okdbench.plan import Plan
from okdbench.protocol import DATA_FREE_SHARE, Track
from okdbench.seeds import derive_seed


class Trial:
    """One method at work on one setting.

    Validation, test and teacher-domain pictures go to the examiner and nowhere else. The student starts from the same
    weights for every method, because its seed does not depend on the method.
    """

    def __init__(self, plan: Plan, teacher: Probe, folder: Path, device: torch.device, progress: Progress) -> None:
        self.plan, self.device = plan, device
        self.meter = Meter()
        config, material = plan.config, plan.material
        torch.manual_seed(derive_seed("student", config.seed))
        classes, images = len(plan.dataset.classes), plan.budget.student_images
        tuned = config.track is Track.LABELLED and plan.method.is_data_free(plan.hyperparameters)
        own = round(DATA_FREE_SHARE * images) if tuned else images
        net = build_classifier(config.student, classes, config.image_size, config.pretrained)
        student = Probe(net, teacher.normaliser).to(device)
        self.meter.watch("teacher", teacher)
        self.meter.watch("student", student)
        self.rng = torch.Generator(device).manual_seed(derive_seed("noise", config.seed))
        task = Task(
            teacher=teacher,
            student=student,
            classes=classes,
            image_size=config.image_size,
            train_size=len(material.student_train.labels),
            student_images=own,
            batch_size=min(plan.budget.batch_size, len(material.student_train.labels)),
            track=config.track,
            normaliser=teacher.normaliser,
            flip=plan.dataset.flip,
            device=device,
            rng=self.rng,
            meter=self.meter,
        )
        torch.manual_seed(derive_seed("method", config.seed))
        self.method = plan.method(task, plan.hyperparameters)
        self.trainable: Trainable = self.method
        if tuned:
            self.trainable = Chain(self.method, FineTuning(replace(task, student_images=images - own)))
        self.answer = self.method.answer
        self.examiner = Examiner(
            self.answer, teacher, material.student_val, material.student_test, material.teacher_test, device
        )
        self._kit = Equipment(
            folder=folder,
            stream=self._stream,
            rng=self.rng,
            meter=self.meter,
            progress=progress,
            autocast=devices.autocast(device, config.precision),
            evaluate=self.examiner,
            retention=self.examiner.retention,
            evaluations=plan.budget.evaluations,
            track=config.track,
        )

    def run(self, checkpoint_seconds: float = 20.0) -> History:
        """Train to the end, from the folder's checkpoint if it has one."""
        kit = replace(self._kit, checkpoint_seconds=checkpoint_seconds)
        return Engine(self.trainable, self.answer, kit).run()

    def _stream(self, stage: Stage) -> Stream:
        config, train = self.plan.config, self.plan.material.student_train
        if stage.data == "labelled" and config.track is Track.LABEL_FREE:
            raise UserError(
                f"stage {stage.name!r} of {config.method!r} reads labels, which the label-free track withholds"
            )
        return Stream(
            train,
            batch_size=stage.batch_size or min(self.plan.budget.batch_size, len(train.labels)),
            seed=derive_seed("data", stage.name, config.seed),
            flip=self.plan.dataset.flip,
            device=self.device,
            labelled=stage.data == "labelled",
            augment=stage.augment,
        )


def normaliser(plan: Plan, device: torch.device) -> Normaliser:
    """The data set's normaliser on the device; teacher and student share it."""
    return Normaliser(plan.dataset.mean, plan.dataset.std).to(device)
