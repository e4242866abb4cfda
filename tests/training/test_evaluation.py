"""The evaluator's metrics equal scikit-learn's, and evaluating changes nothing in the run."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, top_k_accuracy_score

from okdbench.core.errors import NonFiniteLossError
from okdbench.core.protocol import is_ranked
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import clone_state
from okdbench.training.evaluation import Evaluator, accuracy, calibration_error, predict, score
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.trial import Trial
from okdbench.training.weights_hash import fingerprint

CPU = torch.device("cpu")
GREY = Normaliser((0.5,), (0.5,))


@pytest.mark.parametrize("classes", [3, 10])
def test_scores_are_those_of_scikit_learn(classes: int) -> None:
    torch.manual_seed(classes)
    logits, labels = torch.randn(200, classes), torch.randint(classes, (200,))
    teacher_predictions = torch.randint(classes, (200,))
    result = score(logits, labels, teacher_predictions)
    predicted = logits.argmax(1)
    assert result.acc == pytest.approx(100 * accuracy_score(labels, predicted))
    assert result.macro_f1 == pytest.approx(100 * f1_score(labels, predicted, average="macro"))
    assert result.agreement == pytest.approx(100 * accuracy_score(teacher_predictions, predicted))
    for k, found in ((3, result.top3), (5, result.top5)):
        # scikit-learn refuses k >= the number of classes, where every prediction is a hit
        expected = top_k_accuracy_score(labels, logits, k=k, labels=range(classes)) if k < classes else 1.0
        assert found == pytest.approx(100 * expected)


def test_macro_f1_omits_classes_that_do_not_occur() -> None:
    logits = torch.eye(5)[[0, 1, 1]]
    labels = torch.tensor([0, 1, 0])
    expected = f1_score(labels, logits.argmax(1), average="macro")
    assert score(logits, labels, labels).macro_f1 == pytest.approx(100 * expected)


def test_calibration_error_of_a_hand_made_case() -> None:
    # confidence 0.9 and accuracy 0.5, all four in one bin: |0.5 - 0.9|
    logits = torch.tensor([[0.9, 0.1]] * 4).log()
    assert calibration_error(logits, torch.tensor([0, 0, 1, 1])) == pytest.approx(40.0, abs=1e-4)


def test_evaluating_changes_neither_mode_nor_buffers_nor_traffic(plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = plan("kd")
    teacher = ClassifierWrapper(build_classifier("test_resnet", 10, 32, channels=1), GREY).lock()
    trial = Trial(made, teacher, tmp_path, CPU, quiet)
    student = trial.answer.train()
    before = fingerprint(clone_state(student))
    logits = predict(student, made.splits.val, CPU)
    assert len(logits) == len(made.splits.val)
    assert 0 <= accuracy(logits, torch.from_numpy(made.splits.val.labels)) <= 100
    assert student.training
    assert fingerprint(clone_state(student)) == before
    assert trial.meter.traffic()["student"]["forward"] == 0


def test_a_network_that_has_become_nan_is_named(plan: Callable[..., Plan]) -> None:
    made = plan("kd")
    broken, intact = (ClassifierWrapper(build_classifier("lenet5", 10, 32, channels=1), GREY) for _ in range(2))
    torch.nn.init.constant_(next(broken.parameters()), math.nan)
    evaluate = Evaluator(broken, intact, made.splits.val, made.splits.test, made.splits.teacher_test, CPU)
    with pytest.raises(NonFiniteLossError, match="stage distil, step 7: the network's logits are not finite"):
        evaluate("distil", 7, 56)


def test_rows_that_exceed_their_budget_are_not_ranked() -> None:
    assert is_ranked("quick", 128_000)
    assert not is_ranked("quick", np.nextafter(128_000, np.inf))
    assert not is_ranked("quick", 128_000, protocol=3)
    assert is_ranked("paper", 1e9)
    assert not is_ranked("smoke", 1)
