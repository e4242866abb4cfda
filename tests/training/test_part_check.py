"""A test part whose classes are in another order than those of the other parts is pointed out, after the run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from support.plain_teachers import CLASSES, NETWORK, photographs, teacher_of
from torchvision.transforms import v2

from okdbench.training.plan import Plan, make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

PIPELINE = v2.Compose([v2.Resize((32, 32)), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
UNCLEAR = "these may have the classes in another order or be of another kind, or it knows the others by heart"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, and a teacher that knows them all."""
    folder = tmp_path_factory.mktemp("shop")
    files = photographs(folder / "images", (40, 40), 30)
    torch.save(teacher_of(files, PIPELINE).state_dict(), folder / "teacher.pt")
    return folder


def plan_of(shop: Path, name: str, domain: object, **options: object) -> Plan:
    (file := shop / f"{name}.yaml").write_text(yaml.safe_dump({"domains": {"shop": domain}}))
    values = {"method": "teacher", "dataset": str(file), "setting": "-S", "budget": "smoke", "device": "cpu"}
    form = {
        "teacher": NETWORK,
        "student": NETWORK,
        "teacher_weights": str(shop / "teacher.pt"),
        "mean": "0",
        "std": "1",
    }
    return make_plan({**values, **form, **options}, data_root=shop / "root")


def in_lists(shop: Path, numbers: str) -> dict[str, str]:
    """Every third image of a class is in the test list, with these classes in turn for those of each class."""
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for label, name in enumerate(CLASSES):
        for index, file in enumerate(sorted((shop / "images" / name).iterdir())):
            others = numbers.split()[label]
            given = int(others[index // 3 % len(others)]) if index % 3 == 2 else label
            lines["test" if index % 3 == 2 else "train"].append(f"images/{name}/{file.name} {given}")
    names = {part: f"{part} {numbers}.txt" for part in lines}
    for part, text in lines.items():
        (shop / names[part]).write_text("\n".join(text))
    return names


@pytest.mark.parametrize(
    ("numbers", "test", "cause"),
    [
        ("0 1 2", 100, ""),
        ("1 2 0", 0, "by its answers these have the classes in another order (0 is 2, 1 is 0, 2 is 1); number all"),
        ("01 12 20", 50, ""),
        ("012 012 012", 33, UNCLEAR),
    ],
)
def test_a_test_part_that_numbers_the_classes_otherwise_is_told(
    numbers: str, test: int, cause: str, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plan = plan_of(shop, f"lists {numbers}", in_lists(shop, numbers))
    capsys.readouterr()
    record = execute(plan, tmp_path, quiet)
    assert record.selected is not None, record.error
    assert int(record.selected.evaluation.test.acc) in (test, test + 1)
    for _ in range(2):  # the second time it is read back
        told = [line for line in capsys.readouterr().err.splitlines() if "test images; " in line and "% of" in line]
        assert len(told) == bool(cause)
        start = "okdbench: teacher warning: 100.0 % of 60 images of the student's validation and train parts, but "
        assert not cause or (told[0].startswith(start) and cause in told[0])
        execute(plan, tmp_path, quiet)


@pytest.mark.parametrize(("options", "tells"), [({"setting": "S"}, True), ({"test_split": "folds"}, False)])
def test_it_is_told_in_every_task_and_only_of_parts(
    options: dict[str, str], tells: bool, shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    execute(plan_of(shop, "lists", in_lists(shop, "1 2 0"), **options), tmp_path, quiet)
    assert ("but 0.0 % of 30 test images; by its answers" in capsys.readouterr().err) == tells
