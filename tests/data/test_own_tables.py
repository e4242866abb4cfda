"""What the columns of a list in a CSV file say."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.dataset_trees import grow
from support.error_text import refusal
from support.own_lists import CLASSES, NAMES, TINY, labels_of, listed

from okdbench import registry
from okdbench.data.custom_dataset import OwnDataset
from okdbench.training.plan import make_plan


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty images in one folder, of which every second is of the second class."""
    grow(tmp_path / "all", NAMES)
    return tmp_path


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("head", [("path", "label"), ("Filename", "Class")])
def test_a_table_has_a_header(folder: Path, delimiter: str, head: tuple[str, str]) -> None:
    rows = [head, *((f"all/{name}", CLASSES[index % 2]) for index, name in enumerate(NAMES))]
    for quote in ("", '"', "'"):
        text = "\n".join(delimiter.join(f"{quote}{word}{quote}" for word in row) for row in rows)
        name = listed(folder, text)
        assert registry.load_dataset(name).classes == CLASSES
        assert labels_of(name, folder) == [0, 1] * 10


def test_columns_give_groups_and_splits(folder: Path) -> None:
    rows = ["path,label,patient,split"]
    for index, name in enumerate(NAMES):
        part = "train" if index < 12 else "Val" if index < 16 else "test"
        rows.append(f"all/{name},{CLASSES[index % 2]},p{index // 4},{part}")
    name = listed(folder, "\n".join(rows), groups="patient")
    splits = make_plan({**TINY, "dataset": name, "setting": "P"}, data_root=folder).splits
    assert sorted(splits.test.paths) == sorted(f"phone/all/{image}" for image in NAMES[16:])
    assert (set(splits.test.groups), len(splits.teacher_train)) == ({"p4"}, 16)
    alone = listed(folder, "\n".join(row.rpartition(",")[0] for row in rows), groups="patient")
    splits = make_plan({**TINY, "dataset": alone, "setting": "P"}, data_root=folder).splits
    assert not set(splits.test.groups) & set(splits.teacher_train.groups)
    assert len(splits.test) == 4


@pytest.mark.parametrize("column", ["group", "Group"])
def test_a_pattern_wins_over_a_column_that_is_called_group(folder: Path, column: str) -> None:
    """Which is then named as one that is not used."""
    rows = [f"all/{name},{CLASSES[i % 2]},{('child', 'adult')[i > 9]}" for i, name in enumerate(NAMES)]
    text = "\n".join([f"path,label,{column}", *rows])
    for groups, found in ((r"img (\d)", set("0123456789")), ("", {"child", "adult"}), ("group", {"child", "adult"})):
        dataset = registry.load_dataset(listed(folder, text, groups=groups))
        assert isinstance(dataset, OwnDataset)
        scan = dataset.scan("phone")
        assert {image.group for image in scan.images} == found
        assert dict(scan.ignored) == ({f"columns {column}": 1} if "img" in groups else {})


def splits_of(folder: Path, column: str, words: tuple[str, str]) -> list[int]:
    """Numbers of train and test images where every fifth image has the second word."""
    lines = [f"path,label,{column}"]
    lines += [f"all/{name},{CLASSES[i % 2]},{words[i % 10 in (4, 9)]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join(lines))
    splits = make_plan({**TINY, "dataset": name, "setting": "P"}, data_root=folder).splits
    return [len(splits.teacher_train), len(splits.test)]


@pytest.mark.parametrize("column", ["split", "subset", "set", "phase", "Partition", "part", "fold_of_mine"])
def test_a_column_that_divides_the_images_is_the_split_whatever_its_name(folder: Path, column: str) -> None:
    assert splits_of(folder, column, ("train", "test")) == [16, 4]


@pytest.mark.parametrize("column", ["part", "set", "Subset", "phase"])
def test_a_column_of_parts_of_things_is_no_split(folder: Path, column: str) -> None:
    """Another column still is, and where some lines say train or test, the others are mistakes."""
    rows = [f"all/{name},{CLASSES[i % 2]},{('bolt', 'nut')[i > 9]}" for i, name in enumerate(NAMES)]
    dataset = registry.load_dataset(listed(folder, "\n".join([f"path,label,{column}", *rows])))
    assert isinstance(dataset, OwnDataset)
    assert dict(dataset.scan("phone").ignored) == {f"columns {column}": 1}
    divided = [f"{row},{('train', 'test')[i > 15]}" for i, row in enumerate(rows)]
    for other in ("usage", "of_mine"):
        again = registry.load_dataset(listed(folder, "\n".join([f"path,label,{column},{other}", *divided])))
        assert [len(again.samples(name, folder)) for name in ("phone", "phone.test")] == [16, 4]
    rows[0] = rows[0].replace("bolt", "train")
    message = refusal(registry.load_dataset, listed(folder, "\n".join([f"path,label,{column}", *rows])))
    assert "line 3: split 'bolt' is none of train, val and test; correct it, or rename the column" in message


@pytest.mark.parametrize("column", ["split", "part"])
def test_a_column_with_one_word_in_each_line_is_the_split(folder: Path, column: str) -> None:
    rows = [f"all/{name},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join([f"path,label,{column}", *(f"{row},test" for row in rows)]))
    assert "has test and no train; add it" in refusal(registry.load_dataset, name)


def test_the_parts_of_fer2013_are_known(folder: Path) -> None:
    assert splits_of(folder, "Usage", ("Training", "PrivateTest")) == [16, 4]


def test_a_column_that_is_not_used_is_named(folder: Path) -> None:
    rows = [f"all/{name},{CLASSES[i % 2]},{int(i % 5 == 0)},{i}" for i, name in enumerate(NAMES)]
    dataset = registry.load_dataset(listed(folder, "\n".join(["path,label,is_test,age", *rows])))
    assert isinstance(dataset, OwnDataset)
    assert dict(dataset.scan("phone").ignored) == {"columns is_test, age": 2}


@pytest.mark.parametrize(
    "label", ["labels", "Targets", "categories", "Class Name", "true-label", "given_label", "class_id"]
)
@pytest.mark.parametrize("path", ["image", "File Name", "image_name", "ImageID"])
def test_a_column_of_the_class_has_any_of_the_usual_names(folder: Path, path: str, label: str) -> None:
    lines = [f"{i},all/{name},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join([f",{path},{label}", *lines]))
    assert labels_of(name, folder) == [0, 1] * 10
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, OwnDataset)
    assert dataset.remarks() == []
    assert {image.group for image in dataset.scan("phone").images} == {""}, "numbers of lines are no groups"


@pytest.mark.parametrize("between", [" ", "|", "; "])
def test_several_classes_of_an_image_are_pointed_out(folder: Path, between: str) -> None:
    several = between.join(CLASSES)
    lines = [f'"all/{name}","{several if i > 16 else CLASSES[i % 2]}"' for i, name in enumerate(NAMES)]
    text = "\n".join(["image,labels", *lines])
    for ignore in ([], [several]):
        dataset = registry.load_dataset(listed(folder, text, ignore=ignore))
        assert isinstance(dataset, OwnDataset)
        told = f"shop: warning: 3 images are called as of several classes: {several}; ignore: leaves them out"
        assert dataset.remarks() == ([] if ignore else [told])


@pytest.mark.parametrize("order", [("label", "given_label"), ("class_name", "class_id"), ("true_label", "given_label")])
def test_of_several_columns_of_the_class_the_first_of_the_names_is_taken_and_said(
    folder: Path, order: tuple[str, str]
) -> None:
    lines = [f"all/{name},{CLASSES[i % 3 == 0]},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join([f"path,{order[1]},{order[0]}", *lines]))
    assert labels_of(name, folder) == [0, 1] * 10
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, OwnDataset)
    said = f"shop: phone.csv: the class is in column {order[0]}; {order[1]} may have it, too, and is not used"
    assert dataset.remarks() == [said]


@pytest.mark.parametrize(
    ("head", "numbers", "order", "line"),
    [
        ("path,label,class_name", (1, 0), "cup, lamp", "classes: [1, 0]"),
        ("path,target,species", (2, 1), "cup, lamp", "classes: [2, 1]"),
        ("path,class_id,label", (1, 0), "0, 1", "classes: [lamp, cup]"),
        ("path,label,class_name", (0, 1), "", ""),
        ("path,label,class_name", (2, 0), "", ""),
    ],
)
def test_names_beside_numbers_that_have_another_order_are_told(
    folder: Path, head: str, numbers: tuple[int, int], order: str, line: str
) -> None:
    """With the line that gives it, after which nothing is to be said of it."""
    columns = [(numbers[i % 2], CLASSES[i % 2]) for i in range(20)]
    text = "\n".join([head, *(f"all/{name},{one},{other}" for name, (one, other) in zip(NAMES, columns, strict=True))])
    dataset = registry.load_dataset(listed(folder, text))
    assert isinstance(dataset, OwnDataset)
    told = [remark for remark in dataset.remarks() if "; if your teacher has it, write " in remark]
    column = head.split(",")[1 if "class_id" in head else 2]
    said = (
        f"shop: phone.csv: by column {column} the classes have the order {order}; if your teacher has it, write {line}"
    )
    assert told == [said] * bool(line)
    if line:
        again = registry.load_dataset(listed(folder, text, classes=yaml.safe_load(line)["classes"]))
        assert isinstance(again, OwnDataset)
        expected = [1, 0] if "class_id" in head else [0, 1]
        assert labels_of(str(folder / "shop.yaml"), folder) == expected * 10
        assert not any("your teacher" in remark for remark in again.remarks())


@pytest.mark.parametrize("head", ["path,label", "label,path", "Image,Class"])
def test_a_header_in_the_middle_is_named(folder: Path, head: str) -> None:
    rows = [f"all/{name},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join(["path,label", *rows[:9], head, *rows[9:]]))
    assert "phone.csv line 11 is a header again, as where two lists are joined; remove" in refusal(
        registry.load_dataset, name
    )


@pytest.mark.parametrize("ending", [".jpg", ""])
@pytest.mark.parametrize("column", ["folder", "label"])
def test_the_folder_may_be_a_column_of_its_own(folder: Path, column: str, ending: str) -> None:
    """Also the class itself; the column counts as used."""
    grow(folder, [f"{CLASSES[i % 2]}/{name}" for i, name in enumerate(NAMES)])
    rows = [f"{CLASSES[i % 2]},{name.removesuffix('.jpg')}{ending},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join([f"{column},filename,{'label' if column == 'folder' else 'note'}", *rows]))
    dataset = registry.load_dataset(name)
    assert isinstance(dataset, OwnDataset)
    found = {image.path: image.label for image in dataset.scan("phone").images}
    assert found == {f"{CLASSES[i % 2]}/{image}": CLASSES[i % 2] for i, image in enumerate(NAMES)}
    assert dict(dataset.scan("phone").ignored) == ({} if column == "folder" else {"columns note": 1})


@pytest.mark.parametrize("beside", [NAMES, NAMES[:7], NAMES[:1]])
@pytest.mark.parametrize("ending", [".jpg", ""])
def test_the_folder_of_a_column_wins_over_files_of_the_same_names(folder: Path, beside: list[str], ending: str) -> None:
    """Which may be thumbnails, or another export."""
    grow(folder, [*(f"day {i % 2}/{name}" for i, name in enumerate(NAMES)), *beside])
    rows = [f"day {i % 2},{name.removesuffix('.jpg')}{ending},{CLASSES[i % 2]}" for i, name in enumerate(NAMES)]
    dataset = registry.load_dataset(listed(folder, "\n".join(["folder,filename,label", *rows])))
    assert isinstance(dataset, OwnDataset)
    scan = dataset.scan("phone")
    assert {image.path for image in scan.images} == {f"day {i % 2}/{image}" for i, image in enumerate(NAMES)}
    assert dict(scan.ignored) == {"files of these names outside the folders of column folder": len(beside)}
    # Where one lacks its image, the column is passed over, and named.
    (folder / "day 1" / NAMES[1]).unlink()
    if beside != NAMES:
        assert "images are not there" in refusal(registry.load_dataset, str(folder / "shop.yaml"))
    else:
        again = registry.load_dataset(str(folder / "shop.yaml"))
        assert isinstance(again, OwnDataset)
        assert {image.path for image in again.scan("phone").images} == set(NAMES)
        assert dict(again.scan("phone").ignored) == {"columns folder": 1}


def test_a_class_may_be_a_column_of_0_and_1(folder: Path) -> None:
    for zero, one in (("0", "1"), ("0.0", "1.0")):
        lines = [f"all/{name}, {zero if i % 2 else one}, {one if i % 2 else zero}, {i}" for i, name in enumerate(NAMES)]
        name = listed(folder, "\n".join(["filename, Cup, lamp, age", *lines]))
        assert labels_of(name, folder) == [0, 1] * 10
        assert registry.load_dataset(name).classes == ("Cup", "lamp")


@pytest.mark.parametrize("column", ["night", "is_test"])
def test_a_column_of_0_and_1_that_is_no_class_is_named(folder: Path, column: str) -> None:
    bits = [(int(not i % 2), i % 2, int(i % 3 == 0)) for i in range(20)]
    lines = [f"all/{name},{cup},{lamp},{flag}" for name, (cup, lamp, flag) in zip(NAMES, bits, strict=True)]
    name = listed(folder, "\n".join([f"path,cup,lamp,{column}", *lines]))
    cure = f"line 2 has the classes cup, {column}; without the column {column} each line has one; remove it, or list"
    assert cure in refusal(registry.load_dataset, name)
    named = listed(folder, "\n".join([f"path,cup,lamp,{column}", *lines]), classes=["lamp", "cup"])
    assert labels_of(named, folder) == [1, 0] * 10
    dataset = registry.load_dataset(named)
    assert isinstance(dataset, OwnDataset)
    assert dict(dataset.scan("phone").ignored) == {f"columns {column}": 1}


def test_of_two_columns_that_may_be_no_class_none_is_named(folder: Path) -> None:
    lines = [f"all/{name},{int(not i % 2)},{i % 2},{int(not i % 2)}" for i, name in enumerate(NAMES)]
    name = listed(folder, "\n".join(["path,cup,lamp,night", *lines]))
    assert "line 2 has the classes cup, night; an image has one, so remove the line, or list the" in refusal(
        registry.load_dataset, name
    )
    few = listed(folder, "\n".join(["path,cup,lamp,night", *lines]), classes=["lamp", "pen"])
    assert "line 2 has the classes cup, night; an image has one" in refusal(registry.load_dataset, few)
    junk = listed(folder, "\n".join(["path,cup,lamp,night", *lines]), classes=["lamp"], ignore=["cup"])
    assert registry.load_dataset(junk).classes == ("lamp",)


@pytest.mark.parametrize("column", ["patient_id", "Subject", "video", "ObjectID", "lesion id", "case no"])
def test_a_column_of_patients_is_proposed_as_groups(folder: Path, column: str) -> None:
    """Until it is used, and only where images of a class share its values."""
    for values, proposed in (([i // 4 for i in range(20)], True), ([i % 2 for i in range(20)], False)):
        rows = [f"all/{name},{CLASSES[i % 2]},P{values[i]}" for i, name in enumerate(NAMES)]
        text = "\n".join([f"path,label,{column}", *rows])
        line = (
            f"by column {column} 5 groups of images may each be of one thing; if so, keep each in one split with "
            f"groups: {column}"
        )
        for groups in ("", column):
            dataset = registry.load_dataset(listed(folder, text, groups=groups))
            assert isinstance(dataset, OwnDataset)
            assert any(line in said for said in dataset.remarks()) == (proposed and not groups)


def test_of_images_that_the_user_has_divided_patients_in_two_parts_are_named(folder: Path) -> None:
    """And lines without a part are counted."""
    rows = [f"all/{name},{CLASSES[i % 2]},P{i // 4},{'test' if i > 15 else 'Train'}" for i, name in enumerate(NAMES)]
    blank = "lines without a split: 1; their images are trained on"
    several = (
        "by column patient groups of images that may each be of one thing are in several parts (1), such as P4; if so, "
        "move each into one part"
    )
    for lines, said in (
        (rows, []),
        ([rows[0].removesuffix("Train"), *rows[1:]], [blank]),
        ([*rows[:-1], rows[-1].removesuffix("test")], [blank, several]),
    ):
        # a lesion is in one part, a patient in two
        with_lesions = [line.replace(",P", f",L{i // 2},P") for i, line in enumerate(lines)]
        table = "\n".join(["path,label,lesion,patient,split", *with_lesions])
        dataset = registry.load_dataset(listed(folder, table))
        assert isinstance(dataset, OwnDataset)
        assert [line.removeprefix("shop: phone.csv: ") for line in dataset.remarks()] == said


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("plant", ["tomato", "tomato", "apple"]),
        ("person", ["0", "0", "1"]),
        ("scene", ["street", "yard", "yard", "room"]),
        ("item", [str(i) for i in range(18)] + ["0", "1"]),
    ],
)
def test_a_column_of_few_values_or_of_few_pairs_is_no_group(folder: Path, column: str, values: list[str]) -> None:
    rows = [f"all/{name},{CLASSES[i % 2]},{values[i % len(values)]}" for i, name in enumerate(NAMES)]
    dataset = registry.load_dataset(listed(folder, "\n".join([f"path,label,{column}", *rows])))
    assert isinstance(dataset, OwnDataset)
    assert not any("groups:" in said for said in dataset.remarks())
