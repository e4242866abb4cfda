"""Seeds: what one run draws tells nothing about another setting or seed, and every method has the same start."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import pytest
import torch

from okdbench.distill.method import Stage
from okdbench.training.initial_networks import initial_network
from okdbench.training.loop import TrainingLoop
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_of
from okdbench.training.trial import Trial

CPU = torch.device("cpu")
SETTINGS = ("MP-O", "MO-P", "MP@O", "MO@P", "MP", "MO")


@pytest.fixture(scope="module")
def plans(plan: Callable[..., Plan]) -> list[Plan]:
    """The same method and seed in six settings of all tasks, and another seed."""
    return [*(plan("teacher", setting=setting) for setting in SETTINGS), plan("teacher", setting="MP-O", seed=5)]


@pytest.mark.parametrize("role", ["teacher", "student"])
def test_two_settings_or_seeds_share_no_initial_weight(plans: list[Plan], role: str) -> None:
    networks = [initial_network(role, plan).state_dict() for plan in plans]  # type: ignore[arg-type]
    # weights of batch norm are 1 in every network
    random = [name for name, tensor in networks[0].items() if tensor.dim() > 1]
    assert len(random) >= 5
    for one, other in combinations(networks, 2):
        assert not any((one[name] == other[name]).any() for name in random)


def test_two_settings_or_seeds_share_no_batch_order(plan: Callable[..., Plan], tmp_path: Path) -> None:
    orders = []
    # fold 0 in both seeds, so that the images are the same
    for setting, seed in (("M-P", 0), ("O-P", 0), ("M@P", 0), ("M-P", 5)):
        made = plan("kd", setting=setting, seed=seed)
        trial = Trial(made, teacher(made, tmp_path), tmp_path, CPU, quiet)
        (stage,) = trial.method.stages()
        stream = trial._stream(Stage("distil", 1, stage.step, data=stage.data))
        orders.append(stream._draw(0))
    for one, other in combinations(orders, 2):
        assert (one[0] == other[0]).mean() < 0.2, "the images"
        # one of nine values each; the digits are never mirrored
        assert (one[1:3] == other[1:3]).mean() < 0.4, "their shifts"


def test_two_settings_share_no_batch_order_of_their_teachers(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = []
    monkeypatch.setattr(TrainingLoop, "run", lambda loop: orders.append(loop._config.stream(None)._draw(0)) or 1 / 0)
    for setting in ("M-O", "M-P"):  # the same images
        with pytest.raises(ZeroDivisionError):
            teacher(plan("teacher", setting=setting), tmp_path)
    assert (orders[0][0] == orders[1][0]).mean() < 0.2


def test_two_methods_start_from_the_same_student(plan: Callable[..., Plan], tmp_path: Path) -> None:
    plans = [
        plan(method, setting="MO-P", track=track) for method in ("kd", "dafl") for track in ("labelled", "label-free")
    ]
    states = [Trial(made, teacher(made, tmp_path), tmp_path, CPU, quiet).answer.state_dict() for made in plans]
    for other in states[1:]:
        assert all(torch.equal(states[0][name], tensor) for name, tensor in other.items())


def test_teachers_of_two_settings_are_trained_independently(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """M-O and M-P have the same teacher domain, and so the same images."""
    one, other = plan("teacher", setting="M-O"), plan("teacher", setting="M-P")
    assert one.splits.teacher_train.digest == other.splits.teacher_train.digest
    states = [teacher(made, tmp_path).state_dict() for made in (one, other)]
    assert not any(torch.equal(tensor, states[1][name]) for name, tensor in states[0].items() if tensor.dim() > 1)


def teacher(plan: Plan, runs: Path) -> torch.nn.Module:
    return teacher_of(plan, runs, CPU, quiet)
