"""Folders as people have them: what is an image, what is left out, and that both are counted."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image
from support.dataset_trees import grow
from support.error_text import refusal
from support.own_images import write

from okdbench import registry
from okdbench.data.custom_dataset import OwnDataset
from okdbench.data.decoding import read_image
from okdbench.data.image_files import described, images_in
from okdbench.data.image_form import ImageForm
from okdbench.training.plan import make_plan

CLASSES = ("cup", "lamp", "pen")
TINY = {"method": "kd", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "teacher_weights": None}


@pytest.fixture
def phone(tmp_path: Path) -> Path:
    """45 images in three classes."""
    return grow(tmp_path / "phone", [f"{label}/{index:02d}.jpg" for label in CLASSES for index in range(15)])


def own(folder: Path, **content: object) -> OwnDataset:
    file = write(folder.parent / "shop.yaml", domains={"phone": folder.name}, **content)
    dataset = registry.load_dataset(str(file))
    assert isinstance(dataset, OwnDataset)
    return dataset


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints",
        "@eaDir",
        "__MACOSX",
        "$RECYCLE.BIN",
        "System Volume Information",
        "lost+found",
        "Thumbnails",
        ".thumbnails",
        "@Recycle",
    ],
)
def test_leftovers_are_ignored_at_every_level_and_counted(phone: Path, tmp_path: Path, name: str) -> None:
    for place in (phone, phone / "cup", phone / "cup" / "inner"):
        shutil.copytree(phone / "lamp", place / name / "deep")
    dataset = own(phone)
    assert dataset.classes == CLASSES
    assert len(dataset.samples("phone", tmp_path)) == 45
    assert dataset.scan("phone").ignored == {name: 3}


def test_files_that_are_no_images_are_counted_by_kind(phone: Path, tmp_path: Path) -> None:
    for name in ("._00.jpg", "Thumbs.db", "desktop.ini", "notes.txt", "labels.CSV", "a.nef", "b.jpg.bak", "c.jpg~"):
        (phone / "cup" / name).write_bytes(
            (phone / "cup" / "00.jpg").read_bytes() if name[:2] in ("b.", "c.") else b"II*\0"
        )
    (phone / "readme").write_text("BM is a format")
    (phone / "lonely.jpg").write_bytes((phone / "cup" / "00.jpg").read_bytes())
    os.symlink("gone.jpg", phone / "cup" / "link.jpg")
    dataset = own(phone)
    assert len(dataset.samples("phone", tmp_path)) == 45 + 4, "what begins as a TIFF is one, whatever its ending"
    assert described(dataset.scan("phone").ignored) == (
        ".bak (1), .jpg~ (1), .nef (1), broken links (1), files without an ending (1), hidden files (1), "
        "images beside the class folders (1)"
    )


def test_a_class_may_have_the_name_of_a_leftover_where_it_is_listed(phone: Path) -> None:
    shutil.copytree(phone / "cup", phone / "thumbs")
    assert own(phone).classes == CLASSES
    assert own(phone, classes=[*CLASSES, "thumbs"]).places["phone"].labels == {*CLASSES, "thumbs"}


ENDINGS = [
    "bmp",
    "gif",
    "jpeg",
    "JPG",
    "jfif",
    "jp2",
    "pbm",
    "pcx",
    "pgm",
    "png",
    "ppm",
    "tga",
    "tif",
    "TIFF",
    "webp",
    "ico",
]


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_raster_format_of_pillow_is_read(ending: str, tmp_path: Path) -> None:
    image = Image.new("1" if ending == "pbm" else "L" if ending == "pgm" else "RGB", (16, 16), "white")
    image.save(tmp_path / f"a.{ending}")
    assert images_in(tmp_path).__next__().name == f"a.{ending}"
    assert read_image(tmp_path / f"a.{ending}", ImageForm(16)).min() > 250


@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "tiff", "webp", "jpeg2000", "avif"])
@pytest.mark.parametrize("name", ["photo", "photo.jpg_large", "IMG.20240131"])
def test_files_of_an_unknown_ending_are_images_by_their_content(name: str, form: str, tmp_path: Path) -> None:
    Image.new("RGB", (16, 16), "white").save(tmp_path / name, form)
    assert [path.name for path in images_in(tmp_path)] == [name]
    assert read_image(tmp_path / name, ImageForm(16)).min() > 250


@pytest.mark.parametrize("name", ["clip.mpg", "page.pdf", "drawing.ps", "data.h5", "clip.mov"])
def test_documents_and_videos_are_no_images(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"\0\0\0\x14ftypqt  \0\0\0\0")
    ignored: Counter[str] = Counter()
    assert list(images_in(tmp_path, ignored)) == []
    assert ignored == {Path(name).suffix: 1}


def test_links_to_folders_are_followed_once(phone: Path, tmp_path: Path) -> None:
    os.symlink(phone / "cup", tmp_path / "elsewhere")
    shutil.move(phone / "lamp", tmp_path / "lamps")
    os.symlink(tmp_path / "lamps", phone / "lamp")
    os.symlink(phone, phone / "pen" / "up")
    os.symlink(tmp_path / "lamps", phone / "pen" / "more")
    found = Counter(sample.path.split("/")[1] for sample in own(phone).samples("phone", tmp_path))
    assert found["cup"], found["lamp"] == (15, 15)
    assert len(list(images_in(phone / "pen" / "more"))) == 15


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_folder_that_cannot_be_read_is_named(phone: Path) -> None:
    (phone / "cup").chmod(0)
    try:
        assert "cup: permission denied; fix that" in refusal(list, images_in(phone))
    finally:
        (phone / "cup").chmod(0o755)


def test_heic_is_read_with_its_library_and_named_without(
    phone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heif = pytest.importorskip("pillow_heif")
    for name in ("new.HEIC", "renamed.jpg"):
        heif.from_pillow(Image.new("RGB", (64, 64), "white")).save(phone / "cup" / name, format="HEIF")
    assert len(own(phone).samples("phone", tmp_path)) == 47
    assert read_image(phone / "cup" / "renamed.jpg", ImageForm(32)).min() > 250
    from okdbench.data import decoding

    decoding._learn_heic.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "pillow_heif", None)
    assert "pip install pillow-heif" in refusal(read_image, phone / "cup" / "new.HEIC", ImageForm(32))
    values = {**TINY, "dataset": str(tmp_path / "shop.yaml"), "setting": "P"}
    own(phone)
    assert "pip install pillow-heif" in refusal(make_plan, {**values, "method": "dafl"}, data_root=tmp_path / "root")
