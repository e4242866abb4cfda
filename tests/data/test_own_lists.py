"""Domains in CSV files and in lists of paths and classes."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from support.dataset_trees import grow
from support.error_text import refusal
from support.own_images import write
from support.own_lists import CLASSES, NAMES, TINY, labels_of, listed

from okdbench import registry
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.own_passport import inspect_own
from okdbench.data.splits import Splits
from okdbench.training.plan import make_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images in one folder, of which every second is of the second class."""
    grow(tmp_path / "all", NAMES)
    return tmp_path


@pytest.mark.parametrize("labels", [CLASSES, ("0", "1")])
@pytest.mark.parametrize("between", [" ", "\t", "   "])
def test_a_text_file_has_a_path_and_a_class_in_each_line(folder: Path, labels: tuple[str, str], between: str) -> None:
    text = "\n".join(f"all/{name}{between}{labels[index % 2]}" for index, name in enumerate(NAMES)) + "\n\n"
    name = listed(folder, text, "phone.txt")
    assert labels_of(name, folder) == [0, 1] * 10
    assert registry.load_dataset(name).classes == labels


def test_an_index_is_that_of_the_listed_classes(folder: Path) -> None:
    text = "".join(f"all/{name} {2 * (index % 2)}\n" for index, name in enumerate(NAMES))
    name = listed(folder, text, "phone.txt", classes=["pen", "cup", "lamp"])
    assert labels_of(name, folder) == [0, 2] * 10
    bare = listed(folder, text, "phone.txt")
    assert registry.load_dataset(bare).classes == ("0", "1", "2")
    numbers = listed(folder, text.replace(" 2\n", " 10\n").replace(" 0\n", " 2\n"), "phone.txt", classes=[10, 2])
    assert labels_of(numbers, folder) == [1, 0] * 10, "all are names"
    many = listed(folder, "".join(f"all/{name} {index}\n" for index, name in enumerate(NAMES)), "phone.txt")
    assert labels_of(many, folder) == list(range(20)), "10 is not between 1 and 2"


def test_lists_and_folders_are_domains_beside_each_other(folder: Path) -> None:
    grow(folder / "studio", [f"{label}/{index}.jpg" for label in CLASSES for index in range(5)])
    (folder / "phone.txt").write_text("".join(f"all/{n} {i % 2}\n" for i, n in enumerate(NAMES)))
    (folder / "web.txt").write_text("studio/cup/0.jpg\n")
    domains = {"phone": "phone.txt", "studio": "studio"}
    file = write(folder / "two.yaml", domains=domains)
    assert registry.load_dataset(str(file)).classes == CLASSES
    assert labels_of(str(file), folder) == [0, 1] * 10
    shared = write(folder / "three.yaml", domains=domains | {"web": "web.txt"}, unlabelled=["web"])
    assert "0.jpg is in the domains 'studio' and 'web'; keep it in one" in refusal(registry.load_dataset, str(shared))


@pytest.mark.parametrize("coding", ["utf-16", "utf-16-be", "utf-8", "utf-8-sig"])
def test_a_list_of_excel_is_read(folder: Path, coding: str) -> None:
    rows = [f"all/{name},{('café', 'thé')[index % 2]}" for index, name in enumerate(NAMES)]
    name = listed(folder, "")
    mark = "\ufeff" if coding == "utf-16-be" else ""
    (folder / "phone.csv").write_text(mark + "\n".join(["path,label", *rows]), coding)
    assert registry.load_dataset(name).classes == ("café", "thé")
    assert labels_of(name, folder) == [0, 1] * 10
    (folder / "phone.csv").write_text("path,label\nall/img 0.jpg,café\n", "cp1252")
    assert "is not in UTF-8; save it so, in Excel as CSV UTF-8" in refusal(registry.load_dataset, name)
    (folder / "phone.csv").write_bytes((folder / "all" / NAMES[0]).read_bytes())
    assert "not a text file; name a folder" in refusal(registry.load_dataset, name)


def test_classes_counted_from_1_are_pointed_out(folder: Path) -> None:
    for first, noted in ((0, False), (1, True)):
        text = "".join(f"all/{name} {first + index % 2}\n" for index, name in enumerate(NAMES))
        dataset = registry.load_dataset(listed(folder, text, "phone.txt"))
        assert isinstance(dataset, OwnDataset)
        remark = "shop: no image has class 0; if the list counts from 1, count from 0, or write names"
        assert (remark in dataset.remarks()) == noted
    named = listed(folder, text, "phone.txt", classes=["cup", "lamp"])
    assert "the indices are 0 to 1; count from 0, or write names" in refusal(registry.load_dataset, named)


@pytest.mark.parametrize("start", ["../", "{}/"])
def test_a_list_may_be_beside_its_images(folder: Path, start: str) -> None:
    (folder / "lists").mkdir()
    rows = [f"{start.format(folder)}all/{name},{CLASSES[index % 2]}" for index, name in enumerate(NAMES)]
    dataset = registry.load_dataset(listed(folder, "\n".join(["path,label", *rows]), "lists/phone.csv"))
    assert isinstance(dataset, OwnDataset)
    assert inspect_own(dataset, folder).damaged == []
    found = {sample.path: (sample.source, sample.label) for sample in dataset.samples("phone", folder)}
    assert found == {f"phone/above/all/{name}": (folder / "all" / name, i % 2) for i, name in enumerate(NAMES)}


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        ("a,b\n1,2\n", "p.csv", "its first line names no column path, but a, b; write path,label"),
        ("id_code:x\n", "p.csv", "its first line names no column path, but id_code:x; write"),
        ("", "p.csv", "its first line names no column path, but none; write"),
        ("", "p.txt", "is empty"),
        (
            "path,cup,lamp\nall/img 0.jpg,3,0\n",
            "p.csv",
            "names no column label but path, cup, lamp; write the class of",
        ),
        ("path,cup,lamp\nall/img 0.jpg,1,1\n", "p.csv", "line 2 has the classes cup, lamp; an image has one"),
        ("path,cup,lamp\nall/img 0.jpg,0,0\n", "p.csv", "line 2 has no class; add it, or remove the line"),
        ("path,label\nall/img 0.jpg,\n", "p.csv", "line 2 has no class; add it"),
        (
            "path,label\nall/gone.jpg,cup\n",
            "p.csv",
            "not there, relative to its folder: all/gone.jpg",
        ),
        ("path,label\nall/img 0.jpg,cup\n./all/img 0.jpg,lamp\n", "p.csv", "names 1 images twice, such as all/img 0"),
        ("path,label\n../../etc/x.jpg,cup\n", "p.csv", "not there, relative to its folder: ../../etc/x.jpg"),
        ("path,label,split\nall/img 0.jpg,cup,dev\n", "p.csv", "split 'dev' is none of train, val and test"),
        ("path,label,split\nall/img 0.jpg,cup,test\n", "p.csv", "has test and no train; add it"),
    ],
)
def test_a_wrong_list_is_refused(folder: Path, text: str, name: str, message: str) -> None:
    assert message in refusal(registry.load_dataset, listed(folder, text, name))


def test_an_index_beyond_the_classes_is_refused(folder: Path) -> None:
    name = listed(folder, "all/img 0.jpg 0\nall/img 1.jpg 2\n", "p.txt", classes=["cup", "lamp"])
    assert "all/img 1.jpg has class 2; the indices are 0 to 1" in refusal(registry.load_dataset, name)


def test_comments_above_the_header_are_skipped(folder: Path) -> None:
    rows = [f"all/{name},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    assert labels_of(listed(folder, "\n".join(["# of 2026", "# by me", "path,label", *rows])), folder) == [0, 1] * 10


def test_names_without_their_ending_are_completed(folder: Path) -> None:
    rows = [f"all/{name.removesuffix('.jpg')},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    assert labels_of(listed(folder, "\n".join(["id,label", *rows])), folder) == [0, 1] * 10
    # Of two files of one name none is chosen.
    (folder / "all" / "img 3.png").write_bytes(b"")
    fault = "1 of 20 images are there twice, and named without an ending: all/img 3.jpg, all/img 3.png; write it"
    assert fault in refusal(registry.load_dataset, str(folder / "shop.yaml"))
    # What is not there at all is named first.
    (folder / "all" / "img 4.jpg").unlink()
    fault = "1 of 20 images are not there, relative to its folder: all/img 4; correct the paths"
    assert fault in refusal(registry.load_dataset, str(folder / "shop.yaml"))


def test_json_and_lines_without_a_class_are_refused_with_the_cure(folder: Path) -> None:
    rows = [{"path": f"all/{name}", "label": "cup"} for name in NAMES]
    for name in ("m.json", "m.jsonl"):
        message = refusal(lambda name=name: registry.load_dataset(listed(folder, json.dumps(rows), name)))
        assert "JSON is not read; write a CSV file with the columns path and label" in message
    assert "line 1 has no class" in refusal(lambda: registry.load_dataset(listed(folder, "all/a.jpg\n", "phone.txt")))


@pytest.mark.parametrize("ending", [".xlsx", ".parquet", ".ARROW"])
def test_tables_that_are_no_text_are_refused_with_the_cure(folder: Path, ending: str) -> None:
    message = refusal(lambda: registry.load_dataset(listed(folder, "PK", f"p{ending}")))
    assert message.endswith(f"{ending} is not read; save a CSV file with the columns path and label")


def in_two_lists(folder: Path, train: str, test: str) -> Splits:
    """The splits where every fifth image is in the second list, which is named after the first one."""
    for name, is_test in ((train, False), (test, True)):
        (folder / name).parent.mkdir(exist_ok=True)
        chosen = [(image, CLASSES[i % 2]) for i, image in enumerate(NAMES) if (i % 10 in (4, 9)) == is_test]
        start = os.path.relpath(folder, (folder / name).parent)
        (folder / name).write_text("".join(f"{start}/all/{image} {label}\n" for image, label in chosen))
    file = write(folder / "shop.yaml", domains={"phone": {"train": train, "test": test}})
    return make_plan({**TINY, "dataset": str(file), "setting": "P"}, data_root=folder).splits


def test_two_lists_are_the_parts_of_a_domain(folder: Path) -> None:
    """As one list with a column that says so."""
    apart = in_two_lists(folder, "train.txt", "test.txt")
    assert sorted(apart.test.paths) == sorted(f"phone/all/{NAMES[i]}" for i in (4, 9, 14, 19))
    assert in_two_lists(folder, "lists/train.txt", "other/test.txt").digest == apart.digest
    below = in_two_lists(folder, "lists/train.txt", "lists/test.txt")
    assert sorted(below.test.paths) == sorted(f"phone/above/all/{NAMES[i]}" for i in (4, 9, 14, 19))
    lines = [f"all/{name},{CLASSES[i % 2]},{'test' if i % 10 in (4, 9) else 'train'}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join(["path,label,split", *lines]))
    assert make_plan({**TINY, "dataset": name, "setting": "P"}, data_root=folder).splits.digest == apart.digest


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"train": "a.txt", "tset": "a.txt"}, "domain 'phone' has 'tset', which is none of its parts train, val and"),
        ({"train": "a.txt", "test": "gone.txt"}, "domain 'phone.test': there is no folder"),
        ({"train": "a.txt", "test": "a.txt"}, "a.txt names 1 images twice, such as all/img 0.jpg"),
        ({"train": "a.txt", "test": "all"}, "all is a folder and "),
        ({"test": "a.txt"}, "a.txt has test and no train; add it"),
        ({"train": "b.csv", "test": "a.txt"}, "b.csv, which is named as train, has test; name its parts"),
        ({"train": "c.txt", "test": "a.txt"}, "c.txt has indices of classes, and "),
        (["a.txt", "b.csv"], "name a folder or a list, or phone: {train: train.txt, test: test.txt}"),
        ({"train": ["a.txt", "b.csv"]}, "name a folder or a list, or phone: {train: train.txt, test: test.txt}"),
    ],
)
def test_parts_that_cannot_be_joined_are_refused(folder: Path, parts: object, message: str) -> None:
    (folder / "a.txt").write_text("all/img 0.jpg cup\n")
    (folder / "b.csv").write_text("path,label,split\nall/img 1.jpg,cup,test\n")
    (folder / "c.txt").write_text("all/img 2.jpg 0\n")
    file = write(folder / "shop.yaml", domains={"phone": parts})
    assert message in refusal(registry.load_dataset, str(file))


@pytest.mark.parametrize(
    "line",
    [
        "{number}\t{label}\tall/{name}",
        "{number}\t{label}.000000\tall/{name}",
        "{label} all/{name}",
        "{label}\tall/{name}",
    ],
)
@pytest.mark.parametrize("ending", ["lst", "txt"])
def test_a_class_may_stand_before_the_path(folder: Path, line: str, ending: str) -> None:
    """As in the lists of SageMaker and MXNet, whose first column numbers the lines."""
    lines = [line.format(number=3 * i, label=i % 2, name=name) for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join(lines), f"phone.{ending}")
    assert labels_of(name, folder) == [0, 1] * 10
    assert registry.load_dataset(name).classes == ("0", "1")
