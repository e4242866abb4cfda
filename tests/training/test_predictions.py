"""What a finished run keeps beside its record: predictions for each test image, and counts of updates and queries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from okdbench.results.calibration import reliability
from okdbench.results.predictions import CALIBRATION_BINS, FILE, read_predictions
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute


@pytest.mark.parametrize("setting", ["MO-P", "MO@P"])
def test_the_predictions_are_those_of_the_selected_student(
    light_plan: Callable[..., Plan], tmp_path: Path, setting: str
) -> None:
    made = light_plan("kd", setting=setting)
    record = execute(made, tmp_path, quiet)
    found = read_predictions(tmp_path / made.key)
    assert record.selected is not None
    assert found.images == made.splits.test.paths
    assert record.test_images == len(found.images)
    assert np.array_equal(found.labels, made.splits.test.labels)
    assert found.names == made.dataset.classes
    score = record.selected.evaluation.test
    # Half precision rounds a confidence by a share of 1 / 2048 at most, which may move it into the next bin.
    sure = found.probabilities[:, 0].astype(float) * CALIBRATION_BINS
    moved = (np.abs(sure - sure.round()) <= sure / 2048).sum()
    assert reliability(found).ece == pytest.approx(score.ece, abs=0.05 + 200 * moved / len(sure))
    assert moved <= 1
    hits = found.classes == found.labels[:, None]
    assert 100 * hits[:, 0].mean() == pytest.approx(score.acc)
    assert 100 * hits.any(1).mean() == pytest.approx(score.top5)
    assert (np.diff(found.probabilities.astype(float), axis=1) <= 0).all()
    assert found.probabilities.astype(float).sum(1).max() <= 1.01
    assert (tmp_path / made.key / FILE).stat().st_size < 40 * len(found.images) + 2000


def test_updates_and_queries_are_counted(light_plan: Callable[..., Plan], tmp_path: Path) -> None:
    made = light_plan("dfad", setting="MO")
    traffic = execute(made, tmp_path, quiet).cost.traffic
    iterations = made.budget.student_images // (5 * made.budget.batch_size)
    assert traffic["generator"].updates == iterations
    assert traffic["student"].updates == 5 * iterations
    # one batch for the generator's step and one for each step of the student
    assert traffic["teacher"].forward == 6 * iterations * made.budget.batch_size


def test_the_share_before_fine_tuning_is_a_hyper_parameter_of_the_chain(
    light_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    made = light_plan("dfad", hyperparameters={"data_free_share": 0.25})
    record = execute(made, tmp_path, quiet)
    ends = {stage: outcome.evaluation.images for stage, outcome in record.stages.items()}
    assert ends == {"data-free": 160, "fine-tuning": 640}
    assert record.config["hyperparameters"]["data_free_share"] == 0.25
    assert record.variant == "data_free_share=0.25"
