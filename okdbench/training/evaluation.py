"""Judging a network on pictures that no method can reach."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from okdbench.data.images import Images
from okdbench.data.loader import evaluation_batches
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.records import Evaluation, Score

BATCH_SIZE = 512
CALIBRATION_BINS = 15


@torch.no_grad()
def predict(probe: ClassifierWrapper, images: Images, device: torch.device) -> Tensor:
    """Logits of all pictures in their order, N x classes, on the CPU; the network's mode is left as it was."""
    with probe.eval_mode():
        batches = evaluation_batches(images, BATCH_SIZE, device)
        # forward(), not a call: the examiner's pictures are not on the method's bill
        return torch.cat([probe.forward(batch.images).float().cpu() for batch in batches])


def accuracy(logits: Tensor, labels: Tensor, among: int = 1) -> float:
    """Percentage of samples whose label is among the ``among`` best classes."""
    best = logits.topk(min(among, logits.shape[1]), 1).indices
    return 100.0 * float((best == labels[:, None]).any(1).double().mean())


def macro_f1(predicted: Tensor, labels: Tensor, classes: int) -> float:
    """Mean F1 in percent over the classes that occur among labels or predictions."""
    confusion = torch.bincount(labels * classes + predicted, minlength=classes**2).view(classes, classes).double()
    seen = confusion.sum(0) + confusion.sum(1)
    return 100.0 * float((2 * confusion.diagonal() / seen)[seen > 0].mean())


def calibration_error(logits: Tensor, labels: Tensor) -> float:
    """Expected calibration error in percent: mean |accuracy - confidence| over equal-width bins (Guo et al. 2017)."""
    confidence, predicted = logits.double().softmax(1).max(1)
    bins = (confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1)
    gap = torch.zeros(CALIBRATION_BINS, dtype=torch.float64).index_add(
        0, bins, (predicted == labels).double() - confidence
    )
    return 100.0 * float(gap.abs().sum() / len(labels))


def score(logits: Tensor, labels: Tensor, teacher_says: Tensor) -> Score:
    """All metrics of N x classes logits against labels and the teacher's predicted classes (N each)."""
    predicted = logits.argmax(1)
    return Score(
        acc=accuracy(logits, labels),
        top3=accuracy(logits, labels, 3),
        top5=accuracy(logits, labels, 5),
        macro_f1=macro_f1(predicted, labels, logits.shape[1]),
        ece=calibration_error(logits, labels),
        agreement=100.0 * float((predicted == teacher_says).double().mean()),
    )


@dataclass
class Evaluator:
    """Judges ``answer`` on the validation and test split of the student domain and on the teacher's domains."""

    answer: ClassifierWrapper
    teacher: ClassifierWrapper
    val: Images
    test: Images
    teacher_test: Images
    device: torch.device

    def __post_init__(self) -> None:
        self._teacher_says = predict(self.teacher, self.test, self.device).argmax(1)

    def __call__(self, stage: str, step: int, images: int) -> Evaluation:
        """The verdict on the present state of the network."""
        val_acc = self._accuracy(self.answer, self.val)
        logits = predict(self.answer, self.test, self.device)
        test = score(logits, torch.from_numpy(self.test.labels), self._teacher_says)
        return Evaluation(stage=stage, step=step, images=images, val_acc=val_acc, test=test)

    def retention(self) -> float | None:
        """Accuracy of the network on the test split of the teacher's domains, in percent; None without pictures."""
        return self._accuracy(self.answer, self.teacher_test) if len(self.teacher_test) else None

    def teacher_accuracies(self) -> tuple[float | None, float]:
        """The teacher's accuracy on its own domains, None without pictures, and on the student's, in percent."""
        own = self._accuracy(self.teacher, self.teacher_test) if len(self.teacher_test) else None
        return own, self._accuracy(self.teacher, self.test)

    def _accuracy(self, probe: ClassifierWrapper, images: Images) -> float:
        return accuracy(predict(probe, images, self.device), torch.from_numpy(images.labels))


def best(evaluations: Sequence[Evaluation]) -> Evaluation:
    """The oracle's choice: best on test, the earliest of equals. For reporting only."""
    return max(evaluations, key=lambda evaluation: evaluation.test.acc)
