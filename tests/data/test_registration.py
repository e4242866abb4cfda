"""Copies of data sets: the right ones are registered whatever they look like, others are refused with the reason."""

from __future__ import annotations

import errno
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support import datastore
from support.dataset_trees import registered
from support.pacs_copies import PACS, pack, pacs, ten_of_each

from okdbench import registry
from okdbench.core.errors import UserError
from okdbench.core.folds import split
from okdbench.data.cache import load_domain
from okdbench.data.manifest import read_manifest
from okdbench.data.splits import assemble
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_of_each(monkeypatch)


def test_splits_do_not_depend_on_the_order_of_files_or_on_the_copy(tmp_path: Path) -> None:
    parts = []
    for place, spell in (("here", str), ("there", lambda name: name.upper().replace("_", " "))):
        root = tmp_path / place
        datastore.add("pacs", pacs(tmp_path / f"copy {place}", spell=spell, between="images/"), root)
        samples = list(registry.load_dataset("pacs").samples("photo", root))
        order = samples if place == "here" else samples[::-1]
        indices = split([s.path for s in order], [s.label for s in order], 0)
        parts.append({part: {order[i].path for i in chosen} for part, chosen in indices.items()})
    assert parts[0] == parts[1]
    assert {part: len(paths) for part, paths in parts[0].items()} == {"train": 49, "val": 7, "test": 14}


@pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz"])
def test_an_archive_is_unpacked_whatever_its_top_folder_is_called(
    kind: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pacs(tmp_path / "copy" / "any name" / "kfold", spell=lambda name: name.replace("art_painting", "Art Painting"))
    archive = pack(tmp_path / "copy", kind)
    shutil.rmtree(tmp_path / "copy")
    datastore.add("pacs", archive, root)
    datastore.add("pacs", archive, root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)
    assert len(list((root / "images" / "pacs").iterdir())) == 1, "what was replaced is deleted"
    assert "removed" in capsys.readouterr().out
    assert len(load_domain(registry.load_dataset("pacs"), "sketch", 32, root)) == 70


def test_whole_domains_may_be_absent_and_come_later(tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    shutil.move(copy / "sketch", tmp_path / "later" / "sketch")
    datastore.add("pacs", copy, root)
    dataset = registry.load_dataset("pacs")
    assemble(dataset, dataset.setting("AC-P"), 32, root)
    with pytest.raises(UserError, match=r"pacs sketch is not registered .*registered: art_painting, cartoon, photo"):
        assemble(dataset, dataset.setting("AC-S"), 32, root)
    datastore.add("pacs", tmp_path / "later" / "sketch", root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)


def damage_nothing_but_a_file(copy: Path) -> str:
    image = copy / "photo" / "dog" / "00003.jpg"
    image.unlink()
    image.write_bytes(b"<html>")
    return r"photo: 1 images cannot be decoded: dog/00003\.jpg \("


def lose_two(copy: Path) -> str:
    for number in (1, 2):
        (copy / "sketch" / "horse" / f"0000{number}.jpg").unlink()
    return "sketch: 1 classes have a different number of images: horse 8 of 10"


def add_one(copy: Path) -> str:
    shutil.copy(copy / "photo" / "dog" / "00003.jpg", copy / "photo" / "dog" / "more.jpg")
    return "photo: 1 classes have a different number of images: dog 11 of 10"


def lose_a_class(copy: Path) -> str:
    shutil.rmtree(copy / "cartoon" / "guitar")
    return "cartoon: 1 classes are missing: guitar"


def add_a_class(copy: Path) -> str:
    shutil.copytree(copy / "cartoon" / "guitar", copy / "cartoon" / "violin")
    return "cartoon: 1 folders are not classes of it: violin"


DAMAGES = [damage_nothing_but_a_file, lose_two, add_one, lose_a_class, add_a_class]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_differing_copy_is_refused_until_it_is_accepted_and_then_noted(
    damage: Callable[[Path], str], tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    expected = damage(copy)
    with pytest.raises(UserError, match=r"differs from the official images .*okdbench data add pacs .*--accept-diff"):
        datastore.add("pacs", copy, root)
    assert re.search(expected, capsys.readouterr().err)
    assert registered(root) == {}
    datastore.add("pacs", copy, root, accept_differences=True)
    domain, _, text = expected.partition(": ")
    note = registry.load_dataset("pacs").note([domain], root)
    assert re.search(text, note)
    assert registry.load_dataset("pacs").note([d for d in PACS.counts if d != domain], root) == ""


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "16 bits", "CMYK", "one pixel", "wide"])
def test_odd_images_are_registered_or_named(
    kind: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    image = copy / "photo" / "dog" / "00003.jpg"
    content = image.read_bytes()
    image.unlink()
    bad = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"no image"}
    if kind in bad:
        image.write_bytes(bad[kind])
        with pytest.raises(UserError, match="differs from the official images"):
            datastore.add("pacs", copy, root)
        assert "photo: 1 images cannot be decoded: dog/00003.jpg (" in capsys.readouterr().err
        assert registered(root) == {}
        return
    sixteen = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    odd = {"16 bits": sixteen, "CMYK": Image.new("CMYK", (8, 8)), "one pixel": Image.new("RGB", (1, 1))}
    odd.get(kind, Image.new("RGB", (20_000, 4))).save(image, "PNG" if kind == "16 bits" else "JPEG")
    datastore.add("pacs", copy, root)
    assert len(load_domain(registry.load_dataset("pacs"), "photo", 32, root)) == 70


def test_the_record_says_what_was_accepted(tmp_path: Path) -> None:
    copy, root = pacs(tmp_path / "copy"), tmp_path / "root"
    lose_two(copy)
    datastore.add("pacs", copy, root, accept_differences=True)
    usual = {"dataset": "pacs", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}
    record = execute(make_plan({**usual, "method": "kd", "setting": "AC-S"}, data_root=root), tmp_path / "runs", quiet)
    assert (record.status, record.data_note) == (
        "done",
        "sketch: 1 classes have a different number of images: horse 8 of 10",
    )
    record = execute(make_plan({**usual, "method": "kd", "setting": "AC-P"}, data_root=root), tmp_path / "runs", quiet)
    assert (record.status, record.data_note) == ("done", "")


def test_a_refused_copy_leaves_what_was_there(tmp_path: Path, root: Path) -> None:
    datastore.add("pacs", pacs(tmp_path / "good"), root)
    bad = pacs(tmp_path / "bad")
    lose_a_class(bad)
    archive = pack(bad, "zip")
    for path in (bad, archive):
        with pytest.raises(UserError, match="nothing is registered"):
            datastore.add("pacs", path, root)
    entry = read_manifest("pacs", "cartoon", root)
    assert entry is not None
    assert Path(entry.folder).is_relative_to(tmp_path / "good")
    assert not list((root / "images").glob("pacs/*"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere", "does not exist"),
        ("empty", "has no domain of pacs"),
        ("text.zip", "neither a folder nor a zip or tar archive"),
        ("dog", "must be called art_painting, cartoon"),
    ],
)
def test_what_is_no_copy_is_refused(path: str, reason: str, tmp_path: Path, root: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "dog" / "images" / "cat").mkdir(parents=True)
    (tmp_path / "text.zip").write_text("<html>not found</html>")
    with pytest.raises(UserError, match=reason):
        datastore.add("pacs", tmp_path / path, root)
    assert registered(root) == {}


def test_a_domain_that_lies_there_twice_is_ambiguous(tmp_path: Path, root: Path) -> None:
    pacs(tmp_path / "copy" / "one")
    pacs(tmp_path / "copy" / "two")
    with pytest.raises(UserError, match="name the folder that you mean"):
        datastore.add("pacs", tmp_path / "copy", root)


def test_linked_folders_are_followed_once(tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "elsewhere")
    (tmp_path / "copy").mkdir()
    for domain in PACS.counts:
        (tmp_path / "copy" / domain).symlink_to(copy / domain)
    (tmp_path / "copy" / "again").symlink_to(tmp_path / "copy")
    datastore.add("pacs", tmp_path / "copy", root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)


def test_a_folder_that_cannot_be_read_is_named(tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = pacs(tmp_path / "copy")
    scandir = os.scandir

    def guarded(folder: Path) -> object:  # the superuser, whom tests may run as, may read everything
        if str(folder).endswith("photo"):
            raise PermissionError(errno.EACCES, "Permission denied", str(folder))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", guarded)
    with pytest.raises(UserError, match=r"cannot read .*photo: permission denied"):
        datastore.add("pacs", copy, root)
    assert not list((root / "registered").glob("pacs/*"))


def test_what_is_no_image_is_reported_without_an_address(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    damage_nothing_but_a_file(copy)
    datastore.add("pacs", copy, root, accept_differences=True)
    assert "dog/00003.jpg (not an image)" in capsys.readouterr().err
