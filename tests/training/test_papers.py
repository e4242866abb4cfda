"""Budget paper: each source's own training, of student and teacher, for the data set."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.published_arrays import register_small_mnist
from support.tiny_task import make_method

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.errors import UserError
from okdbench.data import TeacherRecipe
from okdbench.distill.optim import cosine, drops
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.teacher import teacher_key

Make = Callable[..., Plan]


@pytest.fixture
def make(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Plans on an MNIST of 30 images in each part."""
    register_small_mnist(tmp_path / "MNIST", root, monkeypatch)

    def plan(method: str, **values: Any) -> Plan:
        options = {"method": method, "dataset": "mnist", "setting": "M", "budget": "paper", "device": "cpu"}
        return make_plan({**options, **values}, data_root=root)

    return plan


def test_a_source_has_its_own_budget_for_each_data_set(make: Make) -> None:
    plan = make("dfad")
    hp = plan.hyperparameters.model_dump()
    assert (plan.budget.batch_size, hp["data_free_steps"], hp["inner_steps"]) == (512, 2000, 5)
    assert (hp["lr_student"], hp["weight_decay"], hp["latent"], hp["schedule_student"]) == (0.01, 1e-4, 100, "constant")
    assert plan.variant == ""
    digits = make("dfad", dataset="digits", setting="MO").hyperparameters.model_dump()
    assert (digits["data_free_steps"], digits["lr_student"], digits["schedule_student"]) == (25_000, 0.1, "steps")
    assert make("dafl").hyperparameters.model_dump()["lr_generator"] == 0.2
    # of one setting alone, so that a share of the source's budget is told by the row's name
    assert make("dfad", hyperparameters={"data_free_steps": 500}).variant == "data_free_steps=500"


def test_the_first_recipe_of_a_data_set_trains_the_teacher_at_budget_paper(make: Make) -> None:
    usual, dafl, own, quick = (
        make("teacher", **values)
        for values in ({}, {"teacher_recipe": "dafl"}, {"teacher_recipe": "own"}, {"budget": "quick"})
    )
    assert (usual.teacher_recipe, own.teacher_recipe, quick.teacher_recipe) == (
        usual.dataset.teacher_recipes["dfad"], None, None
    )  # fmt: skip
    assert len({teacher_key(plan) for plan in (usual, dafl, own, quick)}) == 4
    assert len({plan.key for plan in (usual, dafl, own, quick)}) == 4
    named = make("teacher", teacher_recipe="dfad")
    assert (named.key, named.command) == (usual.key, usual.command)
    assert "--teacher-recipe dafl" in dafl.command


def test_a_recipe_that_does_not_exist_or_trains_nothing_is_refused(make: Make, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="unknown teacher recipe of mnist 'cmi'; known: dafl, dfad, own"):
        make("teacher", teacher_recipe="cmi")
    save_file({"weight": torch.zeros(3)}, weights := tmp_path / "weights.safetensors")
    with pytest.raises(UserError, match="--teacher-recipe trains a teacher and --teacher-weights names a trained one"):
        make("teacher", teacher_recipe="dafl", teacher_weights=str(weights))


@pytest.mark.parametrize("fall", [False, True])
def test_a_teacher_is_trained_by_a_recipe(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fall: bool
) -> None:
    plan = make("teacher")
    recipe = TeacherRecipe("sgd", 0.01, 1e-4, batch_size=10, epochs=4, cosine=fall)
    monkeypatch.setattr(type(plan.dataset), "teacher_recipes", {"mine": recipe})
    rates: list[float] = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD,
        "step",
        lambda self, *rest, **more: (rates.append(self.param_groups[0]["lr"]), step(self, *rest, **more))[1],
    )
    execute(plan, tmp_path, quiet)
    factors = [cosine(12)(number) if fall else 1 for number in range(4 * 3)]
    assert rates == pytest.approx([0.01 * factor for factor in factors])


@pytest.mark.parametrize("name", plugins.method_names())
def test_a_paper_says_where_it_is_from(name: str) -> None:
    method = registry.load_method(name)
    unknown = {"finetune", "kd", "mad", "original", "scratch", "teacher"}
    assert bool(method.papers) == (name not in unknown)
    assert all(paper.source and paper.batch_size > 0 for paper in method.papers.values())
    assert set(method.papers) <= {"", *plugins.dataset_names()}


def test_learning_rates_follow_the_schedule() -> None:
    assert [drops(10, (0.4, 0.8))(step) for step in (0, 3, 4, 7, 8, 10)] == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])
    rates: dict[str, list[float]] = {}
    for kind in ("cosine", "constant", "steps"):
        method: Any = make_method("dfad", {"data_free_steps": 2, "schedule_student": kind, "inner_steps": 5})
        rates[kind] = []
        for _ in range(5):
            rates[kind].append(method.learner.lr / method.hp.lr_student)
            method.student_step()
    assert rates["constant"] == [1.0] * 5
    assert rates["cosine"] == pytest.approx([cosine(10)(step) for step in range(5)])
    # DFAD's drops are at a fifth and at two fifths
    assert rates["steps"] == pytest.approx([1, 1, 0.1, 0.1, 0.01])
