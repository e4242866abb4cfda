"""The classes of a user's own images: exact names, their order, and names that are shown."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from support.dataset_trees import grow, official
from support.error_text import refusal
from support.own_images import write

from okdbench import registry
from okdbench.data.custom_dataset import OwnDataset
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student import unpack

TINY = {"method": "kd", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}


def described(folder: Path, class_folders: list[str], images: int = 10, **content: object) -> str:
    """A file that describes two domains with these class folders."""
    grow(folder / "images", official({domain: dict.fromkeys(class_folders, images) for domain in ("studio", "phone")}))
    return str(write(folder / "shop.yaml", domains={"studio": "images/studio", "phone": "images/phone"}, **content))


def labels_of(name: str, root: Path) -> dict[str, int]:
    """Class folder -> label."""
    return {sample.path.split("/")[1]: sample.label for sample in registry.load_dataset(name).samples("phone", root)}


@pytest.mark.parametrize("names", [["A", "a"], ["c", "c++"], ["0.5mm", "1.5mm"], ["1.a", "2.a"], ["x y", "x_y"]])
def test_own_names_are_compared_exactly(names: list[str], tmp_path: Path) -> None:
    assert labels_of(described(tmp_path, names), tmp_path) == {name: index for index, name in enumerate(names)}
    listed = write(tmp_path / "b.yaml", domains={"phone": "images/phone"}, classes=names[::-1])
    assert labels_of(str(listed), tmp_path) == {names[1]: 0, names[0]: 1}


@pytest.mark.parametrize(
    ("folders", "classes", "order"),
    [
        (["1", "10", "2"], [1, 2, 10], ["1", "2", "10"]),
        (["001", "010", "002"], [1, 2, 10], ["001", "002", "010"]),
        (["0.5", "1.50"], [1.5, 0.5], ["1.50", "0.5"]),
        (["cup", "lamp", "pen"], {0: "pen", 1: "cup", 2: "lamp"}, ["pen", "cup", "lamp"]),
        (["7", "8"], {"1": 7, "0": 8}, ["8", "7"]),
    ],
)
def test_classes_are_numbers_or_names_by_index(
    folders: list[str], classes: object, order: list[str], tmp_path: Path
) -> None:
    name = described(tmp_path, folders, classes=classes)
    assert labels_of(name, tmp_path) == {folder: index for index, folder in enumerate(order)}
    assert registry.load_dataset(name).classes == tuple(order)


def test_names_are_read_as_they_are_written(tmp_path: Path) -> None:
    """Of YAML's other types: null, truth values, numbers in other forms, dates."""
    names = ["null", "~", "true", "no", "0x10", "1e3", "2020-01-01", "007", "1.50", ".inf"]
    written = ", ".join(names)
    grow(tmp_path, official({"2020": dict.fromkeys(["16", "a", "1000"], 1)}))
    file = tmp_path / "shop.yaml"
    file.write_text(f"domains: {{2020: 2020}}\nclasses: [{written}, 16, a, 1000]\nnames: {{a: 0x1F, 16: 1e2}}")
    dataset = registry.load_dataset(str(file))
    assert dataset.classes == (*names, "1e2", "0x1F", "1000")
    assert [sample.label for sample in dataset.samples("2020", tmp_path)] == [12, 10, 11]
    file.write_text("domains: {2020: 2020}\nnames: {16: x, 016: y}")
    assert "names has a class twice" in refusal(registry.load_dataset, str(file))
    file.write_text("domains: {2020: 2020}\nclasses:\n- a\n-")
    assert "classes=None: input should be a valid string" in refusal(registry.load_dataset, str(file))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"classes": ["cup", ""]}, "classes='': string should have at least 1 character"),
        ({"classes": {0: "cup", 2: "lamp"}}, "classes has no index 1; number them from 0 to 1"),
        ({"classes": {"cup": 0, "lamp": 1}}, "classes must be a list, or index: name"),
        ({"classes": ["cup", "lamp", "cup"]}, "class 'cup' is listed twice"),
        ({"classes": ["cup", "Lamp"]}, "phone/lamp is not one of the classes"),
        ({"ignore": ["lmap"]}, "ignore has 'lmap', which is none of the classes that were found; correct it"),
        ({"names": {"cpu": "a cup"}}, "names has 'cpu', which is none of the classes"),
        ({"names": {"cup": "lamp"}}, "names calls two classes 'lamp'"),
    ],
)
def test_a_wrong_list_is_refused(content: dict[str, object], message: str, tmp_path: Path) -> None:
    assert message in refusal(registry.load_dataset, described(tmp_path, ["cup", "lamp"], 1, **content))


def test_a_class_can_be_left_out(tmp_path: Path) -> None:
    """As one for all that the teacher does not know."""
    name = described(tmp_path, ["cup", "lamp", "unknown"], classes=["lamp", "cup"])
    assert "phone/unknown is not one of the classes; add it to them, leave it out with ignore: [unknown]" in refusal(
        registry.load_dataset, name
    )
    for classes in ({"classes": ["lamp", "cup"]}, {"classes": ["lamp", "unknown", "cup"]}, {}):
        dataset = registry.load_dataset(
            described(
                tmp_path / str(len(classes.get("classes", ()))),
                ["cup", "lamp", "unknown"],
                ignore=["unknown"],
                **classes,
            )
        )
        assert isinstance(dataset, OwnDataset)
        assert sorted(dataset.classes) == ["cup", "lamp"]
        assert dataset.scan("phone").ignored == {"class unknown": 10}
        assert {image.label for image in dataset.scan("phone").images} == {"cup", "lamp"}


@pytest.mark.parametrize(("ignore", "classes"), [(["0"], ("1", "2", "3")), (["2"], ("0", "1", "3"))])
def test_an_index_can_be_left_out(tmp_path: Path, ignore: list[str], classes: tuple[str, ...]) -> None:
    grow(tmp_path, [f"{index}.jpg" for index in range(8)])
    (tmp_path / "phone.txt").write_text("".join(f"{index}.jpg {index % 4}\n" for index in range(8)))
    dataset = registry.load_dataset(str(write(tmp_path / "a.yaml", domains={"phone": "phone.txt"}, ignore=ignore)))
    assert dataset.classes == classes
    found = {sample.path: dataset.classes[sample.label] for sample in dataset.samples("phone", tmp_path)}
    assert found == {f"phone/{i}.jpg": str(i % 4) for i in range(8) if str(i % 4) not in ignore}
    assert dataset.scan("phone").ignored == {f"class {ignore[0]}": 2}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("numbers", "classes"),
    [
        ((100, 20, 10, 50), ("10", "20", "50", "100")),
        ((2020, 2019), ("2019", "2020")),
        ((0, 10**12), ("0", str(10**12))),
        ((0, 1, 2, 99), ("0", "1", "2", "99")),
        ((0, 1, 4, 5), ("0", "1", "2", "3", "4", "5")),
        ((1, 2), ("0", "1", "2")),
    ],
)
def test_numbers_that_leave_most_indices_out_are_names(
    tmp_path: Path, numbers: tuple[int, ...], classes: tuple[str, ...]
) -> None:
    grow(tmp_path, [f"{index}.jpg" for index in range(8)])
    labels = [str(numbers[index % len(numbers)]) for index in range(8)]
    (tmp_path / "phone.txt").write_text("".join(f"{index}.jpg {label}\n" for index, label in enumerate(labels)))
    dataset = registry.load_dataset(str(write(tmp_path / "a.yaml", domains={"phone": "phone.txt"})))
    assert isinstance(dataset, OwnDataset)
    assert dataset.classes == classes
    found = {sample.path: classes[sample.label] for sample in dataset.samples("phone", tmp_path)}
    assert found == {f"phone/{index}.jpg": label for index, label in enumerate(labels)}
    said = f"a: the numbers {', '.join(classes)} are names of classes; if they are indices, list all under classes:"
    assert any(said in remark for remark in dataset.remarks()) == (len(classes) == len(numbers))


@pytest.mark.parametrize(
    ("content", "classes", "labels"),
    [
        ({"classes": [f"c{index}" for index in range(30)]}, 30, [10, 20, 29]),
        ({"classes": {index: f"c{index}" for index in range(30)}}, 30, [10, 20, 29]),
        ({"classes": list(range(30))}, 30, [10, 20, 29]),
        ({"classes": [29, 10, 20]}, 3, [1, 2, 0]),
        ({"ignore": [29]}, 2, [0, 1]),
        ({"names": {10: "cup"}, "teacher_classes": [10, 20, 29]}, 3, [0, 1, 2]),
    ],
)
def test_what_numbers_are_the_listed_classes_say(
    tmp_path: Path, content: dict[str, object], classes: int, labels: list[int]
) -> None:
    grow(tmp_path, [f"{index}.jpg" for index in range(3)])
    (tmp_path / "phone.txt").write_text("0.jpg 10\n1.jpg 20\n2.jpg 29\n")
    dataset = registry.load_dataset(str(write(tmp_path / "a.yaml", domains={"phone": "phone.txt"}, **content)))
    assert isinstance(dataset, OwnDataset)
    assert len(dataset.classes) == classes
    assert [sample.label for sample in dataset.samples("phone", tmp_path)] == labels
    assert dataset.is_indexed == ("c1" in dataset.classes)
    assert any(" are names of classes" in remark for remark in dataset.remarks()) == ("classes" not in content)


def test_of_numbers_that_are_names_each_list_has_all(tmp_path: Path) -> None:
    """As of other names; beside them -1 is no class."""
    grow(tmp_path, [f"{index}.jpg" for index in range(6)])
    (tmp_path / "phone.txt").write_text("0.jpg 10\n1.jpg 20\n2.jpg 29\n")
    (tmp_path / "studio.txt").write_text("3.jpg 10\n4.jpg 20\n")
    domains = {"phone": "phone.txt", "studio": "studio.txt"}
    name = str(write(tmp_path / "a.yaml", domains=domains))
    assert "list all under classes:" in refusal(registry.load_dataset, name)
    write(tmp_path / "a.yaml", domains=domains, classes=[10, 20, 29])
    assert registry.load_dataset(name).classes == ("10", "20", "29")
    (tmp_path / "studio.txt").write_text("3.jpg 10\n4.jpg 20\n5.jpg -1\n")
    write(tmp_path / "a.yaml", domains=domains)
    assert "have the class -1 beside" in refusal(registry.load_dataset, name)
    write(tmp_path / "a.yaml", domains=domains, ignore=[29, -1])
    assert registry.load_dataset(name).classes == ("10", "20")


@pytest.mark.parametrize("count", [3, 12])
def test_a_negative_number_beside_indices_is_no_class(tmp_path: Path, count: int) -> None:
    """As of images without one; ten and more indices stay in their order."""
    grow(tmp_path, [f"{index}.jpg" for index in range(2 * count + 2)])
    labels = [*range(count), -1, *range(count), -1]
    (tmp_path / "phone.txt").write_text("".join(f"{index}.jpg {label}\n" for index, label in enumerate(labels)))
    name = str(write(tmp_path / "a.yaml", domains={"phone": "phone.txt"}))
    message = refusal(registry.load_dataset, name)
    assert "phone.txt: 2 images have the class -1 beside indices of classes, as if they had none; remove" in message
    assert message.endswith("write ignore: [-1], or list all under classes: if it is a class")
    write(tmp_path / "a.yaml", domains={"phone": "phone.txt"}, ignore=["-1"])
    dataset = registry.load_dataset(name)
    assert dataset.classes == tuple(map(str, range(count)))
    assert {int(x.path.split("/")[1][:-4]): x.label for x in dataset.samples("phone", tmp_path)} == {
        index: label for index, label in enumerate(labels) if label >= 0
    }
    assert dataset.scan("phone").ignored == {"class -1": 2}  # type: ignore[attr-defined]
    write(tmp_path / "a.yaml", domains={"phone": "phone.txt"}, classes=[*range(count), -1])
    assert registry.load_dataset(name).classes == (*map(str, range(count)), "-1")


@pytest.mark.parametrize(("labels", "said"), [(("1", "-1"), False), (("low", "-1"), False), (("-1", "-2"), True)])
def test_negative_numbers_alone_are_classes_and_counted_as_people_do(
    tmp_path: Path, labels: tuple[str, str], said: bool
) -> None:
    grow(tmp_path, [f"{index}.jpg" for index in range(4)])
    (tmp_path / "phone.txt").write_text("".join(f"{index}.jpg {labels[index % 2]}\n" for index in range(4)))
    dataset = registry.load_dataset(str(write(tmp_path / "a.yaml", domains={"phone": "phone.txt"})))
    assert isinstance(dataset, OwnDataset)
    assert dataset.classes == tuple(sorted(labels))
    assert any("counted by people they are -2, -1: write" in remark for remark in dataset.remarks()) == said
    assert len(dataset.remarks()) == said


def test_a_class_of_indices_is_left_out_by_its_name(tmp_path: Path) -> None:
    grow(tmp_path, [f"{index}.jpg" for index in range(8)])
    (tmp_path / "phone.txt").write_text("".join(f"{index}.jpg {index % 4}\n" for index in range(8)))
    names = {0: "cup", 1: "junk", 2: "lamp", 3: "phone"}
    content: dict[str, object] = {"domains": {"phone": "phone.txt"}, "classes": names, "ignore": ["junk"]}
    dataset = registry.load_dataset(str(write(tmp_path / "a.yaml", **content)))
    assert dataset.classes == ("cup", "lamp", "phone")
    found = {sample.path: dataset.classes[sample.label] for sample in dataset.samples("phone", tmp_path)}
    assert found == {f"phone/{i}.jpg": names[i % 4] for i in range(8) if i % 4 != 1}


def test_a_listed_class_needs_no_image(tmp_path: Path) -> None:
    """So that a teacher of more classes keeps its outputs; labels are counted where there are images."""
    name = described(tmp_path, ["cup", "lamp"], classes=["cup", "zebra", "lamp"])
    plan = make_plan({**TINY, "dataset": name, "setting": "S-P", "shots": 2}, data_root=tmp_path / "root")
    assert sorted(plan.access.labelled.labels) == [0, 0, 2, 2]
    record = execute(plan, tmp_path / "runs", quiet)
    assert (record.status, record.classes) == ("done", 3), record.error
    assert "has no folder for class 'zebra'" in refusal(_with_a_folder_in_one_domain, tmp_path)


def _with_a_folder_in_one_domain(folder: Path) -> None:
    (folder / "images" / "studio" / "zebra").mkdir()
    registry.load_dataset(str(write(folder / "all.yaml", domains={"s": "images/studio", "p": "images/phone"})))


def test_two_spellings_of_an_accent_are_one_class(tmp_path: Path) -> None:
    name = described(tmp_path, [unicodedata.normalize("NFD", "café"), "tea"], classes=["tea", "café"])
    assert registry.load_dataset(name).classes == ("tea", "café")
    assert sorted(labels_of(name, tmp_path).values()) == [0, 1]


def test_an_order_that_people_count_otherwise_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = described(tmp_path, [str(number) for number in range(1, 13)], 6)
    for seed in (0, 1):
        plan = make_plan({**TINY, "dataset": name, "setting": "S-P", "seed": seed}, data_root=tmp_path / "root")
        execute(plan, tmp_path / "runs", quiet)
    line = "shop: the classes are in alphabetical order, 1, 10, 11, 12, 2, 3, ...; counted by people they are 1, 2, 3, "
    assert capsys.readouterr().err.count(line + "4, 5, 6, ...: write your teacher's order under classes:") == 1
    for classes in ([*range(1, 13)], sorted(map(str, range(1, 13)))):
        write(tmp_path / "listed.yaml", domains={"phone": "images/phone"}, classes=classes)
        dataset = registry.load_dataset(str(tmp_path / "listed.yaml"))
        assert isinstance(dataset, OwnDataset)
        assert dataset.remarks() == []


def test_other_names_can_be_shown(tmp_path: Path) -> None:
    name = described(tmp_path, ["n01", "n02"], names={"n01": "cup"})
    plain = labels_of(str(write(tmp_path / "plain.yaml", domains={"phone": "images/phone"})), tmp_path)
    assert labels_of(name, tmp_path) == plain
    plan = make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path / "root")
    record = execute(plan, tmp_path / "runs", quiet)
    student = (tmp_path / "runs" / record.key / "student.safetensors").read_bytes()
    assert unpack(student).card.classes == ("cup", "n02")
