"""Your own folders as a data set: what a YAML file may say, and what it may not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml
from PIL import Image
from trees import grow, official

from okdbench import registry
from okdbench.errors import UserError
from okdbench.grid import Grid, plans_of
from okdbench.material import Shelf
from okdbench.plan import make_plan
from okdbench.progress import quiet
from okdbench.runner import execute

DOMAINS = {"studio": "pictures/studio", "phone": "pictures/phone"}
CLASSES = ("cup", "lamp", "pen")
TINY = {"budget": "smoke", "teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two domains of three classes beside a file that describes them."""
    counts = {domain: dict.fromkeys(CLASSES, 10) for domain in ("studio", "phone")}
    grow(tmp_path / "pictures", official(counts))
    return write(tmp_path / "shop.yaml", domains=DOMAINS)


def write(file: Path, **content: object) -> Path:
    file.write_text(yaml.safe_dump(content))
    return file


def test_two_lines_are_enough(shop: Path, tmp_path: Path) -> None:
    dataset = registry.load_dataset(str(shop))
    assert (dataset.name, dataset.classes) == ("shop", CLASSES)
    assert (dataset.domains, dataset.settings) == ({"S": "studio", "P": "phone"}, ("S-P", "P-S"))
    assert len(dataset.samples("phone", tmp_path)) == 30
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P"}
    record = execute(make_plan(values, data_root=tmp_path / "root"), tmp_path / "runs", quiet)
    assert (record.status, record.dataset, record.setting) == ("done", "shop", "S-P")


def test_the_run_is_the_same_from_wherever_the_file_is_named(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = set()
    for folder, name in ((tmp_path, "shop.yaml"), (tmp_path.parent, str(shop))):
        monkeypatch.chdir(folder)
        values = {**TINY, "method": "kd", "dataset": name, "setting": "S-P"}
        keys.add(make_plan(values, data_root=tmp_path / "root").key)
    assert len(keys) == 1


@pytest.mark.usefixtures("shop")
def test_classes_may_be_put_in_the_teachers_order(tmp_path: Path) -> None:
    file = write(tmp_path / "other.yaml", domains=DOMAINS, classes=["pen", "cup", "lamp"], settings=["P-S"], flip=False)
    dataset = registry.load_dataset(str(file))
    assert dataset.settings == ("P-S",)
    assert not dataset.flip
    labels = {sample.path.split("/")[1]: sample.label for sample in dataset.samples("phone", tmp_path)}
    assert labels == {"pen": 0, "cup": 1, "lamp": 2}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "domains"),
        ({"domains": {"studio": "pictures/studio"}}, "domains"),
        ({"domains": {"studio": "pictures/studio", "phone": "pictures/phon"}}, "there is no folder .*phon"),
        ({"domains": {"studio": "pictures/studio", "phone": "pictures"}, "clases": []}, "did you mean 'classes'"),
        ({"domains": {"studio": "pictures/studio", "phone": "pictures/phone/cup"}}, "holds no class folders"),
        ({"domains": {"studio": "pictures/studio", "shop": "pictures/phone"}}, "begin alike; name their letters"),
        ({"domains": DOMAINS, "letters": {"S": "studio"}}, "one letter"),
        ({"domains": DOMAINS, "classes": ["cup", "lamp", "pen", "cup"]}, "'cup' and 'cup' are one"),
        ({"domains": DOMAINS, "classes": ["cup", "lamp"]}, "phone/pen is none of the classes"),
        ({"domains": DOMAINS, "classes": ["cup", "lamp", "pen", "zebra"]}, "has no class 'zebra'"),
        ({"domains": {"studio": "pictures/studio", "phone": "pictures/studio"}}, "lies in the folder of"),
        ({"domains": {"studio": "pictures", "phone": "pictures/phone"}}, "lies in the folder of"),
        ({"domains": DOMAINS, "settings": ["S-X"]}, "no domain has the letter 'X'"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_mistake_is_named_with_the_file(content: dict[str, object], reason: str, tmp_path: Path) -> None:
    file = write(tmp_path / "mistake.yaml", **content)
    with pytest.raises(UserError, match=reason) as caught:
        registry.load_dataset(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("shop")
def test_a_file_may_not_be_called_like_what_comes_along(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the file another name"):
        registry.load_dataset(str(write(tmp_path / "digits.yaml", domains=DOMAINS)))


def test_two_files_of_one_name_are_two_data_sets(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "pictures", tmp_path / "b" / "pictures")
    shutil.rmtree(tmp_path / "b" / "pictures" / "phone" / "cup")
    (tmp_path / "b" / "pictures" / "phone" / "cup").mkdir()
    other = write(tmp_path / "b" / "shop.yaml", domains=DOMAINS)
    shelf, digests = Shelf(), set()
    for file in (shop, other):
        values = {**TINY, "method": "kd", "dataset": str(file), "setting": "S-P"}
        digests.add(make_plan(values, data_root=tmp_path / "root", load=shelf).material.digest)
    assert len(digests) == 2
    grid = Grid("kd", f"{shop},{other}", "S-P", None, None, [], {}, None)
    with pytest.raises(UserError, match="two of them have one name"):
        list(plans_of(grid, tmp_path / "root"))


def test_too_few_pictures_for_the_splits_are_told(tmp_path: Path) -> None:
    grow(tmp_path / "pictures", official({domain: dict.fromkeys(CLASSES, 3) for domain in ("studio", "phone")}))
    file = write(tmp_path / "few.yaml", domains=DOMAINS)
    with pytest.raises(UserError, match="phone has too few pictures for its val split"):
        make_plan({**TINY, "method": "kd", "dataset": str(file), "setting": "S-P"}, data_root=tmp_path / "root")


def test_a_picture_that_cannot_be_read_is_named(shop: Path, tmp_path: Path) -> None:
    picture = tmp_path / "pictures" / "phone" / "cup" / "00003.jpg"
    picture.unlink()
    picture.write_bytes(b"")
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P"}
    with pytest.raises(UserError, match=r"cannot read the picture .*00003\.jpg"):
        make_plan(values, data_root=tmp_path / "root")
    Image.new("RGB", (9, 9)).save(picture)
    assert make_plan(values, data_root=tmp_path / "root").material.student_train.digest
