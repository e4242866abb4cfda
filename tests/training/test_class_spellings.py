"""Names of classes that are spelled otherwise in the file of a teacher, or beside it, and in the data set."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import timm
from support import teacher_plans
from support.dataset_trees import grow
from support.error_text import refusal
from support.plain_teachers import NETWORK
from support.teacher_plans import checkpoint, described

from okdbench.training.plan import Plan
from okdbench.training.teacher_classes import name_warnings
from okdbench.training.trial import check

WORDNET = ["n00000001", "n00000002", "n00000003"]
BIRDS = ["001.Albatross", "002.Wild_duck", "003.Crow"]
DOGS = ["n02085620-Chihuahua", "n02085936-Maltese_dog", "n02110958-pug"]
#: in alphabetical order
THINGS = ["cup", "lamp", "pen"]


def plan_of(folder: Path, folders: list[str], outputs: int = 3, **entries: Any) -> Plan:
    """A run with images in folders of these names, and a teacher whose file has these entries."""
    grow(folder / "images", [f"{name}/{number}.png" for name in folders for number in range(9)])
    checkpoint(**entries)(timm.create_model(NETWORK, num_classes=outputs), folder / "teacher.pt")
    return teacher_plans.plan_of(described(folder, "shop"), folder / "teacher.pt")


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
        ("classes.txt", DOGS, lambda names: "\n".join(name[10:] for name in names)),
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


@pytest.mark.parametrize(
    ("folders", "names"),
    [
        (BIRDS, ["Albatross", "Wild duck", "Crow"]),
        (DOGS, ["Chihuahua", "Maltese_dog", "Pug"]),
        (["0", "1", "2"], ["0 - zero", "1 - one", "2 - two"]),
        (["00", "01", "02"], ["0", "1", "2"]),
        (THINGS, ["1.cup", "2.lamp", "3.pen"]),
        (DOGS, ["n02085620", "n02085936", "n02110958"]),
        (["Apfel", "Möhre", "Äpfel"], [unicodedata.normalize("NFD", name) for name in ("Apfel", "Möhre", "Äpfel")]),
    ],
)
def test_numbers_before_all_names_are_no_part_of_them(folders: list[str], names: list[str], tmp_path: Path) -> None:
    assert name_warnings(plan_of(tmp_path / "same", folders, classes=names)) == []
    (line,) = name_warnings(plan_of(tmp_path / "other", folders, classes=[names[2], *names[:2]]))
    assert line.startswith("the file has the classes in another order; write classes: [")
    assert line.endswith(f"{folders[2]}, {folders[0]}, {folders[1]}]")


def test_names_of_folders_that_are_numbers_cannot_be_compared(tmp_path: Path) -> None:
    (line,) = name_warnings(plan_of(tmp_path, WORDNET, classes=["tench, Tinca tinca", "goldfish", "shark"]))
    assert line.startswith("whether the file has the classes in this order is not known, because their names differ: ")


def test_numbers_that_tell_classes_apart_are_a_part_of_them(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, ["1 mm", "2 mm", "3 cm"], classes=["mm", "cm", "km"])
    (line,) = name_warnings(plan)
    assert line.startswith("the file has other classes, mm, cm, km; ")


NUMBERS = sorted(str(number) for number in range(12))
BY_INDEX = {str(index): name for index, name in enumerate(NUMBERS)}


@pytest.mark.parametrize(
    ("entries", "file", "text"),
    [
        ({"id2label": BY_INDEX}, "", ""),
        ({"id2label": BY_INDEX, "label2id": {name: index for index, name in enumerate(NUMBERS)}}, "", ""),
        ({"idx_to_class": BY_INDEX}, "", ""),
        ({}, "idx_to_class.json", json.dumps(BY_INDEX)),
        ({}, "class_to_idx.json", json.dumps({name: index for index, name in enumerate(NUMBERS)})),
        ({}, "classes.txt", "\n".join(f"{index} {name}" for index, name in BY_INDEX.items())),
        ({}, "classes.txt", "\n".join(NUMBERS)),
    ],
)
def test_numbers_as_names_are_not_taken_for_indices(
    entries: dict[str, Any], file: str, text: str, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, NUMBERS, len(NUMBERS), **entries)
    if file:
        (tmp_path / file).write_text(text)
    assert name_warnings(plan) == []


def test_numbers_as_names_in_another_order_are_noticed(tmp_path: Path) -> None:
    natural = {str(number): str(number) for number in range(12)}
    (line,) = name_warnings(plan_of(tmp_path, NUMBERS, len(NUMBERS), id2label=natural))
    assert line.startswith(
        "the file has the classes in another order; write classes: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10"
    )


@pytest.mark.parametrize("inner", [["back", "front"], ["1", "2", "3"]])
def test_a_class_that_the_file_lacks_is_named_whatever_folders_are_in_it(inner: list[str], tmp_path: Path) -> None:
    plan = plan_of(tmp_path, [f"{name}/{view}" for name in [*THINGS, "sofa"] for view in inner], classes=THINGS)
    assert refusal(check, plan).endswith("by the names in the file ignore: [sofa]")


def test_where_the_classes_are_folders_in_them_the_refusal_says_so(tmp_path: Path) -> None:
    folders = [f"fold{fold}/{name}" for fold in range(4) for name in THINGS]
    plan = plan_of(tmp_path, folders)
    nested = (
        "the file has 3 classes, the data set 4; leave .*; the classes fold0, .* have the folders cup, lamp, pen in"
    )
    assert re.search(nested, refusal(check, plan))
