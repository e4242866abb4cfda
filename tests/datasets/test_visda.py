"""VisDA: the labelled list of its test images is the test split, and a bad list is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import datastore
from support.dataset_trees import registered
from support.error_text import refusal
from support.pacs_copies import ten_of_each, visda

from okdbench import registry
from okdbench.cli.preflight import find_images
from okdbench.core.errors import UserError
from okdbench.core.settings import Setting
from okdbench.data.splits import SplitRule, assemble
from okdbench.sweep.grid import Grid
from okdbench.training.plan import Plan, make_plan


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    ten_of_each(monkeypatch)


def test_the_official_test_list_is_the_test_split_unless_it_is_refused(tmp_path: Path, root: Path) -> None:
    datastore.add("visda", visda(tmp_path / "copy"), root)
    dataset = registry.load_dataset("visda")
    setting = Setting.parse("T-V", dataset.domains)
    folds = assemble(dataset, setting, 32, root, SplitRule(official=False))
    usual = assemble(dataset, setting, 32, root)
    assert usual.val.digest == folds.val.digest
    assert set(usual.train.paths) == set(folds.train.paths) | set(folds.test.paths)
    assert len(usual.test) == 120
    assert usual.test.paths[0].startswith("test/trunk00/")
    # through the command line's names
    options = {"method": "teacher", "dataset": "visda", "setting": "T-V", "teacher": "test_resnet"}
    options |= {"student": "test_resnet", "budget": "smoke"}
    assert make_plan(options, data_root=root).splits.digest == usual.digest
    chosen = make_plan({**options, "test_split": "folds"}, data_root=root)
    assert chosen.splits.digest == folds.digest
    assert "--test-split folds" in chosen.command
    named = make_plan({**options, "test_split": "official"}, data_root=root)
    assert named.key == make_plan(options, data_root=root).key
    assert usual.test.digest != folds.test.digest
    assert {*usual.train.paths, *usual.val.paths} == {s.path for s in dataset.samples("validation", root)}
    # with another seed only the other images change their part
    other = make_plan({**options, "seed": 1}, data_root=root).splits
    assert other.test.digest == usual.test.digest
    assert other.val.digest != usual.val.digest


def test_official_test_images_in_the_other_tasks(tmp_path: Path, root: Path) -> None:
    datastore.add("visda", visda(tmp_path / "copy"), root)
    options = {"dataset": "visda", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "budget": "smoke"}

    def made(method: str, setting: str, test_split: str | None = None) -> Plan:
        return make_plan(options | {"method": method, "setting": setting, "test_split": test_split}, data_root=root)

    for method, setting in (("kd", "V@T"), ("dafl", "V")):
        splits = made(method, setting).splits
        assert {path.split("/")[0] for path in splits.test.paths} == {"test"}
        assert (len(splits.test), len(splits.teacher_train)) == (120, 120)
        folds = made(method, setting, "folds").splits
        assert {path.split("/")[0] for path in folds.test.paths} == {"validation"}
        assert len(folds.test) + len(folds.teacher_train) == 120
    # the student is not tested on V here, but as always all of its images but those of validation are for training
    adapt, transfer = made("kd", "T-V"), made("kd", "T@V")
    assert len(transfer.splits.train) == len(adapt.splits.train)
    assert made("kd", "T@V", "folds").key != transfer.key
    assert "--test-split folds" in made("kd", "T@V", "folds").command
    for method, setting in (("dafl", "T"), ("kd", "T@V")):
        message = refusal(made, method, setting, "official")
        assert message == f"visda {setting} has no official test split; leave out --test-split"


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
        assemble(dataset, setting, 32, root)
    with pytest.raises(UserError, match=r"visda test is not registered .* --test-split folds"):
        find_images(Grid(["kd"], ["visda"]), root)
    find_images(Grid(["kd"], ["visda"], options={"test_split": "folds"}), root)
    assert not (root / "cache").exists()
