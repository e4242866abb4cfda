"""VisDA: the labelled list of its test images is the test split, and a bad list is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import datastore
from support.dataset_trees import grow, official, registered
from support.pacs_copies import VISDA, ten_of_each

from okdbench import registry
from okdbench.cli.preflight import find_images
from okdbench.core.errors import UserError
from okdbench.core.protocol import Setting
from okdbench.data.splits import assemble
from okdbench.sweep.grid import Grid


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_of_each(monkeypatch)


def visda(folder: Path) -> Path:
    """VisDA with a labelled list of the test images in place of class folders."""
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
        ("trunk00/00000000000000000000000000000000.jpg 2", "or a duplicate"),
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


def test_a_missing_official_split_is_reported_before_anything_is_decoded(tmp_path: Path, root: Path) -> None:
    copy = visda(tmp_path / "copy")
    (copy / "test" / "image_list.txt").unlink()
    datastore.add("visda", copy, root)
    dataset = registry.load_dataset("visda")
    setting = Setting.parse("T-V", dataset.domains)
    with pytest.raises(UserError, match="visda test is not registered"):
        assemble(dataset, setting, 32, root, "official")
    with pytest.raises(UserError, match="visda test is not registered"):
        find_images(Grid(["kd"], ["visda"], options={"test_split": "official"}), root)
    assert not (root / "cache").exists()
