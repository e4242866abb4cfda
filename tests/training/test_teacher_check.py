"""A user's teacher that is given its images in another way than in its training: it is said, and what it would take."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file

from okdbench import registry
from okdbench.core.protocol import BUDGETS
from okdbench.training import teacher_check
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.teacher import teacher_file, teacher_of

CPU = torch.device("cpu")
Make = Callable[..., Plan]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture
def make(data_root: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Plans whose teachers learn something."""
    monkeypatch.setitem(BUDGETS, "smoke", replace(BUDGETS["smoke"], teacher_images=10_000))

    def plan(**values: Any) -> Plan:
        options = {"method": "kd", "dataset": "digits", "setting": "P-O", "budget": "smoke", "device": "cpu"}
        return make_plan({**options, **values}, data_root=data_root)

    return plan


def weights_of(plan: Plan, runs: Path) -> str:
    """The file of the plan's teacher, which is trained unless it exists."""
    teacher_of(plan, runs, CPU, quiet)
    return str(teacher_file(runs / "teachers", plan))


def said(plan: Plan, capsys: pytest.CaptureFixture[str]) -> list[str]:
    capsys.readouterr()
    teacher_check.report(plan, teacher_of(plan, Path("unused"), CPU, quiet), CPU)
    return capsys.readouterr().err.splitlines()


def test_a_teacher_that_fits_has_one_line(make: Make, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = weights_of(make(), runs)
    (line,) = said(make(teacher_weights=weights), capsys)
    assert line.startswith(f"okdbench: teacher {weights}: ")
    assert line.endswith("% of 300 images of its own domain (chance: 10.0 %)")


@pytest.mark.parametrize(
    ("network", "trained", "cure"),
    [
        ("lenet5_bn", {"value_range": 255}, "with --value-range 255 --mean 0 --std 1 it has"),
        pytest.param(
            "test_resnet", {"mean": "0.5", "std": "0.5"}, "with --mean 0.5 --std 0.5 it has", marks=pytest.mark.slow
        ),
        pytest.param("test_resnet", {"image_size": 64}, "with --image-size 64 it has", marks=pytest.mark.slow),
    ],
    ids=["range", "normalisation", "size"],
)
def test_what_would_suit_it_better_is_said_and_not_applied(
    network: str, trained: dict[str, Any], cure: str, make: Make, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = make(teacher=network, teacher_weights=weights_of(make(teacher=network, **trained), runs))
    teacher = teacher_of(plan, runs, CPU, quiet)
    before = teacher(torch.zeros(1, 1, 32, 32))
    lines = said(plan, capsys)
    assert any(cure in line and line.startswith("okdbench: teacher warning: ") for line in lines)
    assert torch.equal(before, teacher(torch.zeros(1, 1, 32, 32)))


@pytest.mark.parametrize(
    ("channels", "options"), [(1, "--mean 0.1307 --std 0.3081"), (3, "--mean 0.4914,0.4822,0.4465")]
)
def test_the_statistics_of_tutorials_are_tried(channels: int, options: str) -> None:
    dataset = registry.load_dataset("digits").with_format(channels=channels)
    assert any(text.startswith(options) for text, _ in teacher_check._normalisers(dataset))


def test_classes_that_people_count_in_another_order_are_noticed(
    make: Make, runs: Path, tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    weights = weights_of(make(), runs)
    for sample in registry.load_dataset("digits").samples("print", data_root)[::5]:
        (folder := tmp_path / "shop" / str(sample.label + 1)).mkdir(parents=True, exist_ok=True)
        Image.fromarray(sample.source).save(folder / sample.path.rpartition("/")[2])
    description = {"domains": {"shop": "shop"}, "channels": 1, "mean": [0.111], "std": [0.28]}
    (tmp_path / "shop.yaml").write_text(yaml.safe_dump(description))
    plan = make(dataset=str(tmp_path / "shop.yaml"), setting="-S", teacher="lenet5_bn", teacher_weights=weights)
    lines = said(plan, capsys)
    assert "of the student's validation and train parts (chance: 10.0 %)" in lines[0]
    assert any("with the classes in the order 1, 2, ..., 10 it has" in line for line in lines[1:])


@pytest.mark.usefixtures("untried")
def test_a_teacher_far_below_what_its_file_says_is_a_warning(make: Make, runs: Path, tmp_path: Path) -> None:
    state, found = load_file(weights_of(make(), runs)), []
    state["fc.bias"][:5] -= 99  # so that it has about 50 %
    for stated in (
        {"best_acc": 99.5},
        {"metrics": {"val_accuracy": "0.995", "train_acc": 1.0}},
        {"epoch": 99, "loss": 99.5},
    ):
        torch.save({"state_dict": state, **stated}, tmp_path / "teacher.pt")
        plan = make(teacher_weights=str(tmp_path / "teacher.pt"))
        lines = list(teacher_check._measured(plan, teacher_of(plan, runs, CPU, quiet), CPU))
        found.append("warning: its file says 99.5 %; if these are such images, check the order" in "".join(lines))
    assert found == [True, True, False]


@pytest.mark.usefixtures("untried")
def test_a_teacher_at_chance_is_a_warning(make: Make, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = weights_of(make(), runs)
    plan = make(teacher_weights=weights)
    teacher = teacher_of(plan, runs, CPU, quiet)
    torch.nn.init.zeros_(teacher.net.get_classifier().weight)
    teacher_check.report(plan, teacher, CPU)
    assert "warning: that is near chance; check the order of the classes" in capsys.readouterr().err
