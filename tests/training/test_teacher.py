"""Teachers: trained once, stored under a hash of what they depend on, or read from a user's file."""

from __future__ import annotations

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from support.error_text import refusal

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.sweep.grid import Grid
from okdbench.sweep.plans import checked_plans
from okdbench.training import runner
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_key

OPTIONS = {"method": "teacher", "dataset": "digits", "setting": "MO-P", "budget": "smoke"}
TINY = {"teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}


def prepare(data_root: Path, runs: Path) -> None:
    torch.set_num_threads(1)
    runner.prepare(make_plan({**OPTIONS, **TINY}, data_root=data_root), runs, quiet)


def test_two_processes_train_a_teacher_once(data_root: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    both = [context.Process(target=prepare, args=(data_root, tmp_path)) for _ in range(2)]
    for process in both:
        process.start()
    for process in both:
        process.join(200)
    assert [process.exitcode for process in both] == [0, 0]
    (weights,) = tmp_path.glob("teachers/*/teacher.safetensors")
    steps = [line for line in (weights.parent / "metrics.jsonl").read_text().splitlines() if '"step": 0,' in line]
    assert len(steps) == 1
    before = weights.stat().st_mtime_ns
    prepare(data_root, tmp_path)
    assert weights.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [{"seed": 1}, {"setting": "MP-O"}, {"teacher": "test_convnext"}, {"budget": "quick"}],
    ids=str,
)
def test_a_teachers_key_covers_what_it_depends_on(plan: Callable[..., Plan], change: dict[str, Any]) -> None:
    default, other = plan("kd"), plan("kd", **change)
    assert teacher_key(default) != teacher_key(other)


def test_a_teachers_key_covers_nothing_else(plan: Callable[..., Plan]) -> None:
    default, other = plan("kd"), plan("finetune", student="test_convnext", track="labelled", precision="bfloat16")
    assert teacher_key(default) == teacher_key(other)


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pt", "wrapped.pt"])
def test_weights_of_the_user_become_the_teacher(light_plan: Callable[..., Plan], tmp_path: Path, name: str) -> None:
    torch.manual_seed(5)
    state = build_classifier("test_resnet", 10, 32, channels=1).state_dict()
    path = tmp_path / name
    if name.endswith("safetensors"):
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
    else:
        torch.save({"state_dict": state} if name == "wrapped.pt" else state, path)
    made = light_plan("teacher", teacher="test_resnet", teacher_weights=str(path))
    record = runner.execute(made, tmp_path / "runs", quiet)
    assert record.status == "done"
    assert not list((tmp_path / "runs").glob("teachers/*/metrics.jsonl")), "nothing was trained"
    classifier = runner.teacher_of(made, tmp_path / "runs", torch.device("cpu"), quiet)
    assert all(torch.equal(classifier.net.state_dict()[key], tensor) for key, tensor in state.items())


def test_weights_of_another_network_are_refused_before_anything_is_written(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file({"weight": torch.zeros(3)}, path)
    with pytest.raises(UserError, match="is not a weights file of lenet5_bn"):
        runner.execute(plan("kd", teacher_weights=str(path)), tmp_path / "runs", quiet)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("method", ["finetune", "kd"])
def test_a_setting_without_a_teachers_domain_needs_a_file(method: str, data_root: Path) -> None:
    message = refusal(make_plan, {**OPTIONS, **TINY, "method": method, "setting": "-P"}, data_root=data_root)
    assert "no domain to train a teacher on, and every run has one" in message
    assert "also where the method does not read the teacher; give one with --teacher-weights" in message


def test_a_method_that_refuses_does_so_before_a_teacher_is_trained(plan: Callable[..., Plan], tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"statistics to match; write 'augkd\[bn=0,lr_student=0.1\]' in place of augkd$"
    ):
        runner.execute(plan("augkd", teacher="test_vit", hyperparameters={"lr_student": 0.1}), tmp_path / "runs", quiet)
    assert not (tmp_path / "runs").exists()


def test_the_cure_for_one_of_several_methods_works_for_the_whole_command(data_root: Path) -> None:
    options = {"teacher": "test_vit", "student": "test_resnet", "budget": "smoke", "device": "cpu"}
    with pytest.raises(UserError) as caught:
        checked_plans(Grid(["augkd", "kd"], ["digits"], ["MO-P"], options=options), data_root)
    (cure,) = re.findall("write '(.*)' in place of augkd$", str(caught.value))
    assert len(checked_plans(Grid([cure, "kd"], ["digits"], ["MO-P"], options=options), data_root)) == 2
