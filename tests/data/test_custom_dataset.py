"""A YAML file of the user as a data set: what it may contain, and what is an error."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from support.dataset_trees import grow, official
from support.error_text import refusal
from support.fake_records import rows
from support.own_images import write
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.core.settings import TaskKind
from okdbench.data.splits import SplitCache
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.store import read_records
from okdbench.sweep.grid import Grid
from okdbench.sweep.plans import plans_of
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

DOMAINS = {"studio": "images/studio", "phone": "images/phone"}
CLASSES = ("cup", "lamp", "pen")
TINY = {"budget": "smoke", "teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two domains of three classes beside a file that describes them."""
    counts = {domain: dict.fromkeys(CLASSES, 10) for domain in ("studio", "phone")}
    grow(tmp_path / "images", official(counts))
    return write(tmp_path / "shop.yaml", domains=DOMAINS)


def test_two_lines_are_enough(shop: Path, tmp_path: Path) -> None:
    dataset = registry.load_dataset(str(shop))
    assert (dataset.name, dataset.classes) == ("shop", CLASSES)
    assert (dataset.domains, dataset.settings) == ({"S": "studio", "P": "phone"}, ("S-P", "P-S"))
    assert len(dataset.samples("phone", tmp_path)) == 30
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P"}
    record = execute(make_plan(values, data_root=tmp_path / "root"), tmp_path / "runs", quiet)
    assert (record.status, record.dataset, record.setting) == ("done", "shop", "S-P")


def test_five_seeds_test_every_image_of_a_folder_once(shop: Path, tmp_path: Path) -> None:
    dataset = registry.load_dataset(str(shop))
    for text in ("S-P", "P-S", "S@P", "P"):
        tested: Counter[str] = Counter()
        for seed in range(5):
            values = {**TINY, "method": "dafl", "dataset": str(shop), "setting": text, "seed": seed}
            splits = make_plan(values, data_root=tmp_path / "root").splits
            assert not set(splits.test.paths) & set(splits.train.paths + splits.val.paths + splits.teacher_train.paths)
            tested.update(splits.test.paths)
        domains = dataset.setting(text).test_domains
        assert tested == Counter(sample.path for domain in domains for sample in dataset.samples(domain, tmp_path))


@pytest.mark.parametrize("track", ["labelled", "semi"])
def test_one_label_per_class_is_enough(shop: Path, tmp_path: Path, track: str) -> None:
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P", "track": track}
    record = execute(make_plan({**values, "shots": 1}, data_root=tmp_path / "root"), tmp_path / "runs", quiet)
    assert (record.status, record.shots, record.track) == ("done", 1, track), record.error
    message = refusal(make_plan, {**values, "shots": 8}, data_root=tmp_path / "root")
    assert message.startswith(
        "--shots 8: the train split has only 7 images of class 'cup'; give at most --shots 7, or "
    )


def test_settings_may_be_written_in_any_spelling(shop: Path, tmp_path: Path) -> None:
    write(shop, domains=DOMAINS, settings=["p-s", "P-S", "s@p"])
    dataset = registry.load_dataset(str(shop))
    assert [dataset.default_settings(task) for task in TaskKind] == [("P-S",), ("S@P",), ("P",)]
    values = {**TINY, "method": "kd", "dataset": str(shop)}
    record = execute(make_plan(values, data_root=tmp_path / "root"), tmp_path / "runs", quiet)
    assert record.setting in record.default_settings


def test_whether_images_are_mirrored_is_a_part_of_the_key(shop: Path, tmp_path: Path) -> None:
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P"}
    mirrored = make_plan(values, data_root=tmp_path / "root").key
    write(shop, **yaml.safe_load(shop.read_text()), flip=False)
    assert make_plan(values, data_root=tmp_path / "root").key != mirrored


def test_the_run_is_the_same_wherever_the_file_is_named_from(
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
    assert dataset.augmentation == dataset.teacher_augmentation == ("shift",)
    labels = {sample.path.split("/")[1]: sample.label for sample in dataset.samples("phone", tmp_path)}
    assert labels == {"pen": 0, "cup": 1, "lamp": 2}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({}, "domains"),
        ({"domains": {}}, "domains"),
        ({"domains": {"studio": "images/studio", "phone": "images/phon"}}, "there is no folder .*phon"),
        ({"domains": {"studio": "images/studio", "phone": "images"}, "clases": []}, "did you mean 'classes'"),
        ({"domains": {"studio": "images/studio", "phone": "images/phone/cup"}}, "has no class folders"),
        (
            {"domains": {"studio": "images/studio", "shop": "images/phone"}},
            "start with the same letter; choose",
        ),
        ({"domains": DOMAINS, "letters": {"S": "studio"}}, "one letter"),
        ({"domains": DOMAINS, "letters": {"S": "studio", "@": "phone"}}, r"one letter, such as \{A: phone\}"),
        ({"domains": DOMAINS, "unlabelled": ["studio", "phone"]}, "every domain is unlabelled"),
        ({"domains": DOMAINS, "unlabelled": ["phone"], "settings": ["S-P"]}, r"only .* transfers from, as in S@P"),
        ({"domains": DOMAINS, "classes": ["cup", "lamp", "pen", "cup"]}, "'cup' is listed twice"),
        ({"domains": DOMAINS, "classes": ["cup", "lamp"]}, "phone/pen is not one of the classes"),
        ({"domains": {"studio": "images/studio", "phone": "images/studio"}}, "is inside the folder of"),
        ({"domains": {"studio": "images", "phone": "images/phone"}}, "is inside the folder of"),
        (
            {"path": "images", "train": "studio", "val": "phone", "names": {0: "cup"}},
            r"is a data.yaml of Ultralytics, which is not read; write another file with domains: \{photos: FOLDER\}",
        ),
        ({"domains": DOMAINS, "settings": ["S-X"]}, "no domain has the letter 'X'"),
    ],
)
@pytest.mark.usefixtures("shop")
def test_a_mistake_is_reported_with_the_file(content: dict[str, object], reason: str, tmp_path: Path) -> None:
    file = write(tmp_path / "mistake.yaml", **content)
    with pytest.raises(UserError, match=reason) as caught:
        registry.load_dataset(str(file))
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("shop")
def test_a_file_may_not_have_the_name_of_a_bundled_data_set(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give the file another name"):
        registry.load_dataset(str(write(tmp_path / "digits.yaml", domains=DOMAINS)))


def test_two_files_of_one_name_are_two_data_sets(shop: Path, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "images", tmp_path / "b" / "images")
    shutil.rmtree(tmp_path / "b" / "images" / "phone" / "cup")
    (tmp_path / "b" / "images" / "phone" / "cup").mkdir()
    other = write(tmp_path / "b" / "shop.yaml", domains=DOMAINS)
    cache, digests = SplitCache(), set()
    for file in (shop, other):
        values = {**TINY, "method": "kd", "dataset": str(file), "setting": "S-P"}
        digests.add(make_plan(values, data_root=tmp_path / "root", load=cache).splits.digest)
    assert len(digests) == 2
    grid = Grid(["kd"], [str(shop), str(other)], ["S-P"])
    with pytest.raises(UserError, match="two of them have one name"):
        list(plans_of(grid, tmp_path / "root"))


def test_too_few_images_for_the_splits_are_an_error(tmp_path: Path) -> None:
    grow(tmp_path / "images", official({domain: dict.fromkeys(CLASSES, 1) for domain in ("studio", "phone")}))
    file = write(tmp_path / "few.yaml", domains=DOMAINS)
    values = {**TINY, "method": "kd", "dataset": str(file), "setting": "S-P", "seed": 4}
    with pytest.raises(UserError, match="phone has too few images for its test split of fold 4"):
        make_plan(values, data_root=tmp_path / "root")


@pytest.mark.parametrize("own_classes", [False, True], ids=["no class folders", "classes of its own"])
def test_an_unlabelled_domain_is_only_transferred_from(tmp_path: Path, own_classes: bool) -> None:
    grow(tmp_path / "images", official({"studio": dict.fromkeys(CLASSES, 5)}))
    names = [f"{'sky' if index % 2 else 'sea'}/{index}.jpg" if own_classes else f"{index}.jpg" for index in range(10)]
    grow(tmp_path / "images" / "web", names)
    domains = {"studio": "images/studio", "web": "images/web"}
    file = write(tmp_path / "shop.yaml", domains=domains, unlabelled=["web"])
    dataset = registry.load_dataset(str(file))
    assert [dataset.default_settings(task) for task in TaskKind] == [(), ("S@W",), ()]
    values = {**TINY, "method": "kd", "dataset": str(file)}
    assert execute(make_plan(values, data_root=tmp_path / "root"), tmp_path / "runs", quiet).status == "done"
    made = make_plan(values, data_root=tmp_path / "root")
    assert made.config.setting == "S@W"
    assert len(made.splits.train) == 10
    assert set(made.splits.train.labels) == {-1}
    assert set(made.splits.test.paths) == set(made.splits.teacher_test.paths)
    for text in ("S-W", "-W", "W-S", "W@S", "SW", "W"):
        message = refusal(make_plan, values | {"setting": text})
        assert "web has no labels of these classes" in message
        assert message.endswith("as in S@W")
    plain = write(tmp_path / "plain.yaml", domains=domains)
    assert "unlabelled: [web]" in refusal(registry.load_dataset, str(plain))
    wrong = write(tmp_path / "wrong.yaml", domains=domains, unlabelled=["wbe"])
    assert "unlabelled names 'wbe', which is none of the domains" in refusal(registry.load_dataset, str(wrong))


@pytest.mark.parametrize("unlabelled", [[], ["web"]])
def test_a_domain_without_images_is_named_with_its_folder(shop: Path, tmp_path: Path, unlabelled: list[str]) -> None:
    for name in CLASSES:
        (tmp_path / "web" / name).mkdir(parents=True)
    write(shop, domains=DOMAINS | {"web": "web"}, unlabelled=unlabelled)
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S@W"}
    message = refusal(make_plan, values, data_root=tmp_path / "root")
    assert message.endswith(f"domain 'web': {tmp_path / 'web'} has no images; add some or correct its path")
    for name in ("a.dcm", "b.dcm", "c.npy", "d.parquet", "notes.txt"):
        (tmp_path / "web" / CLASSES[0] / name).write_bytes(b"")
    message = refusal(make_plan, values, data_root=tmp_path / "root")
    assert message.endswith("has no images but .dcm (2), .npy (1), .parquet (1); save the images in these as PNG")


def test_an_image_that_cannot_be_read_is_named(shop: Path, tmp_path: Path) -> None:
    image = tmp_path / "images" / "phone" / "cup" / "00003.jpg"
    image.unlink()
    image.write_bytes(b"")
    values = {**TINY, "method": "kd", "dataset": str(shop), "setting": "S-P"}
    with pytest.raises(UserError, match=r"cannot read the image .*00003\.jpg"):
        make_plan(values, data_root=tmp_path / "root")
    Image.new("RGB", (9, 9)).save(image)
    assert make_plan(values, data_root=tmp_path / "root").splits.train.digest


@pytest.fixture
def phone(shop: Path) -> Path:
    """Only the student's domain, for a user who has the weights of a teacher but not its training images."""
    return write(shop.with_name("phone.yaml"), domains={"phone": "images/phone"})


@pytest.fixture
def weights(tmp_path: Path) -> str:
    torch.manual_seed(0)
    net = build_classifier("test_resnet", len(CLASSES), 32, pretrained=False)
    torch.save(net.state_dict(), tmp_path / "teacher.pt")
    return str(tmp_path / "teacher.pt")


@pytest.mark.parametrize("method", ["augkd", "kd", "dfkd", "teacher"])
def test_a_teacher_without_its_images_is_enough(method: str, phone: Path, weights: str, tmp_path: Path) -> None:
    values = {**TINY, "method": method, "dataset": str(phone), "teacher_weights": weights}
    plan = make_plan(values, data_root=tmp_path / "root")
    record = execute(plan, tmp_path / "runs", quiet)
    assert record.status == "done", record.error
    assert record.setting == "-P"
    assert record.selected is not None
    assert record.teacher_score is not None
    assert (record.selected.retention, record.teacher_score.own_acc) == (None, None)
    row = next(iter(rows(record).values()))
    assert (row.retention, row.acc) == (None, record.selected.evaluation.test.acc)


def test_a_teacher_and_images_without_labels_are_transferred_from(
    shop: Path, weights: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each refusal leads on: no folders, no labels at all, task adapt, a method that cannot transfer."""
    monkeypatch.setenv("OKDBENCH_DATA", str(tmp_path / "root"))
    grow(tmp_path / "web", [f"{index}.jpg" for index in range(10)])
    networks = ["--teacher", "test_resnet", "--student", "test_resnet", "--teacher-weights", weights]
    line = ["run", "--dataset", str(shop), *networks, "--budget", "smoke", "--runs", str(tmp_path / "runs")]

    def said(method: str, setting: str) -> str:
        options = ["--method", method, f"--setting={setting}", "--track", "label-free"]
        return str(CliRunner().invoke(app, [*line, *options]).exception or "")

    cure = "add a domain with a folder per class, on which the student is tested: --setting LABELLED@UNLABELLED"
    write(shop, domains={"web": "web"})
    assert said("kd", "-W").endswith(f"make one per class, or write unlabelled: [web] and {cure}")
    write(shop, domains={"web": "web"}, unlabelled=["web"])
    assert said("kd", "-W").endswith(f"every domain is unlabelled; {cure}")
    write(shop, domains={"web": "web", "studio": "images/studio"}, unlabelled=["web"])
    assert said("augkd", "S-W").endswith("it can only be what a student transfers from, as in S@W")
    assert "only adapt; these do: " in said("augkd", "S@W")
    assert said("kd", "S@W") == ""
    (record,) = read_records(tmp_path / "runs")
    assert (record.status, record.setting, record.track) == ("done", "S@W", "label-free"), record.error


def test_its_command_repeats_it(phone: Path, weights: str, tmp_path: Path) -> None:
    words = ["run", "--method", "kd", "--dataset", str(phone), "--setting", "-P", "--teacher-weights", weights]
    words += [
        "--teacher",
        "test_resnet",
        "--student",
        "test_resnet",
        "--budget",
        "smoke",
        "--runs",
        str(tmp_path / "r"),
    ]
    assert CliRunner().invoke(app, words, env={"OKDBENCH_DATA": str(tmp_path)}).exit_code == 0
    record = next(read_records(tmp_path / "r"))
    assert "--setting=-P" in record.command
    again = CliRunner().invoke(app, [*shlex.split(record.command)[1:], "--runs", str(tmp_path / "r")])
    assert again.exit_code == 0
    assert list(read_records(tmp_path / "r")) == [record]


def test_without_the_teachers_weights_its_images_are_required(phone: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--teacher-weights"):
        make_plan({**TINY, "method": "kd", "dataset": str(phone)}, data_root=tmp_path / "root")
