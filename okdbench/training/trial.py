"""The networks, the task and the engine of one run, put together so that a method reaches only what it may see."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from okdbench.core import devices as devices
from okdbench.core.errors import UserError
from okdbench.core.protocol import DATA_FREE_SHARE, Track
from okdbench.core.seeding import derive_seed
from okdbench.data.loader import Batch, Stream
from okdbench.distill.accounting import Meter
from okdbench.distill.finetune import Chain, FineTuning
from okdbench.distill.method import Stage, Task, Trainable
from okdbench.distill.networks.classifiers import build_classifier, load_weights
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.results.samples import Pixels
from okdbench.training import checkpoint
from okdbench.training.evaluation import Evaluator
from okdbench.training.loop import History, LoopConfig, ProgressCallback, TrainingLoop
from okdbench.training.plan import Plan

if TYPE_CHECKING:
    from torch import Tensor

#: student-domain pictures that a method may show beside its own
FEW = 6


class Trial:
    """One method at work on one setting.

    Validation, test and teacher-domain pictures go to the examiner and nowhere else. The student starts from the same
    weights for every method, because its seed does not depend on the method.
    """

    def __init__(
        self, plan: Plan, teacher: ClassifierWrapper, folder: Path, device: torch.device, progress: ProgressCallback
    ) -> None:
        self.plan, self.device = plan, device
        self.meter = Meter()
        config, splits = plan.config, plan.splits
        self.rng = torch.Generator(device).manual_seed(derive_seed("noise", config.seed))
        task = make_task(plan, teacher, self.rng, self.meter)
        torch.manual_seed(derive_seed("method", config.seed))
        self.method = plan.method(task, plan.hyperparameters)
        self.trainable: Trainable = self.method
        if is_fine_tuned(plan):
            rest = plan.budget.student_images - task.student_images
            self.trainable = Chain(self.method, FineTuning(replace(task, student_images=rest)))
        self.answer = self.method.evaluated_network
        self.evaluator = Evaluator(
            self.answer, teacher, splits.student_val, splits.student_test, splits.teacher_test, device
        )
        self._kit = LoopConfig(
            folder=folder,
            stream=self._stream,
            rng=self.rng,
            meter=self.meter,
            progress=progress,
            autocast=devices.autocast(device, config.precision),
            evaluate=self.evaluator,
            retention=self.evaluator.retention,
            evaluations=plan.budget.evaluations,
            track=config.track,
        )

    def run(self, checkpoint_seconds: float = 20.0) -> History:
        """Train to the end, from the folder's checkpoint if it has one."""
        kit = replace(self._kit, checkpoint_seconds=checkpoint_seconds)
        return TrainingLoop(self.trainable, self.answer, kit).run()

    def samples(self) -> dict[str, Pixels]:
        """Pictures of the method to look at; afterwards random generators and the meter are as they were before.

        A method that fails here has been trained all the same, so its fault is a warning.
        """
        random, bill = checkpoint.random_state(self.rng), self.meter.state_dict()
        try:
            with torch.no_grad(), self._kit.autocast():
                return {name: to_pixels(images) for name, images in self.method.samples(self._few()).items()}
        except Exception as error:
            warnings.warn(f"no pictures are kept: {type(error).__name__}: {error}", stacklevel=2)
            return {}
        finally:
            checkpoint.restore_random_state(random, self.rng)
            self.meter.load_state_dict(bill)

    def _few(self) -> Batch | None:
        """Some pictures for the method's samples: of its streams rather than its last step, which a kill forgets."""
        stages = [replace(stage, batch_size=FEW, augment=False) for stage in self.method.stages() if stage.data]
        return self._stream(stages[-1]).batch(0) if stages else None

    def _stream(self, stage: Stage) -> Stream:
        config, train = self.plan.config, self.plan.splits.student_train
        return Stream(
            train,
            batch_size=stage.batch_size or min(self.plan.budget.batch_size, len(train.labels)),
            seed=derive_seed("data", stage.name, config.seed),
            flip=self.plan.dataset.flip,
            device=self.device,
            labelled=stage.data == "labelled" and config.track is Track.LABELLED,
            augment=stage.augment,
        )


def make_task(plan: Plan, teacher: ClassifierWrapper, rng: torch.Generator, meter: Meter) -> Task:
    """All that the method may see, with a new student; a data-free method in the labelled track has half the budget."""
    config, train, classes = plan.config, plan.splits.student_train, len(plan.dataset.classes)
    torch.manual_seed(derive_seed("student", config.seed))
    net = build_classifier(config.student, classes, config.image_size, config.pretrained)
    student = ClassifierWrapper(net, teacher.normaliser).to(rng.device)
    meter.watch("teacher", teacher)
    meter.watch("student", student)
    return Task(
        teacher=teacher,
        student=student,
        classes=classes,
        image_size=config.image_size,
        train_size=len(train.labels),
        student_images=round((DATA_FREE_SHARE if is_fine_tuned(plan) else 1) * plan.budget.student_images),
        batch_size=min(plan.budget.batch_size, len(train.labels)),
        track=config.track,
        normaliser=teacher.normaliser,
        flip=plan.dataset.flip,
        device=rng.device,
        rng=rng,
        meter=meter,
    )


def is_fine_tuned(plan: Plan) -> bool:
    """Whether the shared fine-tuning stage follows the method."""
    return plan.config.track is Track.LABELLED and plan.method.is_data_free(plan.hyperparameters)


class LabelsWithheldError(UserError):
    """A method would read labels in the label-free track."""


def check(plan: Plan) -> None:
    """Build what the run needs on the CPU and throw it away, so that nothing is computed or written in vain.

    Raises:
        LabelsWithheldError: a stage reads labels that the track withholds.
        UserError: a network, a weights file or the method itself refuses.
    """
    config, cpu = plan.config, torch.device("cpu")
    pretrained = config.pretrained and not config.teacher_weights
    net = build_classifier(config.teacher, len(plan.dataset.classes), config.image_size, pretrained)
    if config.teacher_weights:
        load_weights(net, Path(config.teacher_weights), config.teacher)
    teacher = ClassifierWrapper(net, normaliser(plan, cpu)).lock()
    try:
        stages = plan.method(make_task(plan, teacher, torch.Generator(cpu), Meter()), plan.hyperparameters).stages()
    except UserError:
        raise
    except Exception:  # a fault of the method, which its run will put on record
        return
    for stage in stages:
        if stage.data == "labelled" and config.track is Track.LABEL_FREE:
            raise LabelsWithheldError(
                f"stage {stage.name!r} of {config.method!r} reads labels, which the label-free track withholds"
            )


def check_once(plan: Plan, checked: set[str]) -> None:
    """:func:`check` the plan, unless one that differs in seed and setting alone is among ``checked``."""
    kind = plan.config.model_copy(update={"seed": 0, "setting": ""}).model_dump_json()
    if kind not in checked:
        check(plan)
        checked.add(kind)


def normaliser(plan: Plan, device: torch.device) -> Normaliser:
    """The data set's normaliser on the device; teacher and student share it."""
    return Normaliser(plan.dataset.mean, plan.dataset.std).to(device)


def to_pixels(pictures: Tensor) -> Pixels:
    """Raw pictures, N x 3 x H x W in [0, 1] on any device, as N x H x W x 3 bytes.

    Raises:
        ValueError: they have another shape.
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3:
        raise ValueError(f"pictures are N x 3 x H x W, not {' x '.join(map(str, pictures.shape))}")
    values = pictures.detach().float().clamp(0, 1).nan_to_num().mul(255).round().cpu().numpy()
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1).astype(np.uint8))
