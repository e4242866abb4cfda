"""A run builds two networks, its teacher and its student; whatever else needs one gets an exact copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from typer.testing import CliRunner

import okdbench
from okdbench.cli.app import app
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.training.initial_networks import forget_initial_networks, initial_network
from okdbench.training.plan import Plan
from okdbench.training.trial import check

PAIR = {"teacher": "test_resnet", "student": "test_convnext"}
OPTIONS = {"method": "finetune", "dataset": "digits", "setting": "MO-P", "budget": "smoke", "device": "cpu", **PAIR}


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all networks that timm builds from now on."""
    names: list[str] = []
    create_model = timm.create_model

    def count(name: str, **options: Any) -> torch.nn.Module:
        net = create_model(name, **options)  # raises, and builds nothing, when the network does not take an option
        names.append(name)
        return net

    monkeypatch.setattr(timm, "create_model", count)
    forget_initial_networks()
    return names


def test_a_run_builds_one_teacher_and_one_student(built: list[str], tmp_path: Path, data_root: Path) -> None:
    record = okdbench.run(**OPTIONS, runs=tmp_path, data_root=data_root)
    assert record.status == "done"
    assert built == ["test_resnet", "test_convnext"]


def test_so_does_the_command_line(built: list[str], tmp_path: Path, data_root: Path) -> None:
    words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
    result = CliRunner().invoke(app, ["run", *words, "--runs", str(tmp_path), "--data-root", str(data_root)])
    assert result.exit_code == 0, result.exception
    assert built == ["test_resnet", "test_convnext"]


def test_checking_many_runs_keeps_two_networks(built: list[str], plan: Callable[..., Plan]) -> None:
    for seed in (0, 1, 0):
        check(plan("kd", seed=seed))
    assert len(built) == 6, "the networks of seed 0 were kept while seed 1 was checked"


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_vit", "mobilenetv3_small_050"])
def test_a_copy_equals_a_new_network_and_leaves_the_same_random_state(name: str, plan: Callable[..., Plan]) -> None:
    made = plan("kd", student=name, seed=3)
    torch.manual_seed(made.seed_for("student"))
    nets, draws = [build_classifier(name, 10, 32, channels=1)], [torch.rand(4)]
    forget_initial_networks()
    for _ in range(2):  # built, then copied
        torch.manual_seed(99)
        nets.append(initial_network("student", made))
        draws.append(torch.rand(4))
    new, *others = (net.state_dict() for net in nets)
    for state in others:
        assert state.keys() == new.keys()
        assert all(torch.equal(state[key], tensor) for key, tensor in new.items())
        # the same layout in memory, which decides which kernels run and so the last bits
        assert all(state[key].stride() == tensor.stride() for key, tensor in new.items())
    assert all(torch.equal(draw, draws[0]) for draw in draws)


def test_what_is_done_to_one_copy_reaches_no_other(plan: Callable[..., Plan]) -> None:
    made = plan("kd")
    one = initial_network("student", made)
    one.register_forward_hook(lambda *_: pytest.fail("a hook of another copy"))
    with torch.no_grad():
        for tensor in one.state_dict().values():
            tensor.zero_()
    other = initial_network("student", made)
    assert other(torch.rand(2, 1, 32, 32)).std() > 0


def test_teacher_and_student_start_from_different_weights(plan: Callable[..., Plan]) -> None:
    made = plan("kd")
    teacher, student = initial_network("teacher", made), initial_network("student", made)
    assert not torch.equal(next(teacher.parameters()), next(student.parameters()))
