"""How long a run would take, from timed steps: of the run as it would be trained, and of nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from okdbench.core.protocol import BUDGETS
from okdbench.distill.synthesis import Synthesis
from okdbench.training import step_time
from okdbench.training.plan import Plan
from okdbench.training.step_time import StepTimer, plan_without_images

Make = Callable[..., Plan]


@pytest.fixture
def timer() -> StepTimer:
    return StepTimer(torch.device("cpu"))


def test_twice_the_images_take_twice_the_time(plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a batch is timed as a whole, or a small one in place of it."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(step_time.time, "perf_counter", lambda: next(ticks) / 1000)
    for size in (16, 64):
        budget = replace(BUDGETS["smoke"], batch_size=size, student_images=6400)
        found = [
            StepTimer(torch.device("cpu")).run_seconds(replace(plan("kd"), budget=one))
            for one in (budget, replace(budget, student_images=12800))
        ]
        assert found[1] == pytest.approx(2 * found[0])
        assert found[0] > 0


def test_nothing_is_timed_twice(plan: Make, timer: StepTimer, monkeypatch: pytest.MonkeyPatch) -> None:
    first = timer.run_seconds(plan("finetune")), timer.teacher_seconds(plan("finetune"))
    monkeypatch.setattr(timer, "_step_seconds", None)
    assert (timer.run_seconds(plan("finetune", seed=1)), timer.teacher_seconds(plan("kd", seed=1))) == first


def test_a_row_without_training_takes_no_time(plan: Make, timer: StepTimer) -> None:
    assert timer.run_seconds(plan("teacher")) == 0


def test_the_fine_tuning_that_follows_a_method_counts(plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    timed = StepTimer._step_seconds
    monkeypatch.setattr(StepTimer, "_step_seconds", lambda *given: (seen.append(given[2].name), timed(*given))[1])
    StepTimer(torch.device("cpu")).run_seconds(plan("zskt", track="labelled", teacher="lenet5_bn", student="lenet5_bn"))
    assert seen == ["data-free", "fine-tuning"]


def test_steps_of_every_kind_count_as_often_as_in_the_stage(plan: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    for kind in ("synthesis_step", "distillation_step"):
        done = getattr(Synthesis, kind)
        monkeypatch.setattr(Synthesis, kind, lambda *given, kind=kind, done=done: (seen.append(kind), done(*given))[1])
    budget = replace(BUDGETS["smoke"], batch_size=8, student_images=8 * 12)
    one = replace(
        plan("deepinversion", setting="M", hyperparameters={"rounds": 2, "synthesis_steps": 6}), budget=budget
    )
    StepTimer(torch.device("cpu")).run_seconds(one)
    assert seen == ["synthesis_step"] * 7 + ["distillation_step"] * 6


def test_a_plan_needs_no_images(plan: Make, timer: StepTimer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKDBENCH_DATA", str(tmp_path / "none"))
    given = {"method": "kd", "dataset": "cifar10", "setting": "C@H", "teacher": "lenet5_bn", "student": "lenet5_bn"}
    config = plan().config.model_copy(update={**given, "track": None, "ood_subset": 100})
    assert timer.run_seconds(plan_without_images(config)) > 0
    assert not (tmp_path / "none").exists()
