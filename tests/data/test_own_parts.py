"""Images that the user has divided into train, val and test."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.dataset_trees import grow
from support.error_text import refusal
from support.own_images import write

from okdbench import registry
from okdbench.data import own_domain
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.splits import assemble
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

TINY = {"method": "kd", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}
CLASSES = ("cup", "lamp")


def described(folder: Path, parts: dict[str, int], **content: object) -> str:
    """A domain that is divided into folders with this many images of each class, and one that is not."""
    names = [f"{part}/{label}/{i:02d}.jpg" for part, count in parts.items() for label in CLASSES for i in range(count)]
    grow(folder / "phone", names)
    grow(folder / "studio", [f"{label}/{i:02d}.jpg" for label in CLASSES for i in range(10)])
    return str(write(folder / "shop.yaml", domains={"phone": "phone", "studio": "studio"}, **content))


def parts_of(paths: tuple[str, ...]) -> set[str]:
    return {path.split("/")[1] for path in paths}


@pytest.mark.parametrize("test", ["test", pytest.param("Testing", marks=pytest.mark.slow)])
@pytest.mark.parametrize("val", ["val", "valid", "Validation"])
def test_three_parts_are_the_splits(val: str, test: str, tmp_path: Path) -> None:
    name = described(tmp_path, {"train": 8, val: 2, test: 3})
    assert registry.load_dataset(name).classes == CLASSES
    for seed in (0, 3):
        splits = make_plan({**TINY, "dataset": name, "setting": "S-P", "seed": seed}, data_root=tmp_path).splits
        assert (parts_of(splits.train.paths), parts_of(splits.val.paths)) == ({"train"}, {val})
        assert (parts_of(splits.test.paths), len(splits.train), len(splits.test)) == ({test}, 16, 6)
        teacher = make_plan({**TINY, "dataset": name, "setting": "P-S", "seed": seed}, data_root=tmp_path).splits
        assert (parts_of(teacher.teacher_train.paths), len(teacher.teacher_train)) == ({"train", val}, 20)
        assert parts_of(teacher.teacher_test.paths) == {test}
    record = execute(make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path), tmp_path / "r", quiet)
    assert (record.status, record.test_images) == ("done", 6), record.error


def test_of_two_parts_the_second_is_tested_on(tmp_path: Path) -> None:
    name = described(tmp_path, {"train": 10, "val": 3})
    splits = make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path).splits
    assert (parts_of(splits.test.paths), len(splits.test)) == ({"val"}, 6)
    assert parts_of(splits.val.paths) == {"train"}
    assert len(splits.train) + len(splits.val) == 20


def test_folds_can_be_asked_for(tmp_path: Path) -> None:
    name = described(tmp_path, {"train": 10, "val": 2, "test": 3})
    values = {**TINY, "dataset": name, "setting": "S-P", "test_split": "folds"}
    splits = make_plan(values, data_root=tmp_path).splits
    assert parts_of(splits.train.paths + splits.val.paths + splits.test.paths) == {"train"}
    assert len(splits.test) == 4


def test_test_images_without_classes_are_ignored_and_counted(tmp_path: Path) -> None:
    """As challenges publish them."""
    name = described(tmp_path, {"train": 10, "val": 3})
    grow(tmp_path / "phone" / "test", ["a.jpg", "b.jpg"])
    dataset = registry.load_dataset(name)
    assert dataset.classes == CLASSES
    assert dataset.official_tests == {"phone": "phone.val"}
    assert dataset.scan("phone").ignored == {"images without a class folder in test": 2}  # type: ignore[attr-defined]


def test_for_images_without_classes_the_folders_of_classes_are_not_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which takes long where there are many images."""
    name = described(tmp_path, {"train": 10, "val": 3})
    grow(tmp_path / "phone" / "test" / "images", ["a.jpg", "b.jpg"])
    monkeypatch.setattr(own_domain, "images_in", None)
    ((_, place), *_) = registry.load_dataset(name).places.items()  # type: ignore[attr-defined]
    assert place.ignored == {"images without a class folder in test": 2}


@pytest.mark.parametrize("name", ["images", "scarf"])
def test_a_folder_of_all_images_of_a_part_is_no_class(name: str, tmp_path: Path) -> None:
    """As in Tiny ImageNet, unless a part with other classes has it as well."""
    described(tmp_path, {"train": 10, "test": 3})
    named = str(write(tmp_path / "shop.yaml", domains={"phone": "phone"}))
    grow(tmp_path / "phone" / "val", [f"{name}/{i}.jpg" for i in range(4)])
    dataset = registry.load_dataset(named)
    is_class = name != "images"
    assert set(dataset.classes) == {*CLASSES, *([name] if is_class else [])}
    left = {"images without a class folder in val": 4}
    assert dataset.scan("phone").ignored == ({} if is_class else left)  # type: ignore[attr-defined]


def test_classes_may_be_called_train_and_val(tmp_path: Path) -> None:
    grow(tmp_path / "road", [f"{label}/{i}.jpg" for label in ("bus", "train") for i in range(10)])
    assert registry.load_dataset(str(write(tmp_path / "a.yaml", domains={"road": "road"}))).classes == ("bus", "train")
    file = write(tmp_path / "b.yaml", domains={"road": "road"}, classes=["train", "bus"])
    assert registry.load_dataset(str(file)).classes == ("train", "bus")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["train/cup/1.jpg", "extra/cup/1.jpg"], "has train with class folders and extra beside them; move extra away"),
        (["train/1.jpg", "val/1.jpg"], "train, val have no class folders"),
        (["val/cup/1.jpg", "test/cup/1.jpg"], "and no train; add it"),
    ],
)
def test_what_is_half_divided_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    grow(tmp_path / "road", names)
    assert message in refusal(registry.load_dataset, str(write(tmp_path / "a.yaml", domains={"road": "road"})))


def test_folders_anywhere_are_the_parts_that_the_file_says(tmp_path: Path) -> None:
    name = described(tmp_path, {"train": 10, "test": 3})
    splits = make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path).splits
    parts = {"Training": "phone/train", "test": "phone/test"}
    write(tmp_path / "shop.yaml", domains={"phone": parts, "studio": "studio"})
    said = make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path).splits
    assert said.digest == splits.digest
    grow(tmp_path / "loose", ["1.jpg"])
    write(tmp_path / "shop.yaml", domains={"phone": parts | {"test": "loose"}, "studio": "studio"})
    assert "loose has no class folders; make one for each class" in refusal(registry.load_dataset, name)


@pytest.mark.parametrize("top", ["", "shop.v1/"])
def test_an_export_of_roboflow_is_read(tmp_path: Path, top: str) -> None:
    """Its classes are columns of a list beside the images of each part."""
    for part, count in {"train": 8, "valid": 2, "test": 3}.items():
        grow(folder := tmp_path / "export" / f"{top}{part}", [f"{i}.jpg" for i in range(2 * count)])
        lines = [f"{i}.jpg, {int(i < count)}, {int(i >= count)}" for i in range(2 * count)]
        (folder / "_classes.csv").write_text("\n".join(["filename, cup, lamp", *lines]))
    dataset = registry.load_dataset(str(tmp_path / "export"))
    assert isinstance(dataset, OwnDataset)
    assert dataset.classes == CLASSES
    assert not any("each of the classes" in line for line in dataset.remarks())
    ((letter, domain),) = dataset.domains.items()
    splits = assemble(dataset, dataset.setting(f"-{letter}"), 32, tmp_path)
    for part, name, count in ((splits.train, "train", 8), (splits.val, "valid", 2), (splits.test, "test", 3)):
        assert {path: int(label) for path, label in zip(part.paths, part.labels, strict=True)} == {
            f"{domain}/{name}/{i}.jpg": int(i >= count) for i in range(2 * count)
        }


PARTS = {"train": "train", "val": "validation", "test": "test"}


def with_lists(folder: Path, below: str, name: str) -> None:
    """Images beside the list of their part, or in a folder beside it."""
    for part, count in {"train": 8, "validation": 2, "test": 3}.items():
        grow(folder / part / below, [f"{i}.jpg" for i in range(2 * count)])
        lines = [f"{below}{i}.jpg,{CLASSES[i >= count]}" for i in range(2 * count)]
        (folder / part / name).write_text("\n".join(["file_name,label", *lines]))


@pytest.mark.parametrize("below", ["", "images/"])
def test_an_image_folder_of_hugging_face_is_read(below: str, tmp_path: Path) -> None:
    with_lists(tmp_path / "phone", below, "metadata.csv")
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"phone": "phone"})))
    assert dataset.classes == CLASSES
    splits = assemble(dataset, dataset.setting("-P"), 32, tmp_path)
    for part, name, count in ((splits.train, "train", 8), (splits.val, "validation", 2), (splits.test, "test", 3)):
        assert {path: int(label) for path, label in zip(part.paths, part.labels, strict=True)} == {
            f"phone/{name}/{below}{i}.jpg": int(i >= count) for i in range(2 * count)
        }


def test_a_metadata_file_beside_class_folders_is_not_read(tmp_path: Path) -> None:
    name = described(tmp_path, {"train": 8, "test": 3})
    for part in ("train", "test"):
        (tmp_path / "phone" / part / "metadata.csv").write_text("file_name,camera\n")
    assert registry.load_dataset(name).classes == CLASSES


def test_other_lists_beside_the_images_of_parts_are_named(tmp_path: Path) -> None:
    """With the line that has them read."""
    with_lists(tmp_path / "phone", "", "labels.csv")
    message = refusal(registry.load_dataset, str(write(tmp_path / "shop.yaml", domains={"phone": "phone"})))
    assert "make one for each class in each of them, or write NAME: {test: " in message
    parts = yaml.safe_load(message[message.index("{") : message.rindex("}") + 1])
    assert parts == {part: str(tmp_path / "phone" / at / "labels.csv") for part, at in PARTS.items()}
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"phone": parts})))
    assert dataset.official_tests == {"phone": "phone.test"}


def test_a_list_in_json_beside_the_images_of_parts_is_named(tmp_path: Path) -> None:
    with_lists(tmp_path / "phone", "", "metadata.jsonl")
    message = refusal(registry.load_dataset, str(tmp_path / "phone"))
    assert message.endswith(
        "metadata.jsonl in them is not read: write metadata.csv, with the columns file_name and label"
    )


@pytest.mark.parametrize("parts", [["train"], ["train", "test"]])
def test_parts_without_class_folders_are_no_classes(parts: list[str], tmp_path: Path) -> None:
    """As cat.0.jpg in train/, and tables with images in them."""
    grow(tmp_path / "flat", [f"{part}/{label}.{i}.jpg" for part in parts for label in CLASSES for i in range(3)])
    content = write(tmp_path / "shop.yaml", domains={"flat": "flat"})
    for name in (str(tmp_path / "flat"), str(content)):
        message = refusal(registry.load_dataset, name)
        assert f"flat: {', '.join(sorted(parts))} ha" in message
        where, are = ("it", "it is a class") if len(parts) == 1 else ("each of them", "they are classes")
        cure = f"make one for each class in {where}; if {are}, write classes: [{', '.join(sorted(parts))}]"
        assert message.endswith(f"no class folders; {cure}")
    listed = write(tmp_path / "listed.yaml", domains={"flat": "flat"}, classes=parts)
    assert registry.load_dataset(str(listed)).classes == tuple(parts)
    for image in (tmp_path / "flat").glob("*/*.jpg"):
        image.unlink()
        image.with_suffix(".arrow").touch()
    message = refusal(registry.load_dataset, str(content))
    have = "it has" if len(parts) == 1 else "they have"
    assert message.endswith(
        f"{have} .arrow ({6 * len(parts)}): save the images in these as PNG, in a folder for each class"
    )


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("training_set", "test_set"),
        ("train_images", "val-images"),
        ("seg_train/seg_train", "seg_test/seg_test"),
        ("train/images", "test/images"),
        ("trainset", "testset"),
        ("Data Train", "Data Test"),
        ("training", "evaluation"),
    ],
)
def test_parts_are_known_by_a_word_of_their_name(train: str, test: str, tmp_path: Path) -> None:
    name = described(tmp_path, {train: 10, test: 3})
    assert registry.load_dataset(name).classes == CLASSES
    splits = make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path).splits
    assert (len(splits.train) + len(splits.val), len(splits.test)) == (20, 6)


@pytest.mark.parametrize("missing", ["", "right/lamp"])
def test_folders_that_have_the_classes_in_them_are_pointed_out(missing: str, tmp_path: Path) -> None:
    """Parts of unknown names, or patients, who may lack a class."""
    folders = [f"{part}/{label}" for part in ("left", "right") for label in CLASSES]
    grow(tmp_path / "phone", [f"{folder}/{i}.jpg" for folder in folders if folder != missing for i in "12"])
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"phone": "phone"})))
    assert isinstance(dataset, OwnDataset)
    (remark,) = dataset.remarks()
    assert "the classes left, right have the folders cup, lamp in them; if these are the classes" in remark


def test_patients_that_each_class_counts_from_1_are_no_classes(tmp_path: Path) -> None:
    grow(tmp_path / "phone", [f"{name}/patient{i}/{j}.jpg" for name in CLASSES for i in range(8) for j in "12"])
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"phone": "phone"})))
    assert isinstance(dataset, OwnDataset)
    assert not any("have the folders" in line for line in dataset.remarks())


def test_folders_inside_of_a_class_that_others_lack_are_nothing_unusual(tmp_path: Path) -> None:
    grow(tmp_path / "phone", [f"{folder}/{i}.jpg" for folder in ("cup/a", "cup/b", "lamp/b", "lamp/c") for i in "12"])
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"phone": "phone"})))
    assert isinstance(dataset, OwnDataset)
    assert not dataset.remarks()
