"""What is known of the teacher of a run before anything is trained."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.training import teacher_check
from okdbench.training.evaluation import accuracy, predict
from okdbench.training.initial_networks import initial_network
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.step_time import StepTimer
from okdbench.training.teacher import normaliser, teacher_file, teacher_of


@dataclass(frozen=True)
class KnownTeacher:
    """What is known of the teacher before any run.

    Attributes:
        batch_norm: whether it has batch-norm statistics.
        acc: accuracy on the labelled validation images, percent; None without images, or before it is trained.
        images: how many these are.
        seconds: how long its training takes here; 0 for a trained one.
    """

    network: str
    weights: str | None
    batch_norm: bool
    acc: float | None
    images: int
    seconds: float


def known_teacher(plan: Plan, runs: Path, timer: StepTimer) -> KnownTeacher:
    """The teacher of a run, looked at on validation images; its file's format, and a better one, are printed.

    Args:
        plan: the run.
        runs: folder of runs, with trained teachers below it.
        timer: times its training, if it is not trained yet; the teacher works where its steps run.

    Raises:
        UserError: the weights do not fit the network.
    """
    config, images = plan.config, plan.splits.val
    teacher_check.report_files(plan)
    is_trained = config.teacher_weights or teacher_file(runs / "teachers", plan).exists()
    net = ClassifierWrapper(initial_network("teacher", plan), normaliser(plan, torch.device("cpu")))
    acc = None
    if is_trained and len(images):  # in other tasks the teacher's own test images are those of the student
        teacher = teacher_of(plan, runs, timer.device, quiet)
        if config.teacher_weights:
            teacher_check.report(plan, teacher, timer.device)
        acc = accuracy(predict(teacher, images, timer.device), torch.from_numpy(images.labels))
    seconds = 0.0 if is_trained else timer.teacher_seconds(plan)
    return KnownTeacher(config.teacher, config.teacher_weights, bool(net.norm_layers()), acc, len(images), seconds)
