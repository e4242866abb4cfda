"""Frames, slices and versions of one thing are pointed out by their names, with the groups that keep them together."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.dataset_trees import grow
from support.own_images import write
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.named_groups import unsaid_groups
from okdbench.data.own_domain import OwnImage
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

CLASSES = ("cup", "lamp")
FORMS = {
    "{c}/vid{i:03d}_frame_{j:04d}.png": "vid",
    "{c}/aug_{i}_4821{j}4.png": "aug_",
    "{c}/{c}_{i}_4821{j}4.jpg": "cup_",
    "{c}/patient{i:03d}/slice_{j:02d}.png": "patient",
    "{c}/CNV-1016{i}-{j}.jpeg": "CNV-1016",
    "{c}/person{i}_virus_{j}.jpeg": "person",
    "{c}/site1_person{i}_2021030{j}.jpeg": "site1_person",
    "all/patient{i}/{c}{j}.png": "patient",
    "{c}/obj{i}_left{j}.png": "obj",
    "{c}/2021/patient{i}/{j}.png": "patient",
    "{c}/2021-03-01/vid{i}_{j}.png": "vid",
    "{c}/patient{i}/patient{i}_{j}.png": "patient",
    "{c}/COCO_val2014_00000031234{i}_{j}.jpg": "COCO_val2014_00000031234",
    "{c}/1a2b3c{i}{j}-vid0{i}_frame001{j}.jpg": "vid0",
    "{c}/IMG_20230110_10100{i}_BURST00{j}.jpg": "IMG_20230110_10100",
    "{c}/20230110T10100{i}-{j}.jpg": "20230110T10100",
}


def images_of(form: str, groups: int = 4, shots: int = 3) -> list[OwnImage]:
    """Images of two classes, of several groups in each."""
    return [
        OwnImage(path := form.format(c=label, i=groups * number + index, j=shot), Path(path), label)
        for number, label in enumerate(CLASSES)
        for index in range(groups)
        for shot in range(shots)
    ]


def groups_in(line: str) -> str:
    """The pattern that a remark proposes."""
    found = re.search("groups: '(.+)'$", line)
    assert found
    return found[1]


@pytest.mark.parametrize("form", FORMS)
def test_images_of_one_thing_are_known_by_their_names(form: str, tmp_path: Path) -> None:
    """The pattern gives these groups where it is written into the file, and nothing more is to be said then."""
    line = unsaid_groups(images_of(form))
    assert line.startswith("by their paths 8 groups of images may each be of one thing, such as ")
    if form.startswith("{c}"):  # folders of classes
        grow(tmp_path / "photos", [image.path for image in images_of(form)])
        plain = write(tmp_path / "plain.yaml", domains={"photos": "photos"})
        assert f"plain: {line}" in CliRunner().invoke(app, ["data", "check", str(plain)]).stdout
        cured = registry.load_dataset(
            str(write(tmp_path / "cured.yaml", groups=groups_in(line), domains={"p": "photos"}))
        )
        assert isinstance(cured, OwnDataset)
        names = {image.group for image in cured.scan("p").images}
        assert (len(names), min(names).startswith(FORMS[form])) == (8, True)
        assert not cured.remarks()


@pytest.mark.parametrize(
    "form",
    [
        "{c}/img_{i}{j}.png",
        "{c}/n0144{c}3_10{i}{j}.jpeg",
        "{c}/1_00{i}{j}.png",
        "{c}/{i}{j}_100.png",
        "{c}/{i}{j}ab-4f3a.png",
        "{c}/IMG_2021030{i}_1200{j}.jpg",
        "{c}/2021-0{i}-01/{j}.jpg",
        "{c}/2021-0{i}-01 12.3{j}.jpg",
        "{c}/front/{i}{j}.jpg",
        "{c}/{i}{j}.jpg",
        "{c}/201{i}/{j}.jpg",
        "{c}/IMG_2021010{i}10100{j}.jpg",
        "{c}/1a2b3c4{j}-img_{i}{j}.jpg",
        "{c}/2023010{i}_000{j}.jpg",
        "{c}/n0208562{i}/{j}0.JPEG",
        "{c}/n0208562{i}_{j}0.JPEG",
        "images_00{i}/images/{c}{j}.png",
        "{c}/part_{i}/{j}0.png",
        "{c}/set{i}_00{j}.jpg",
        "{c}/{i}00px-Cat{j}.jpg",
        "{c}/201{i}_00{j}.jpg",
        "{c}/2019-0{i}_00{j}.jpg",
        "{c}/2023010{i}_IMG_000{j}.jpg",
        "{c}/2023010{i}-10h0{j}.jpg",
        "{c}/201{i}/0{j}/a.jpg",
        "{c}/0{i}-03-2023_101{j}.jpg",
        "{c}/00{i}/00{i}0{j}7.jpg",
        "images/a{i}/a{i}27{j}f.jpg",
        "images/a/{i}b/a{i}b27{j}f.jpg",
        "img/00{i}/{j}{i}00.jpg",
    ],
)  # fmt: skip
def test_counters_classes_and_days_are_no_things(form: str) -> None:
    assert unsaid_groups(images_of(form)) == ""


def test_a_class_and_its_number_are_no_things() -> None:
    assert unsaid_groups(images_of("{c}/vid{i}_{j}.png", groups=1, shots=9)) == "", "one group in each class"
    assert unsaid_groups(images_of("{c}/vid{i}_{j}.png", groups=2, shots=9)) == "", "fewer groups than folds"
    several = [f"{label}/{number}{kind}.png" for label in CLASSES for number in range(9) for kind in ("", "_flip")]
    assert unsaid_groups([OwnImage(path, Path(path), path.split("/")[0]) for path in several]) == "", "versions"


KINDS = ("beagle", "poodle", "pug", "boxer", "husky", "collie")


@pytest.mark.parametrize("form", ["{c}/{k}/{j}.jpg", "{c}/{k}/cat_{j}.jpg", "{c}/{k}/cat.{j}.jpg"])
def test_kinds_in_a_class_are_no_things(form: str) -> None:
    """And each of them may count from 1."""
    paths = [form.format(c=label, k=kind, j=number) for label in CLASSES for kind in KINDS for number in range(9)]
    images = [OwnImage(path, Path(path), path.split("/")[0]) for path in paths]
    assert unsaid_groups(images) == ""
    patients = [image._replace(path=re.sub("/(?=[a-z]+/)", "/patient_", image.path)) for image in images]
    assert "6 groups of images may each be of one thing, such as patient_" in unsaid_groups(patients)


def test_a_group_of_most_images_of_a_class_is_divided_further_where_names_do() -> None:
    def said(shots: int) -> str:
        names = [f"cup/{'CUP2-' * (i > 3)}IM-{i:04d}-{j}.jpg" for i in range(12) for j in range(shots)]
        return unsaid_groups([OwnImage(name, Path(name), "cup") for name in names])

    assert "such as CUP2-IM-0004 with cup/CUP2-IM-0004-0.jpg, cup/CUP2-IM-0004-1.jpg; if so" in said(shots=2)
    assert "such as CUP2 with 8 of 12 images of cup, cup/CUP2-IM-0004-0.jpg" in said(shots=1)
    divided = [f"cup/{'CUP2-' * (i > 3)}IM-{i:04d}-0.jpg" for i in range(12)]
    parts = [OwnImage(name, Path(name), "cup", "test" if i % 2 else "train") for i, name in enumerate(divided)]
    assert unsaid_groups(parts) == ""


@pytest.mark.parametrize("form", ["{c}/{k}/000{j}.jpg", "{c}/{k}_000{j}.jpg", "{c}/{k} ({j}).jpg"])
def test_persons_without_a_number_are_more_than_kinds_with_fewer_images(form: str) -> None:
    images = [
        OwnImage(path := form.format(c=label, k=f"{name}_{label.title()}", j=number), Path(path), label)
        for label in CLASSES
        for name in ("Ada", "Ann", "Eve", "Ida", "Lea", "Mia", "Uma", "Zoe")
        for number in range(4)
    ]
    line = unsaid_groups(images)
    assert "16 groups of images may each be of one person, such as Ada_Cup with cup/Ada_Cup" in line
    assert re.compile(groups_in(line)).search(images[-1].path)
    assert unsaid_groups([image for image in images if "Ann" not in image.path]) == "", "so few may be kinds"
    alike = [image._replace(path=re.sub("_Cup|_Lamp", "", image.path)) for image in images]
    assert unsaid_groups(alike) == "", "styles, which all classes have"


@pytest.mark.parametrize("form", ["{p}/{c}/00{j}.png", "{p}/{c}/{c}_{j}.jpg", "{p}/{c}/{c}.{j}.jpg"])
@pytest.mark.parametrize("divided", [True, False])
def test_parts_that_each_count_from_1_have_no_groups(form: str, divided: bool) -> None:
    images = [
        OwnImage(path := form.format(p=part, c=label, j=number), Path(path), label, part if divided else "")
        for part in ("train", "val", "test")
        for label in CLASSES
        for number in range(8)
    ]
    assert unsaid_groups(images) == ""


def test_of_images_that_the_user_has_divided_groups_in_two_parts_are_named() -> None:
    images = images_of("{c}/vid{i}_{j}.png")
    moved = [image._replace(part="test" if "3_" in image.path else "train") for image in images]
    assert unsaid_groups(moved) == ""
    line = unsaid_groups([image._replace(part="test") if "2_0" in image.path else image for image in moved])
    assert "that may each be of one thing are in several parts (1), such as vid2 in test and train with" in line
    assert line.endswith(" cup/vid2_0.png, cup/vid2_1.png; if so, move each into one part")


@pytest.mark.parametrize("form", ["{c}/0000000{i}_00{j}.png", "{c}/00000031234{i}_{j}.jpg", "{c}/1a2b3c4{i}_{j}.png"])
def test_what_is_rightly_divided_by_its_number_is_not_taken_for_an_upload(form: str) -> None:
    images = [image._replace(part="test" if index % 12 < 3 else "train") for index, image in enumerate(images_of(form))]
    assert unsaid_groups(images) == ""


def test_an_age_at_the_beginning_of_names_is_no_thing() -> None:
    """As in UTKFace; frames count from the same number in each thing."""
    names = [
        f"{label}/{20 + i}_{i % 2}_2017010417{i}{j}{label}.jpg" for label in CLASSES for i in range(9) for j in range(4)
    ]
    assert unsaid_groups([OwnImage(name, Path(name), name.split("/")[0]) for name in names]) == ""
    names = [f"{label}/{20 + i}_frame_{j}.jpg" for label in CLASSES for i in range(9) for j in range(4)]
    assert "such as 20 with" in unsaid_groups([OwnImage(name, Path(name), name.split("/")[0]) for name in names])


def test_a_run_says_so_as_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grow(tmp_path / "photos", [image.path for image in images_of("{c}/vid{i}_{j}.png", groups=5)])
    file = write(tmp_path / "plain.yaml", domains={"photos": "photos"})
    values = {"method": "dafl", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}
    execute(make_plan({**values, "dataset": str(file), "setting": "P"}, data_root=tmp_path), tmp_path / "runs", quiet)
    assert "by their paths 10 groups of images may each be of one thing, such as vid0 " in capsys.readouterr().err
