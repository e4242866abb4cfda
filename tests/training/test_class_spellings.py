"""Names of classes that are spelled otherwise in the file of a teacher, or beside it, and in the data set."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from support.dataset_trees import grow
from support.own_images import write

from okdbench.training.plan import Plan, make_plan
from okdbench.training.teacher_classes import name_warnings

WORDNET = ["n00000001", "n00000002", "n00000003"]
BIRDS = ["001.Albatross", "002.Wild_duck", "003.Crow"]
#: in alphabetical order
THINGS = ["cup", "lamp", "pen"]


def plan_of(folder: Path, folders: list[str], **entries: Any) -> Plan:
    """A run with images in folders of these names, and a teacher whose file has these entries."""
    grow(folder / "photos", [f"{name}/{number}.png" for name in folders for number in range(9)])
    file = write(folder / "shop.yaml", domains={"photos": "photos"})
    net = timm.create_model("test_resnet", num_classes=len(folders))
    torch.save({"state_dict": net.state_dict(), **entries}, folder / "teacher.pt")
    networks = {"teacher": "test_resnet", "student": "test_resnet", "teacher_weights": str(folder / "teacher.pt")}
    values = {"method": "teacher", "dataset": str(file), "setting": "-P", "budget": "smoke", "device": "cpu"}
    return make_plan({**values, **networks}, data_root=folder / "root")


def pairs(names: Sequence[str], shown: Callable[[str], object]) -> str:
    return json.dumps({str(index): shown(name) for index, name in enumerate(names)})


@pytest.mark.parametrize(
    ("file", "classes", "written"),
    [
        ("index_to_name.json", THINGS, lambda names: pairs(names, str)),
        ("index_to_name.json", THINGS, lambda names: pairs(names, lambda name: ["n01440764", name])),
        ("imagenet_class_index.json", WORDNET, lambda names: pairs(names, lambda name: [name, "tench"])),
        ("synset_words.txt", WORDNET, lambda names: "".join(f"{name} tench, Tinca tinca\n" for name in names)),
        ("synset_words.txt", THINGS, lambda names: "".join(f"n01440764 {name}, tinca\n" for name in names)),
        ("categories.txt", THINGS, "\n".join),
        ("classes.txt", WORDNET, "\n".join),
        ("class_indices.json", WORDNET, lambda names: json.dumps({name: at for at, name in enumerate(names)})),
        ("classes.txt", BIRDS, lambda names: "\n".join(name[4:].replace("_", " ") for name in names)),
        ("classes.txt", BIRDS, lambda names: "\n".join(f"{at} {name}" for at, name in enumerate(names, 1))),
    ],
)
def test_a_list_beside_the_file_is_compared(
    file: str, classes: list[str], written: Callable[[Sequence[str]], str], tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, classes)
    (tmp_path / file).write_text(written(classes))
    assert name_warnings(plan) == []
    other = [classes[2], classes[0], classes[1]]
    (tmp_path / file).write_text(written(other))
    cure = f"if it is of this teacher, write classes: [{', '.join(other)}]"
    assert name_warnings(plan) == [f"{file} beside it has the classes in another order; {cure}"]


def test_numbers_before_all_names_are_no_part_of_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, BIRDS, classes=["Crow", "Albatross", "Wild_duck"])
    line = "the file has the classes in another order; write classes: [003.Crow, 001.Albatross, 002.Wild_duck]"
    assert name_warnings(plan) == [line]


def test_numbers_that_tell_classes_apart_are_a_part_of_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ["1 mm", "2 mm", "3 cm"], classes=["mm", "cm", "km"])
    (line,) = name_warnings(plan)
    assert line.startswith("the file has other classes, mm, cm, km; ")
