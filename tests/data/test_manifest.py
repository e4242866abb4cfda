"""Registered data sets: files that change later, the data passport, removal, and concurrent processes."""

from __future__ import annotations

import multiprocessing
import re
import shutil
from pathlib import Path

import pytest
from PIL import Image
from support import datastore
from support.dataset_trees import grow, official, registered
from support.pacs_copies import PACS, pack, pacs, ten_of_each

from okdbench import registry
from okdbench.core.errors import UserError
from okdbench.data.cache import load_domain


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_of_each(monkeypatch)


@pytest.mark.parametrize("change", ["gone", "other", "same size"])
def test_files_that_change_after_registration_are_not_trained_on(change: str, tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    datastore.add("pacs", copy, root)
    dataset = registry.load_dataset("pacs")
    load_domain(dataset, "photo", 32, root)
    image = copy / "photo" / "dog" / "00003.jpg"
    image.unlink()
    reason = r"1 images of pacs photo .* 'dog/00003\.jpg'; restore them"
    if change == "other":
        Image.new("RGB", (40, 40)).save(image)
    elif change == "same size":
        content = (copy / "photo" / "dog" / "00004.jpg").read_bytes()
        image.write_bytes(content[:-3] + b"!" + content[-2:])
        reason = r"00003\.jpg \(its content is not what was registered\)"
    with pytest.raises(UserError, match=reason):
        load_domain(dataset, "photo", 32, root)


def test_the_passport_reports_duplicates_and_changes(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    own = copy / "photo" / "dog" / "00003.jpg"
    own.unlink()
    Image.new("RGB", (40, 40), "red").save(own)
    shutil.copy(own, tmp_path / "saved.jpg")
    shutil.copy(own, copy / "sketch" / "dog" / "tmp.jpg")
    (copy / "sketch" / "dog" / "tmp.jpg").replace(copy / "sketch" / "dog" / "00000.jpg")
    datastore.add("pacs", copy, root)
    datastore.check("pacs", root)
    said = capsys.readouterr().out
    assert "exact duplicates in photo: 68" in said
    assert "exact duplicates in cartoon: 69" in said
    assert "of photo with an equal file in sketch: 70" in said
    own.write_bytes(own.read_bytes()[:-2] + b"\xff\xd9"[::-1])
    with pytest.raises(UserError, match=r"not as registered: photo \(1 files, the first dog/00003\.jpg\)"):
        datastore.check("pacs", root)
    shutil.rmtree(copy / "photo")
    with pytest.raises(UserError, match=r"not as registered: photo \(70 files"):
        datastore.check("pacs", root)


def test_removing_keeps_the_users_own_folder(tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    archive = pack(copy, "zip")
    datastore.add("pacs", copy, root)
    datastore.add("pacs", archive, root)
    load_domain(registry.load_dataset("pacs"), "photo", 32, root)
    datastore.remove("pacs", root)
    assert registered(root) == {}
    assert not list(root.glob("cache/pacs-*"))
    assert not list(root.glob("images/pacs/*"))
    assert (copy / "photo" / "dog" / "00003.jpg").exists()
    with pytest.raises(UserError, match="nothing of pacs"):
        datastore.remove("pacs", root)


def test_a_data_set_without_files_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"digits is never registered: .* okdbench data is for cifar10"):
        datastore.add("digits", root, root)


def test_a_users_folder_below_the_data_root_is_never_deleted(tmp_path: Path, root: Path) -> None:
    inside = pacs(root / "images" / "pacs" / "mine")
    datastore.add("pacs", inside, root)
    datastore.add("pacs", pacs(tmp_path / "copy"), root)
    datastore.remove("pacs", root)
    assert (inside / "photo" / "dog" / "00003.jpg").exists()


def test_a_root_behind_a_link_or_a_relative_one_is_the_same_root(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    datastore.add("pacs", pack(pacs(tmp_path / "copy"), "zip"), tmp_path / "link")
    folder = tmp_path / "link" / "images" / "pacs" / "copy" / "content"
    monkeypatch.chdir(tmp_path)
    datastore.add("pacs", folder, Path("link"))
    monkeypatch.chdir("/")
    assert len(load_domain(registry.load_dataset("pacs"), "photo", 32, tmp_path / "real")) == 70


def add_in_child(archive: Path, root: Path) -> None:
    datastore.add("pacs", archive, root)


def test_two_processes_may_add_at_once(tmp_path: Path, root: Path) -> None:
    archives = []
    for domain in ("photo", "sketch"):
        grow(tmp_path / domain, official({domain: PACS.counts[domain]}))
        archives += [pack(tmp_path / domain, "zip")] * 2
    children = [multiprocessing.get_context("fork").Process(target=add_in_child, args=(a, root)) for a in archives]
    for child in children:
        child.start()
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * 4
    for domain in ("photo", "sketch"):
        assert len(load_domain(registry.load_dataset("pacs"), domain, 32, root)) == 70


def test_a_damaged_manifest_blocks_nothing(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = pacs(tmp_path / "copy")
    datastore.add("pacs", copy, root)
    (root / "registered" / "pacs" / "photo.json").write_text("{")
    datastore.show(root)
    assert re.search(r"^pacs +photo +damaged .*photo\.json cannot be read", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(UserError, match=r"photo\.json cannot be read .*run okdbench data add pacs PATH again"):
        load_domain(registry.load_dataset("pacs"), "photo", 32, root)
    datastore.add("pacs", copy / "sketch", root)
    datastore.add("pacs", copy / "photo", root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)
