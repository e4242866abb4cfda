"""Evaluating a network on images that no method can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from okdbench.core.errors import NonFiniteLossError
from okdbench.core.settings import TaskKind
from okdbench.data.images import Images
from okdbench.data.loader import evaluation_batches
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.predictions import CALIBRATION_BINS, TOP, Predictions
from okdbench.results.records import Evaluation, Score

BATCH_SIZE = 512


@torch.no_grad()
def predict(classifier: ClassifierWrapper, images: Images, device: torch.device) -> Tensor:
    """Logits of all images in their order, N x classes, on the CPU; the network's mode is left as it was."""
    with classifier.eval_mode():
        batches = evaluation_batches(images, BATCH_SIZE, device)
        # forward() instead of a call: the meter's hooks must not count evaluations as traffic of the method
        return torch.cat([classifier.forward(batch.images).float().cpu() for batch in batches])


def accuracy(logits: Tensor, labels: Tensor, among: int = 1) -> float:
    """Percentage of samples whose label is among the ``among`` classes with the largest logits."""
    # with fewer classes than ``among`` every label is among them
    best = logits.topk(min(among, logits.shape[1]), 1).indices
    return 100.0 * float((best == labels[:, None]).any(1).double().mean())


def macro_f1(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """Mean F1 in percent over the classes that occur among labels or predictions."""
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes).double()
    # F1 = 2 TP / (2 TP + FP + FN); the denominator is the row sum plus the column sum
    denominator = confusion.sum(0) + confusion.sum(1)
    # a class that neither occurs nor is predicted has F1 = 0 / 0
    return 100.0 * float((2 * confusion.diagonal() / denominator)[denominator > 0].mean())


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error in percent: mean |accuracy - confidence| over equal-width bins (Guo et al. 2017)."""
    confidence, predicted = logits.double().softmax(1).max(1)
    # a confidence of exactly 1 belongs to the last bin
    bins = (confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    # Guo et al. 2017, eq. 3: sum over bins of |B|/N * |acc(B) - conf(B)|, in which |B| cancels
    difference = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(
        0, bins, (predicted == labels).double() - confidence
    )
    return 100.0 * float(difference.abs().sum() / len(labels))


def score(logits: Tensor, labels: Tensor, teacher_predictions: Tensor) -> Score:
    """All metrics of N x classes logits, given the N labels and the N classes that the teacher predicts."""
    predicted = logits.argmax(1)
    return Score(
        acc=accuracy(logits, labels),
        top3=accuracy(logits, labels, 3),
        top5=accuracy(logits, labels, 5),
        macro_f1=macro_f1(predicted, labels, logits.shape[1]),
        ece=calibration_error(logits, labels),
        agreement=100.0 * float((predicted == teacher_predictions).double().mean()),
    )


@dataclass
class Evaluator:
    """Evaluates ``network`` on the validation and test images of a task, and in task adapt on the teacher's domains.

    Attributes:
        network: the network under evaluation, usually the student.
        teacher: the teacher that it is compared with.
        val: validation images; none outside of task adapt.
        test: test images.
        teacher_test: test splits of the teacher's domains; may be empty.
        device: where the networks are.
        task: in the tasks transfer and data-free, ``test`` is ``teacher_test``.
    """

    network: ClassifierWrapper
    teacher: ClassifierWrapper
    val: Images
    test: Images
    teacher_test: Images
    device: torch.device
    task: TaskKind = TaskKind.ADAPT

    def __post_init__(self) -> None:
        # the teacher is frozen, so its logits are computed once
        self.teacher_logits = predict(self.teacher, self.test, self.device)

    def __call__(self, stage: str, step: int, images: int) -> Evaluation:
        """The evaluation of the network's present state, after ``step`` and ``images`` images learned from.

        Raises:
            NonFiniteLossError: a logit is NaN or infinite.
        """
        val_acc = self._accuracy(self.network, self.val)
        logits = predict(self.network, self.test, self.device)
        if not logits.isfinite().all():
            raise NonFiniteLossError(f"stage {stage}, step {step}: the network's logits are not finite")
        test = score(logits, torch.from_numpy(self.test.labels), self.teacher_logits.argmax(1))
        return Evaluation(stage=stage, step=step, images=images, val_acc=val_acc, test=test)

    def retention(self) -> float | None:
        """Accuracy of the network on the teacher's domains in percent, where it is tested on another one, else None."""
        return self._accuracy(self.network, self.teacher_test) if self.task is TaskKind.ADAPT else None

    def teacher_accuracies(self) -> tuple[float | None, float]:
        """The teacher's accuracy in percent on its own domains, None without such images, and on the test images."""
        tested = accuracy(self.teacher_logits, torch.from_numpy(self.test.labels))
        return (self._accuracy(self.teacher, self.teacher_test) if self.task is TaskKind.ADAPT else tested), tested

    def predictions(self) -> Predictions:
        """The network's best classes on the test images."""
        return best_classes(predict(self.network, self.test, self.device), self.test)

    def agreement(self, images: Images) -> float | None:
        """Percentage of the images, whose labels are not read, on which network and teacher agree; None without any."""
        if not len(images):
            return None
        student, teacher = (predict(net, images, self.device).argmax(1) for net in (self.network, self.teacher))
        return 100.0 * float((student == teacher).double().mean())

    def _accuracy(self, classifier: ClassifierWrapper, images: Images) -> float | None:
        """Accuracy in percent; None without images."""
        if not len(images):
            return None
        return accuracy(predict(classifier, images, self.device), torch.from_numpy(images.labels))


def best_classes(logits: Tensor, images: Images) -> Predictions:
    """The classes with the largest logits, N x classes, and their probabilities, for a run's folder."""
    probabilities, classes = logits.softmax(1).topk(min(TOP, logits.shape[1]), 1)
    return Predictions(images.paths, images.labels, classes.numpy(), probabilities.numpy())


def best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The evaluation that an oracle would select: best on test, the earliest of equals. Reported, never used."""
    return max(evaluations, key=lambda evaluation: evaluation.test.acc)
