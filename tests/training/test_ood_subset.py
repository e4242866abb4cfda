"""The images of a transfer domain on which the teacher is least certain: chosen once, and all that a method sees."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from okdbench.core.errors import UserError
from okdbench.results.grouping import groups_of
from okdbench.training import ood_subset
from okdbench.training.evaluation import predict
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_of

CPU = torch.device("cpu")


@pytest.fixture
def make(data_root: Path) -> Callable[..., Plan]:
    def plan(**values: Any) -> Plan:
        options = {"method": "kd", "dataset": "digits", "setting": "O@P", "budget": "smoke", "device": "cpu"}
        return make_plan({**options, **values}, data_root=data_root)

    return plan


def test_a_method_sees_the_images_of_highest_entropy_alone(make: Callable[..., Plan], tmp_path: Path) -> None:
    plan = make(ood_subset=100)
    teacher = teacher_of(plan, tmp_path, CPU, quiet)
    everything = plan.access.images
    assert len(everything) > 1000
    p = predict(teacher, everything, CPU).double().softmax(1).numpy()
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(1)
    seen = ood_subset.with_subset(plan, teacher, tmp_path, CPU).access.images
    chosen = [everything.paths.index(path) for path in seen.paths]
    assert len(chosen) == 100
    assert entropy[chosen].min() >= np.delete(entropy, chosen).max() - 1e-5
    assert np.array_equal(seen.pixels, everything.take(np.array(chosen)).pixels)


def test_the_choice_is_made_once_and_recorded(
    make: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = execute(make(ood_subset=100), tmp_path, quiet)
    assert record.config["ood_subset"] == 100
    assert len(record.subset_digest) == 64
    (file,) = tmp_path.glob("teachers/*/ood-*-100.json")
    assert len(json.loads(file.read_bytes())) == 100
    monkeypatch.setattr(ood_subset, "predict", None)
    other = execute(make(ood_subset=100, method="mosaickd", hyperparameters={"data_free_steps": 1}), tmp_path, quiet)
    assert other.subset_digest == record.subset_digest
    whole = execute(make(), tmp_path, quiet)
    assert whole.subset_digest == ""
    assert len({record.key, whole.key}) == 2
    assert len(set(groups_of([record, whole]))) == 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"setting": "O-P"}, "--ood-subset chooses among the images of task transfer; O-P is adapt"),
        ({"setting": "O", "method": "dfad"}, "--ood-subset chooses among the images of task transfer; O is data-free"),
        ({"ood_subset": 10_000}, "--ood-subset 10000: there are 1617 images; give at most so many"),
    ],
    ids=str,
)
def test_where_nothing_can_be_chosen_it_is_refused(
    values: dict[str, Any], message: str, make: Callable[..., Plan]
) -> None:
    with pytest.raises(UserError, match=message):
        make(**{"ood_subset": 100, **values})
