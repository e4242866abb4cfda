"""``--dataset ./photos``: a folder of domains, of classes, or of parts, without a file that describes it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import ExifTags, Image
from support.dataset_trees import grow, official
from support.error_text import refusal
from support.own_images import write
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.data.custom_dataset import OwnDataset
from okdbench.results.store import read_records
from okdbench.training.plan import make_plan

CLASSES = ("cup", "lamp")
TINY = {"method": "kd", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}


def two_domains(folder: Path) -> Path:
    return grow(folder, official({domain: dict.fromkeys(CLASSES, 10) for domain in ("phone", "studio")}))


@pytest.mark.parametrize("top", ["photos", "photos/photos", "photos/data/images"])
def test_a_folder_of_domains(top: str, tmp_path: Path) -> None:
    two_domains(tmp_path / top)
    dataset = registry.load_dataset(str(tmp_path / "photos"))
    assert (dataset.name, dataset.classes) == ("photos", CLASSES)
    assert (dataset.domains, dataset.settings) == ({"P": "phone", "S": "studio"}, ("S-P", "P-S"))
    assert len(dataset.samples("studio", tmp_path)) == 20


def test_it_gives_the_splits_of_a_file_that_says_the_same(tmp_path: Path) -> None:
    two_domains(tmp_path / "photos")
    file = write(tmp_path / "photos.yaml", domains={"phone": "photos/phone", "studio": "photos/studio"})
    named = [str(tmp_path / "photos"), str(tmp_path / "photos") + "/", str(file)]
    splits = [make_plan({**TINY, "dataset": name, "setting": "S-P"}, data_root=tmp_path).splits for name in named]
    assert len({each.digest for each in splits}) == 1


def test_a_level_above_the_classes_is_no_class(tmp_path: Path) -> None:
    grow(tmp_path / "webcam" / "images", ["cup/1.jpg", "lamp/1.jpg"])
    dataset = registry.load_dataset(str(write(tmp_path / "shop.yaml", domains={"webcam": "webcam"})))
    assert dataset.classes == CLASSES


def test_a_folder_of_lists_beside_that_of_the_images_is_no_class(tmp_path: Path) -> None:
    """As in Food-101; with an image in it, it is one."""
    grow(tmp_path / "food" / "images", ["cup/1.jpg", "lamp/1.jpg"])
    (tmp_path / "food" / "meta").mkdir()
    (tmp_path / "food" / "meta" / "train.txt").write_text("cup/1")
    for name in (write(tmp_path / "shop.yaml", domains={"food": "food"}), tmp_path / "food"):
        assert registry.load_dataset(str(name)).classes == CLASSES
    grow(tmp_path / "food" / "meta", ["1.jpg"])
    file = write(tmp_path / "shop.yaml", domains={"food": "food"})
    assert registry.load_dataset(str(file)).classes == ("images", "meta")


def test_another_shown_name_is_another_run(tmp_path: Path) -> None:
    two_domains(tmp_path)
    keys = set()
    for names in ({}, {"cup": "mug"}, {"cup": "lamp", "lamp": "cup"}):
        file = write(tmp_path / "shop.yaml", domains={"phone": "phone", "studio": "studio"}, names=names)
        keys.add(make_plan({**TINY, "dataset": str(file), "setting": "S-P"}, data_root=tmp_path).key)
    assert len(keys) == 3


@pytest.mark.parametrize(
    ("names", "domain", "classes"),
    [
        (["cup/1.jpg", "lamp/1.jpg"], "photos", CLASSES),
        (["cup/a/1.jpg", "cup/b/1.jpg", "lamp/c/1.jpg"], "photos", CLASSES),
        (["cup/1.jpg", "cup/old/2.jpg", "lamp/1.jpg"], "photos", CLASSES),
        (["train/cup/1.jpg", "train/lamp/1.jpg", "val/cup/1.jpg"], "photos", CLASSES),
        (["phone/cup/1.jpg", "phone/lamp/1.jpg"], "phone", CLASSES),
        (["phone/train/cup/1.jpg", "phone/val/cup/1.jpg"], "phone", ("cup",)),
        (["__MACOSX/cup/1.jpg", ".git/a/1.jpg", "cup/1.jpg", "lamp/1.jpg"], "photos", CLASSES),
    ],
)
def test_a_folder_of_classes_is_one_domain(
    names: list[str], domain: str, classes: tuple[str, ...], tmp_path: Path
) -> None:
    grow(tmp_path / "photos", names)
    dataset = registry.load_dataset(str(tmp_path / "photos"))
    assert (list(dataset.domains.values()), dataset.classes) == ([domain], classes)


def test_domains_of_one_initial_have_letters_of_their_own(tmp_path: Path) -> None:
    grow(tmp_path / "photos", official({name: dict.fromkeys(CLASSES, 1) for name in ("a b", "ab", "a", "b", "1")}))
    assert registry.load_dataset(str(tmp_path / "photos")).domains == {
        "1": "1", "A": "a", "B": "a b", "C": "ab", "D": "b"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["web/1.jpg", "studio/cup/1.jpg"], "web has images and studio has folders, so it is not clear"),
        (["studio/cup/1.jpg", "studio/lamp/1.jpg", "phone/cup/1.jpg"], "domain 'phone' has no folder for class 'lamp'"),
        (["1.jpg", "2.jpg"], "has no class folders; make one per class"),
    ],
)
def test_an_unclear_folder_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    grow(tmp_path / "photos", names)
    assert message in refusal(registry.load_dataset, str(tmp_path / "photos"))


def test_bundled_names_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_domains(tmp_path / "digits")
    monkeypatch.chdir(tmp_path)
    assert registry.load_dataset("digits").domains["M"] == "mnist"
    assert "give the file another name" in refusal(registry.load_dataset, "./digits")
    assert registry.is_own_dataset("./digits")
    assert not registry.is_own_dataset("digits")


def test_a_run_and_the_check_take_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_domains(tmp_path / "my photos")
    monkeypatch.chdir(tmp_path)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in TINY.items()]
    result = CliRunner().invoke(app, ["run", *words, "--dataset", "my photos", "--data-root", "root"])
    assert result.exit_code == 0, result.output
    assert "my photos: domains P = phone, S = studio; classes cup, lamp" in result.stderr
    assert {record.dataset for record in read_records(tmp_path / "runs")} == {"my photos"}
    checked = CliRunner().invoke(app, ["data", "check", "my photos", "--data-root", "root"])
    assert "phone: 20 images, 2 classes" in checked.stdout


def test_a_link_to_the_folder_itself_is_no_class(tmp_path: Path) -> None:
    grow(tmp_path / "photos", [f"{label}/1.jpg" for label in CLASSES])
    (tmp_path / "photos" / "loop").symlink_to(tmp_path / "photos")
    dataset = registry.load_dataset(str(tmp_path / "photos"))
    assert isinstance(dataset, OwnDataset)
    assert dataset.classes == CLASSES
    assert dataset.scan("photos").ignored == {"links to a folder above": 1}


def test_a_path_of_windows_is_read(tmp_path: Path) -> None:
    two_domains(tmp_path / "my photos")
    file = write(tmp_path / "own.yaml", domains={"studio": r".\my photos\studio"})
    assert registry.load_dataset(str(file)).classes == CLASSES
    missing = write(tmp_path / "none.yaml", domains={"studio": r".\gone"})
    assert f"there is no folder {tmp_path / 'gone'}; correct its path" in refusal(registry.load_dataset, str(missing))


@pytest.mark.parametrize("domains", [["studio", "phone"], "studio"])
def test_what_is_no_mapping_of_domains_is_refused_with_an_example(domains: object, tmp_path: Path) -> None:
    file = write(tmp_path / "own.yaml", domains=domains)
    assert "such as domains: {studio: images/studio}" in refusal(registry.load_dataset, str(file))


def test_a_list_in_place_of_a_data_set_is_named_as_one() -> None:
    message = "lists/na.csv is a list; name it in a YAML file, domains: {photos: na.csv}, and give that"
    assert refusal(registry.load_dataset, "lists/na.csv") == message


def test_runs_that_okdbench_left_beside_the_images_are_no_domain(tmp_path: Path) -> None:
    grow(tmp_path / "photos", [f"{label}/{i}.jpg" for label in CLASSES for i in range(10)])
    grow(tmp_path / "photos" / "runs", ["0123456789abcdef/teacher/1.jpg"])
    dataset = registry.load_dataset(str(tmp_path / "photos"))
    assert isinstance(dataset, OwnDataset)
    assert dataset.classes == CLASSES
    assert dataset.scan("photos").ignored["runs of okdbench"] == 1
    # A class may be called so.
    grow(tmp_path / "sport", [f"{label}/{i}.jpg" for label in ("runs", "swims") for i in range(10)])
    assert registry.load_dataset(str(tmp_path / "sport")).classes == ("runs", "swims")


@pytest.mark.parametrize("name", [b"caf\xe9/1.jpg", b"cup/caf\xe9.jpg"])
def test_names_that_are_not_utf8_are_refused_in_one_line(tmp_path: Path, name: bytes) -> None:
    photos = grow(tmp_path / "photos", [f"{label}/{i}.jpg" for label in CLASSES for i in range(10)])
    place = os.fsencode(photos) + b"/" + name
    os.makedirs(os.path.dirname(place), exist_ok=True)
    os.link(photos / "cup" / "1.jpg", place)
    message = refusal(lambda: registry.load_dataset(str(photos)).samples("photos", tmp_path))
    assert "caf\\xe9" in message
    assert "the name is not in UTF-8; rename it" in message


def test_masks_beside_their_images_are_pointed_out(tmp_path: Path) -> None:
    grow(tmp_path / "photos", [f"{label}/{i}{end}.jpg" for label in CLASSES for i in range(3) for end in ("", "_mask")])
    dataset = registry.load_dataset(str(tmp_path / "photos"))
    assert isinstance(dataset, OwnDataset)
    assert any("6 images are called as if made of another: cup/0_mask" in line for line in dataset.remarks())


@pytest.mark.parametrize(("images", "masks"), [("images", "masks"), ("Image", "Segmentation"), ("img", "gt")])
def test_folders_of_masks_in_those_of_the_classes_are_left_out(images: str, masks: str, tmp_path: Path) -> None:
    """And counted, with a file as without one; where no folder of images is beside them, they may be images."""
    grow(tmp_path / "lungs", [f"{name}/{at}/{i}.jpg" for name in CLASSES for at in (images, masks) for i in range(3)])
    file = write(tmp_path / "lungs.yaml", domains={"lungs": "lungs"})
    for name in (file, tmp_path / "lungs"):
        dataset = registry.load_dataset(str(name))
        assert isinstance(dataset, OwnDataset)
        scan = dataset.scan("lungs")
        assert (dataset.classes, len(scan.images)) == (CLASSES, 3 * len(CLASSES))
        assert scan.ignored == {f"{masks} beside images": len(CLASSES)}
        assert not any("have the folders" in line for line in dataset.remarks())
    (tmp_path / "lungs" / CLASSES[0] / images).rename(tmp_path / "lungs" / CLASSES[0] / "scans")
    dataset = registry.load_dataset(str(file))
    assert isinstance(dataset, OwnDataset)
    assert len(dataset.scan("lungs").images) == 3 * len(CLASSES) + 3


def remarks_of(folder: Path) -> str:
    dataset = registry.load_dataset(str(folder))
    assert isinstance(dataset, OwnDataset)
    return "\n".join(dataset.remarks())


def test_a_class_that_is_called_like_leftovers_is_pointed_out(tmp_path: Path) -> None:
    grow(tmp_path / "hands", [f"{label}/{i}.jpg" for label in ("fists", "thumbs") for i in range(3)])
    said = "warning: thumbs (3 images) left out, as leftovers; list all under classes: if it is a class"
    assert said in remarks_of(tmp_path / "hands")
    file = write(tmp_path / "hands.yaml", domains={"hands": "hands"}, classes=["fists", "thumbs"])
    assert registry.load_dataset(str(file)).classes == ("fists", "thumbs")


def test_what_is_done_to_turned_and_transparent_images_is_said(tmp_path: Path) -> None:
    grow(tmp_path / "photos", [f"{label}/{i}.jpg" for label in CLASSES for i in range(3)])
    assert "upright" not in remarks_of(tmp_path / "photos")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    (turned := tmp_path / "photos" / "cup" / "0.jpg").unlink()
    Image.new("RGB", (9, 5)).save(turned, exif=exif)
    said = remarks_of(tmp_path / "photos")
    assert "images such as 0.jpg are turned upright, as their EXIF says" in said
    assert said.endswith("for a teacher that was trained with it, write exif_rotation: false into the YAML file")
    stored = write(tmp_path / "stored.yaml", domains={"photos": "photos"}, exif_rotation=False)
    assert "images such as 0.jpg stay as they are stored, and not upright (exif_rotation: false)" in remarks_of(stored)
    Image.new("RGBA", (9, 5), (1, 2, 3, 255)).save(tmp_path / "photos" / "cup" / "opaque.png")
    assert "transparent" not in remarks_of(tmp_path / "photos")
    Image.new("RGBA", (9, 5), (1, 2, 3, 254)).save(tmp_path / "photos" / "cup" / "bands.tif")
    assert "images such as bands.tif are transparent in places, which are shown white" in remarks_of(
        tmp_path / "photos"
    )
    Image.new("RGBA", (9, 5), (1, 2, 3, 0)).save(tmp_path / "photos" / "cup" / "bands.tif")
    assert "transparent" not in remarks_of(tmp_path / "photos")
