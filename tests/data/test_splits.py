"""The splits of a setting, and what a method sees of them in each task and track."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from okdbench.core.errors import UserError
from okdbench.core.folds import FOLDS
from okdbench.core.protocol import Track
from okdbench.data import Dataset, Sample
from okdbench.data.splits import SplitRule, Splits, access, assemble
from okdbench.datasets.digits import Digits


class Small(Dataset):
    """Domains of two classes with ``count`` images each; the studio has official test images."""

    classes = ("cup", "lamp")
    domains = {"S": "studio", "P": "phone"}  # noqa: RUF012
    settings = ("S-P",)

    def __init__(self, count: int, roll: int = 0) -> None:
        self.count, self.roll = count, roll

    def samples(self, domain: str, root: Path) -> list[Sample]:  # noqa: ARG002
        rng = np.random.default_rng(len(domain))
        pixels = rng.integers(0, 256, (2 * self.count, 8, 8, 3), dtype=np.uint8)
        labels = np.roll(np.arange(2 * self.count) // self.count, self.roll if domain == "phone" else 0)
        return [Sample(f"{domain}/{index:03d}", int(labels[index]), image) for index, image in enumerate(pixels)]


class WithOfficial(Small):
    official_tests = {"studio": "official"}  # noqa: RUF012


def splits_of(dataset: Dataset, text: str, root: Path, fold: int = 0, official: bool = True) -> Splits:
    size = 32 if isinstance(dataset, Digits) else 8
    return assemble(dataset, dataset.setting(text), size, root, SplitRule(fold, official))


@pytest.mark.parametrize(("dataset", "text"), [(Small(7), "S-P"), (Digits(), "MO-P"), (Digits(), "MP-O")], ids=str)
def test_five_folds_test_every_image_of_every_domain_once(dataset: Dataset, text: str, data_root: Path) -> None:
    tested: Counter[str] = Counter()
    for fold in range(FOLDS):
        splits = splits_of(dataset, text, data_root, fold)
        own = [*splits.train.paths, *splits.val.paths, *splits.test.paths]
        assert len(own) == len(set(own))
        assert not set(splits.teacher_train.paths) & set(splits.teacher_test.paths)
        tested.update(splits.test.paths + splits.teacher_test.paths)
    setting = dataset.setting(text)
    domains = (*setting.teacher_domains, setting.input_domain)
    assert tested == Counter(sample.path for domain in domains for sample in dataset.samples(domain, data_root))


def test_each_task_has_its_images(root: Path) -> None:
    adapt, transfer, free = (splits_of(Small(10), text, root) for text in ("S-P", "S@P", "S"))
    assert [len(part) for part in vars(adapt).values()] == [14, 2, 4, 16, 4]
    assert [len(part) for part in vars(transfer).values()] == [14, 0, 4, 16, 4]
    assert [len(part) for part in vars(free).values()] == [0, 0, 4, 16, 4]
    assert set(adapt.test.paths) < {f"phone/{i:03d}" for i in range(20)}
    for other in (transfer, free):
        assert other.test.digest == other.teacher_test.digest == adapt.teacher_test.digest
    assert set(transfer.train.labels) == {-1}


@pytest.mark.parametrize("text", ["S-P", "-P"])
def test_an_empty_split_is_refused_in_one_line(root: Path, text: str) -> None:
    with pytest.raises(UserError, match="phone has too few images for its test split of fold 4") as caught:
        splits_of(Small(1), text, root, fold=4)
    assert "use another --seed" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_permuted_labels_change_nothing_in_task_transfer(root: Path) -> None:
    one, other = (splits_of(Small(10, roll), "S@P", root / str(roll)) for roll in (0, 3))
    assert one.digest == other.digest
    assert splits_of(Small(10), "S-P", root).digest != splits_of(Small(10, 3), "S-P", root / "3").digest


def test_official_test_images_leave_all_others_for_training(root: Path) -> None:
    folds, official = (splits_of(WithOfficial(10), "P-S", root, official=choice) for choice in (False, True))
    assert [len(folds.train), len(folds.val), len(folds.test)] == [14, 2, 4]
    assert [len(official.train), len(official.val), len(official.test)] == [18, 2, 20]
    assert official.test.paths[0].startswith("official/")
    teacher = splits_of(WithOfficial(10), "S@P", root)
    assert len(teacher.teacher_train) == 20
    assert teacher.test.paths == official.test.paths


# what a method sees


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_labels_per_class_are_exact_and_nested(root: Path, shots: int) -> None:
    splits = splits_of(Small(10), "S-P", root)
    seen = access(splits, Track.LABELLED, shots, Small.classes)
    assert seen.images is seen.labelled
    assert np.bincount(seen.labelled.labels).tolist() == [shots, shots]
    more = access(splits, Track.LABELLED, shots + 1, Small.classes)
    assert set(seen.labelled.paths) < set(more.labelled.paths) <= set(splits.train.paths)


def test_too_few_images_for_the_labels_are_refused_in_one_line(root: Path) -> None:
    splits = splits_of(Small(10), "S-P", root)
    with pytest.raises(UserError, match=r"--shots 8: class '(cup|lamp)' has 7 images in the train split"):
        access(splits, Track.LABELLED, 8, Small.classes)


def test_the_semi_track_shows_all_images_and_few_labels(root: Path) -> None:
    splits = splits_of(Small(10), "S-P", root)
    seen = access(splits, Track.SEMI, 2, Small.classes)
    assert seen.images.paths == splits.train.paths
    assert Counter(seen.images.labels.tolist()) == {-1: 10, 0: 2, 1: 2}
    shown = seen.images.labels >= 0
    assert (seen.images.labels[shown] == splits.train.labels[shown]).all()
    assert seen.labelled.paths == tuple(np.array(splits.train.paths)[shown])
    assert set(splits.train.labels) == {0, 1}, "the splits keep their labels"


def test_the_label_free_track_shows_no_label(root: Path) -> None:
    splits = splits_of(Small(10), "S-P", root)
    seen = access(splits, Track.LABEL_FREE, None, Small.classes)
    assert seen.images.paths == splits.train.paths
    assert set(seen.images.labels) == {-1}
    assert not len(seen.labelled)


def test_with_all_labels_the_labelled_track_shows_the_train_split(root: Path) -> None:
    splits = splits_of(Small(10), "S-P", root)
    assert access(splits, Track.LABELLED, None, Small.classes).images is splits.train
    assert replace(splits).digest == splits.digest
