"""Runs are compared if teacher and images have the same content, wherever their files are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import save_file
from support.dataset_trees import grow, official

from okdbench.core.errors import UserError
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.frames import comparison_groups
from okdbench.results.store import read_records
from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute, teacher_of

SHOP = {"budget": "smoke", "teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}


def weights(seed: int, classes: int = 10, channels: int = 1) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    state = build_classifier("test_resnet", classes, 32, channels=channels).state_dict()
    return {key: tensor.contiguous() for key, tensor in state.items()}


@pytest.mark.usefixtures("untried")
def test_a_teacher_that_was_overwritten_between_two_methods_is_in_two_tables(
    light_plan: Callable[..., Plan], tmp_path: Path
) -> None:
    best, runs = tmp_path / "best.pt", tmp_path / "runs"
    light_plan = partial(light_plan, teacher="test_resnet")
    torch.save(weights(0), best)
    execute(light_plan("teacher", teacher_weights=str(best)), runs, quiet)
    save_file(weights(0), tmp_path / "copy.safetensors")
    execute(light_plan("finetune", teacher_weights=str(tmp_path / "copy.safetensors")), runs, quiet)
    (group,) = comparison_groups(read_records(runs))
    assert group.teacher == "test_resnet[teacher_weights=best.pt]"
    torch.save(weights(1), best)
    second = execute(light_plan("kd", teacher_weights=str(best)), runs, quiet)
    groups = comparison_groups(read_records(runs))
    assert [len(members) for members in groups.values()] in ([1, 2], [2, 1])
    assert second.teacher_score
    assert f"test_resnet[teacher_weights=best.pt {second.teacher_score.fingerprint[:8]}]" in {g.teacher for g in groups}


def test_a_teacher_that_is_overwritten_before_its_run_starts_is_refused(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    torch.save(weights(0), tmp_path / "best.pt")
    planned = plan("kd", teacher_weights=str(tmp_path / "best.pt"))
    key = planned.key
    torch.save(weights(1), tmp_path / "best.pt")
    assert planned.key == key, "the folder of the run and its record have one name"
    with pytest.raises(UserError, match="was replaced since the run was planned"):
        teacher_of(planned, tmp_path, torch.device("cpu"), quiet)


def test_the_plans_of_a_command_read_a_teacher_once_for_its_format_and_once_for_its_digest(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save(weights(0), tmp_path / "best.pt")
    reads, read = list[Path](), Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: reads.append(path) or read(path))  # type: ignore[func-returns-value]
    first, second = (plan(method, teacher_weights=str(tmp_path / "best.pt")) for method in ("kd", "finetune"))
    assert first.weights_digest == second.weights_digest
    assert reads.count(tmp_path / "best.pt") == 2


def test_data_sets_of_one_name_with_other_images_are_in_two_tables(tmp_path: Path) -> None:
    torch.save(weights(0, classes=2, channels=3), tmp_path / "best.pt")
    first, copy, other = (tmp_path / name for name in ("shop", "a copy, elsewhere", "other"))
    grow(first / "images", official({"phone": dict.fromkeys(("cup", "pen"), 10)}))
    (first / "shop.yaml").write_text(yaml.safe_dump({"domains": {"phone": "images/phone"}}))
    shutil.copytree(first, copy)
    shutil.copytree(first, other)
    Image.new("RGB", (8, 8), "red").save(other / "images" / "phone" / "cup" / "00000.jpg")
    groups = []
    for folder, method in ((first, "teacher"), (copy, "finetune"), (other, "kd")):
        values = {**SHOP, "dataset": str(folder / "shop.yaml"), "method": method}
        made = make_plan(values | {"teacher_weights": str(tmp_path / "best.pt")}, data_root=tmp_path / "root")
        execute(made, tmp_path / "runs", quiet)
        groups.append(comparison_groups(read_records(tmp_path / "runs")))
    assert [len(found) for found in groups] == [1, 1, 2]
    assert sorted(len(members) for members in groups[2].values()) == [1, 2]
