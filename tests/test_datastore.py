"""Copies of data sets: the right ones are taken in whatever they look like, the others are refused with the reason."""

from __future__ import annotations

import errno
import http.server
import multiprocessing
import os
import re
import shutil
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from trees import grow, official, registered, shrunk

from okdbench import cli, datastore, registry
from okdbench.data.cache import load_domain
from okdbench.data.download import Remote
from okdbench.data.register import read_entry
from okdbench.errors import UserError
from okdbench.material import assemble
from okdbench.plan import make_plan
from okdbench.preflight import find_pictures
from okdbench.progress import quiet
from okdbench.protocol import STUDENT_FRACTIONS, Setting, split
from okdbench.runner import execute

PACS = type(registry.load_dataset("pacs"))
VISDA = type(registry.load_dataset("visda"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "data root"


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """PACS and VisDA with ten pictures of each class."""
    for dataset in (PACS, VISDA):
        shrunk(dataset, monkeypatch)


def pacs(folder: Path, **changes: object) -> Path:
    return grow(folder, official(PACS.counts, **changes))


def pack(folder: Path, kind: str) -> Path:
    """All of ``folder`` in an archive beside it."""
    archive = folder.with_name(f"{folder.name}.{kind}")
    if kind == "zip":
        return Path(shutil.make_archive(str(folder), "zip", folder))
    with tarfile.open(archive, "w:gz" if kind == "tar.gz" else "w", dereference=True) as tar:
        tar.add(folder, "./")
    return archive


def test_splits_do_not_depend_on_the_order_of_files_or_on_the_copy(tmp_path: Path) -> None:
    parts = []
    for place, spell in (("here", str), ("there", lambda name: name.upper().replace("_", " "))):
        root = tmp_path / place
        datastore.add("pacs", pacs(tmp_path / f"copy {place}", spell=spell, between="images/"), root)
        samples = list(registry.load_dataset("pacs").samples("photo", root))
        order = samples if place == "here" else samples[::-1]
        indices = split([s.path for s in order], [s.label for s in order], STUDENT_FRACTIONS)
        parts.append({part: {order[i].path for i in chosen} for part, chosen in indices.items()})
    assert parts[0] == parts[1]
    assert {part: len(paths) for part, paths in parts[0].items()} == {"train": 56, "val": 7, "test": 7}


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
    assert len(list((root / "pictures" / "pacs").iterdir())) == 1, "what was replaced is deleted"
    assert "removed" in capsys.readouterr().out
    assert len(load_domain(registry.load_dataset("pacs"), "sketch", 32, root)) == 70


def test_whole_domains_may_be_absent_and_come_later(tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    shutil.move(copy / "sketch", tmp_path / "later" / "sketch")
    datastore.add("pacs", copy, root)
    dataset = registry.load_dataset("pacs")
    assemble(dataset, Setting.parse("AC-P", dataset.domains), 32, root)
    with pytest.raises(UserError, match=r"pacs sketch is not registered .*there are art_painting, cartoon, photo"):
        assemble(dataset, Setting.parse("AC-S", dataset.domains), 32, root)
    datastore.add("pacs", tmp_path / "later" / "sketch", root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)


def damage_nothing_but_a_file(copy: Path) -> str:
    picture = copy / "photo" / "dog" / "00003.jpg"
    picture.unlink()
    picture.write_bytes(b"<html>")
    return r"photo: 1 pictures cannot be decoded: dog/00003\.jpg \("


def lose_two(copy: Path) -> str:
    for number in (1, 2):
        (copy / "sketch" / "horse" / f"0000{number}.jpg").unlink()
    return "sketch: 1 classes have another number of pictures: horse 8 of 10"


def add_one(copy: Path) -> str:
    shutil.copy(copy / "photo" / "dog" / "00003.jpg", copy / "photo" / "dog" / "more.jpg")
    return "photo: 1 classes have another number of pictures: dog 11 of 10"


def lose_a_class(copy: Path) -> str:
    shutil.rmtree(copy / "cartoon" / "guitar")
    return "cartoon: 1 classes are missing: guitar"


def add_a_class(copy: Path) -> str:
    shutil.copytree(copy / "cartoon" / "guitar", copy / "cartoon" / "violin")
    return "cartoon: 1 folders are no classes of it: violin"


DAMAGES = [damage_nothing_but_a_file, lose_two, add_one, lose_a_class, add_a_class]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_differing_copy_is_refused_until_it_is_accepted_and_then_noted(
    damage: Callable[[Path], str], tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    expected = damage(copy)
    with pytest.raises(UserError, match=r"differs from the official pictures .*okdbench data add pacs .*--accept-diff"):
        datastore.add("pacs", copy, root)
    assert re.search(expected, capsys.readouterr().err)
    assert registered(root) == {}
    datastore.add("pacs", copy, root, accept_differences=True)
    domain, _, text = expected.partition(": ")
    note = registry.load_dataset("pacs").note([domain], root)
    assert re.search(text, note)
    assert registry.load_dataset("pacs").note([d for d in PACS.counts if d != domain], root) == ""


@pytest.mark.parametrize("kind", ["truncated", "empty", "text", "16 bits", "CMYK", "one pixel", "wide"])
def test_odd_pictures_are_taken_or_named(
    kind: str, tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    picture = copy / "photo" / "dog" / "00003.jpg"
    content = picture.read_bytes()
    picture.unlink()
    bad = {"truncated": content[: len(content) // 2], "empty": b"", "text": b"no picture"}
    if kind in bad:
        picture.write_bytes(bad[kind])
        with pytest.raises(UserError, match="differs from the official pictures"):
            datastore.add("pacs", copy, root)
        assert "photo: 1 pictures cannot be decoded: dog/00003.jpg (" in capsys.readouterr().err
        assert registered(root) == {}
        return
    sixteen = Image.fromarray(np.full((8, 8), 40_000, np.uint16))
    odd = {"16 bits": sixteen, "CMYK": Image.new("CMYK", (8, 8)), "one pixel": Image.new("RGB", (1, 1))}
    odd.get(kind, Image.new("RGB", (20_000, 4))).save(picture, "PNG" if kind == "16 bits" else "JPEG")
    datastore.add("pacs", copy, root)
    assert len(load_domain(registry.load_dataset("pacs"), "photo", 32, root)) == 70


def test_the_record_says_what_was_accepted(tmp_path: Path) -> None:
    copy, root = pacs(tmp_path / "copy"), tmp_path / "root"
    lose_two(copy)
    datastore.add("pacs", copy, root, accept_differences=True)
    usual = {"dataset": "pacs", "budget": "smoke", "teacher": "test_resnet", "student": "test_resnet", "device": "cpu"}
    record = execute(make_plan({**usual, "method": "kd", "setting": "AC-S"}, data_root=root), tmp_path / "runs", quiet)
    assert (record.status, record.data_note) == (
        "done",
        "sketch: 1 classes have another number of pictures: horse 8 of 10",
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
    entry = read_entry("pacs", "cartoon", root)
    assert entry is not None
    assert Path(entry.folder).is_relative_to(tmp_path / "good")
    assert not list((root / "pictures").glob("pacs/*"))


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere", "does not exist"),
        ("empty", "holds no folder of pacs"),
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
    with pytest.raises(UserError, match="name the one that you mean"):
        datastore.add("pacs", tmp_path / "copy", root)


@pytest.mark.parametrize("change", ["gone", "other", "same size"])
def test_files_that_change_behind_our_back_are_not_trained_on(change: str, tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    datastore.add("pacs", copy, root)
    dataset = registry.load_dataset("pacs")
    load_domain(dataset, "photo", 32, root)
    picture = copy / "photo" / "dog" / "00003.jpg"
    picture.unlink()
    reason = r"1 pictures of pacs photo .* 'dog/00003\.jpg'; bring them back"
    if change == "other":
        Image.new("RGB", (40, 40)).save(picture)
    elif change == "same size":
        content = (copy / "photo" / "dog" / "00004.jpg").read_bytes()
        picture.write_bytes(content[:-3] + b"!" + content[-2:])
        reason = r"00003\.jpg \(its content is not what was registered\)"
    with pytest.raises(UserError, match=reason):
        load_domain(dataset, "photo", 32, root)


def test_the_passport_tells_duplicates_and_changes(
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
    assert "pictures of photo that are also in sketch: 70" in said
    own.write_bytes(own.read_bytes()[:-2] + b"\xff\xd9"[::-1])
    with pytest.raises(UserError, match=r"not as registered: photo \(1 files, the first dog/00003\.jpg\)"):
        datastore.check("pacs", root)
    shutil.rmtree(copy / "photo")
    with pytest.raises(UserError, match=r"not as registered: photo \(70 files"):
        datastore.check("pacs", root)


def test_forgetting_keeps_the_users_own_folder(tmp_path: Path, root: Path) -> None:
    copy = pacs(tmp_path / "copy")
    archive = pack(copy, "zip")
    datastore.add("pacs", copy, root)
    datastore.add("pacs", archive, root)
    load_domain(registry.load_dataset("pacs"), "photo", 32, root)
    datastore.remove("pacs", root)
    assert registered(root) == {}
    assert not list(root.glob("cache/pacs-*"))
    assert not list(root.glob("pictures/pacs/*"))
    assert (copy / "photo" / "dog" / "00003.jpg").exists()
    with pytest.raises(UserError, match="nothing of pacs"):
        datastore.remove("pacs", root)


def test_a_data_set_without_files_is_refused(root: Path) -> None:
    with pytest.raises(UserError, match=r"digits is not kept here: .* okdbench data is for office10"):
        datastore.add("digits", root, root)


def test_a_users_folder_in_our_place_is_never_deleted(tmp_path: Path, root: Path) -> None:
    inside = pacs(root / "pictures" / "pacs" / "mine")
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
    folder = tmp_path / "link" / "pictures" / "pacs" / "copy" / "content"
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


def test_a_damaged_entry_blocks_nothing(tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = pacs(tmp_path / "copy")
    datastore.add("pacs", copy, root)
    (root / "registered" / "pacs" / "photo.json").write_text("{")
    datastore.show(root)
    assert "pacs\tphoto\tdamaged" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"photo\.json cannot be read .*run okdbench data add pacs PATH again"):
        load_domain(registry.load_dataset("pacs"), "photo", 32, root)
    datastore.add("pacs", copy / "sketch", root)
    datastore.add("pacs", copy / "photo", root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)


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


def test_what_is_no_picture_is_told_without_an_address(
    tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = pacs(tmp_path / "copy")
    damage_nothing_but_a_file(copy)
    datastore.add("pacs", copy, root, accept_differences=True)
    assert "dog/00003.jpg (no picture)" in capsys.readouterr().err


# VisDA


def visda(folder: Path) -> Path:
    """VisDA with a labelled list of the test pictures in place of class folders."""
    counts = {domain: VISDA.counts[domain] for domain in ("train", "validation")}
    grow(folder, official(counts))
    names = [(f"trunk{i % 3:02d}/{i:032x}.jpg", i % 12) for i in range(120)]
    grow(folder / "test", [name for name, _ in names])
    (folder / "test" / "image_list.txt").write_text("".join(f"{name} {label}\n" for name, label in names))
    return folder


def test_the_official_test_list_is_the_test_split_on_demand(tmp_path: Path, root: Path) -> None:
    datastore.add("visda", visda(tmp_path / "copy"), root)
    dataset = registry.load_dataset("visda")
    setting = Setting.parse("T-V", dataset.domains)
    usual = assemble(dataset, setting, 32, root)
    official_one = assemble(dataset, setting, 32, root, "official")
    assert official_one.student_train.digest == usual.student_train.digest
    assert official_one.student_val.digest == usual.student_val.digest
    assert len(official_one.student_test) == 120
    assert official_one.student_test.paths[0].startswith("test/trunk00/")
    assert official_one.digest != usual.digest
    with pytest.raises(UserError, match="has no official test split"):
        assemble(dataset, Setting.parse("V-T", dataset.domains), 32, root, "official")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("trunk00/one.jpg", "line 121 is not a path and a class index below 12"),
        ("../train/bus/00000.jpg 2", "line 121 names '../train/bus/00000.jpg', which is outside"),
        ("/etc/passwd 2", "line 121 names '/etc/passwd', which is outside"),
        ("trunk00/00000000000000000000000000000000.jpg 2", "or there already"),
    ],
)
def test_a_list_with_a_bad_line_is_refused(line: str, reason: str, tmp_path: Path, root: Path) -> None:
    copy = visda(tmp_path / "copy")
    file = copy / "test" / "image_list.txt"
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(UserError, match=reason):
        datastore.add("visda", copy, root)
    assert registered(root, "visda") == {}


def test_of_two_lists_the_one_with_labels_counts(tmp_path: Path, root: Path) -> None:
    copy = visda(tmp_path / "copy")
    labelled = copy / "test" / "image_list.txt"
    labelled.rename(copy / "test" / "ground_truth.txt")
    labelled.write_text("trunk00/one.jpg\n")
    datastore.add("visda", copy, root)
    assert registered(root, "visda")["test"] == 120


def test_a_missing_official_split_is_told_before_anything_is_decoded(tmp_path: Path, root: Path) -> None:
    copy = visda(tmp_path / "copy")
    (copy / "test" / "image_list.txt").unlink()
    datastore.add("visda", copy, root)
    dataset = registry.load_dataset("visda")
    setting = Setting.parse("T-V", dataset.domains)
    with pytest.raises(UserError, match="visda test is not registered"):
        assemble(dataset, setting, 32, root, "official")
    with pytest.raises(UserError, match="visda test is not registered"):
        find_pictures("visda", None, "official", None, root)
    assert not (root / "cache").exists()


# Downloads


class Server(http.server.BaseHTTPRequestHandler):
    """Says ``answer`` of the class to everything."""

    answer: Callable[[http.server.BaseHTTPRequestHandler], None] = print

    def do_GET(self) -> None:
        type(self).answer(self)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes, int, str], None]]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}/pacs.zip"
    monkeypatch.setattr(PACS, "remotes", (Remote("pacs.zip", (url,)),))

    def offer(body: bytes, status: int = 200, kind: str = "application/zip") -> None:
        def answer(handler: http.server.BaseHTTPRequestHandler) -> None:
            handler.send_response(status)
            handler.send_header("Content-Type", kind)
            handler.send_header("Content-Length", str(len(body)))
            handler.end_headers()
            handler.wfile.write(body)

        monkeypatch.setattr(Server, "answer", answer)

    yield offer
    server.shutdown()


def test_a_download_is_registered(serve: Callable[..., None], tmp_path: Path, root: Path) -> None:
    serve(pack(pacs(tmp_path / "copy"), "zip").read_bytes())
    datastore.download("pacs", [], root)
    assert registered(root) == dict.fromkeys(PACS.counts, 70)
    assert not list((root / "downloads").rglob("*.zip"))


def test_what_is_registered_is_not_fetched_again(
    serve: Callable[..., None], tmp_path: Path, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    datastore.add("pacs", pacs(tmp_path / "copy"), root)
    serve(b"", 404)
    datastore.download("pacs", [], root)
    assert "is here already" in capsys.readouterr().out


def other_archive(tmp_path: Path) -> bytes:
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "something else")
    return (tmp_path / "other.zip").read_bytes()


@pytest.mark.parametrize("what", ["missing", "page", "other", "broken"])
def test_a_bad_download_is_never_registered_and_never_a_success(
    serve: Callable[..., None],
    what: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    root = tmp_path / "root"
    if what == "missing":
        serve(b"", 404)
    elif what == "page":
        serve(b"<!doctype html><html>sign in</html>", 200, "text/html")
    elif what == "other":
        serve(other_archive(tmp_path))
    else:
        serve(b"PK\x03\x04 nothing more")
    monkeypatch.setattr("sys.argv", ["okdbench", "data", "download", "pacs", "--data-root", str(root)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert "okdbench data add pacs" in message or "holds no folder of pacs" in message
    assert registered(root) == {}
