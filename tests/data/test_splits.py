"""The splits of a setting, and what a method sees of them in each task and track."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from support.error_text import refusal

from okdbench.core.errors import UserError
from okdbench.core.folds import FOLDS, images_needed, split
from okdbench.core.protocol import Track
from okdbench.data import Dataset, Sample
from okdbench.data.images import Images
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


class Backwards(Small):
    def samples(self, domain: str, root: Path) -> list[Sample]:
        return super().samples(domain, root)[::-1]


class FewOnPhone(Small):
    """A phone of ``few`` images without labels."""

    unlabelled = frozenset({"phone"})
    settings = ("S@P",)
    few = 1

    def samples(self, domain: str, root: Path) -> list[Sample]:
        samples = super().samples(domain, root)
        return [replace(sample, label=-1) for sample in samples[: self.few]] if domain == "phone" else samples


def spelled(value: object) -> str:
    """The part of a test's name that stands for a parameter, the same in every process."""
    return value.name if isinstance(value, Dataset) else str(value)


def splits_of(dataset: Dataset, text: str, root: Path, fold: int = 0, official: bool = True) -> Splits:
    size = 32 if isinstance(dataset, Digits) else 8
    return assemble(dataset, dataset.setting(text), size, root, SplitRule(fold, official))


@pytest.mark.parametrize(("dataset", "text"), [(Small(7), "S-P"), (Digits(), "MO-P"), (Digits(), "MP-O")], ids=spelled)
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
    assert sizes(adapt) == [14, 2, 4, 16, 4]
    assert sizes(transfer) == [14, 0, 4, 16, 4]
    assert sizes(free) == [0, 0, 4, 16, 4]
    assert set(adapt.test.paths) < {f"phone/{i:03d}" for i in range(20)}
    for other in (transfer, free):
        assert other.test.digest == other.teacher_test.digest == adapt.teacher_test.digest
    assert set(transfer.train.labels) == {-1}


def parts(splits: Splits) -> list[Images]:
    return [part for part in vars(splits).values() if isinstance(part, Images)]


def sizes(splits: Splits) -> list[int]:
    return list(map(len, parts(splits)))


def test_the_digest_of_the_images_is_that_of_every_fold(root: Path) -> None:
    one, other = (splits_of(Small(10), "S-P", root, fold) for fold in (0, 1))
    assert one.digest != other.digest
    assert one.images_digest == other.images_digest != splits_of(Small(10, 3), "S-P", root / "3").images_digest


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10])
@pytest.mark.parametrize("text", ["S-P", "S@P", "S"])
def test_with_few_images_every_image_is_in_one_part_or_a_part_is_refused(root: Path, text: str, count: int) -> None:
    studio, phone = ([f"{domain}/{index:03d}" for index in range(2 * count)] for domain in ("studio", "phone"))
    possible = []
    for fold in range(FOLDS):
        try:
            splits = splits_of(Small(count), text, root, fold)
        except UserError:
            continue
        possible.append(fold)
        assert sorted(splits.teacher_train.paths + splits.teacher_test.paths) == studio
        if text == "S-P":
            assert sorted(splits.train.paths + splits.val.paths + splits.test.paths) == phone
        assert all(map(len, (splits.test, splits.teacher_train, splits.teacher_test)))
        assert all(map(len, (splits.train, splits.val))) or text != "S-P"
    # The first class is dealt from fold 0 on, the second from fold 1 on. Where an image of the next fold must be for
    # validation, these are of the first class.
    assert possible == list(range(min(FOLDS, count + 1 if text != "S-P" else count - 1 if count < 4 else FOLDS)))


@pytest.mark.parametrize(
    ("dataset", "text", "fold", "part"),
    [
        (Small(1), "S-P", 4, "phone has too few images for its test split of fold 4"),
        (Small(1), "-P", 4, "phone has too few images for its test split of fold 4"),
        (
            Small(1),
            "-P",
            1,
            "phone has too few images for its val split of fold 1 of 0-4 (class 'cup' has 1 and needs 3)",
        ),
        (Small(1), "S@P", 4, "studio has too few images for its test split of fold 4"),
        (Small(1), "S", 4, "studio has too few images for its test split of fold 4"),
    ],
    ids=spelled,
)
def test_an_empty_split_is_refused_in_one_line(dataset: Dataset, text: str, fold: int, part: str, root: Path) -> None:
    message = refusal(splits_of, dataset, text, root, fold)
    assert message.startswith(part)
    assert " of 0-4 (class '" in message
    assert message.endswith("; add images, or use another --seed: a run tests on fold seed mod 5")


@pytest.mark.parametrize("label", range(4))
@pytest.mark.parametrize("part", ["train", "val", "test"])
def test_the_images_that_are_needed_are_enough_and_one_less_is_not(part: str, label: int) -> None:
    for count in (1, 3):
        needed = images_needed(part, label, range(5), count)
        least = {
            number: min(len(split([f"{i}" for i in range(number)], [label] * number, f)[part]) for f in range(5))
            for number in (needed - 1, needed)
        }
        assert least[needed - 1] < count <= least[needed]


def test_a_single_unlabelled_image_is_enough_in_every_fold(root: Path) -> None:
    assert [len(splits_of(FewOnPhone(10), "S@P", root, fold).train) for fold in range(5)] == [1] * 5


@pytest.mark.parametrize("text", ["S-P", "S@P", "S"])
def test_the_order_in_which_samples_are_listed_changes_nothing(root: Path, text: str) -> None:
    one, other = (splits_of(dataset, text, root) for dataset in (Small(10), Backwards(10)))
    assert (one.digest, one.images_digest) == (other.digest, other.images_digest)


def test_permuted_labels_change_nothing_in_task_transfer(root: Path) -> None:
    one, other = (splits_of(Small(10, roll), "S@P", root / str(roll)) for roll in (0, 3))
    assert (one.digest, one.images_digest) == (other.digest, other.images_digest)
    assert [part.paths for part in parts(one)] == [part.paths for part in parts(other)]
    assert splits_of(Small(10), "S-P", root).digest != splits_of(Small(10, 3), "S-P", root / "3").digest


def test_official_test_images_leave_all_others_for_training(root: Path) -> None:
    folds, official = (splits_of(WithOfficial(10), "P-S", root, official=choice) for choice in (False, True))
    assert [len(folds.train), len(folds.val), len(folds.test)] == [14, 2, 4]
    assert [len(official.train), len(official.val), len(official.test)] == [18, 2, 20]
    assert official.test.paths[0].startswith("official/")
    teacher = splits_of(WithOfficial(10), "S@P", root)
    assert len(teacher.teacher_train) == 20
    assert teacher.test.paths == official.test.paths
    assert not set(official.train.paths) & set(official.val.paths)
    assert len({*official.train.paths, *official.val.paths}) == 20
    assert official.val.paths == folds.val.paths
    # nobody looks at the official images of a domain that is only transferred from
    given = splits_of(WithOfficial(10), "P@S", root)
    assert len(given.train) == 18
    assert not set(given.train.paths) & set(given.test.paths)


@pytest.mark.parametrize("count", [1, 2])
def test_official_test_images_are_enough_where_folds_are_refused(root: Path, count: int) -> None:
    official = [splits_of(WithOfficial(count), "S", root, fold) for fold in range(FOLDS)]
    assert [sizes(splits) for splits in official] == [[0, 0, 2 * count, 2 * count, 2 * count]] * FOLDS
    assert "its test split of fold 4" in refusal(splits_of, WithOfficial(1), "S", root, 4, official=False)


# what a method sees


@pytest.mark.parametrize("shots", [1, 2, 5])
def test_labels_per_class_are_exact_and_nested(root: Path, shots: int) -> None:
    splits = splits_of(Small(10), "S-P", root)
    seen = access(splits, Track.LABELLED, shots, Small.classes)
    assert seen.images is seen.labelled
    assert np.bincount(seen.labelled.labels).tolist() == [shots, shots]
    more = access(splits, Track.LABELLED, shots + 1, Small.classes)
    assert set(seen.labelled.paths) < set(more.labelled.paths) <= set(splits.train.paths)


@pytest.mark.parametrize("text", Digits.settings)
def test_every_class_of_the_digits_has_the_same_number_of_labels(data_root: Path, text: str) -> None:
    for fold in range(FOLDS):
        splits = splits_of(Digits(), text, data_root, fold)
        seen = {shots: access(splits, Track.SEMI, shots, Digits.classes) for shots in (1, 5, 100)}
        for shots, shown in seen.items():
            assert np.bincount(shown.labelled.labels).tolist() == [shots] * 10
            assert (shown.images.labels >= 0).sum() == 10 * shots
        assert set(seen[1].labelled.paths) < set(seen[5].labelled.paths) < set(seen[100].labelled.paths)


@pytest.mark.parametrize("track", [Track.LABELLED, Track.SEMI])
def test_too_few_images_for_the_labels_are_refused_in_one_line(root: Path, track: Track) -> None:
    splits = splits_of(Small(10), "S-P", root)
    cups = splits.train.take(np.flatnonzero(splits.train.labels == 0))
    lamps = splits.train.take(np.flatnonzero(splits.train.labels == 1)[:3])
    few = replace(splits, train=Images.concatenate([cups, lamps]))
    assert np.bincount(access(few, track, 3, Small.classes).labelled.labels).tolist() == [3, 3]
    message = refusal(access, few, track, 4, Small.classes)
    enough = "images of it, which are enough with every seed"
    few_lamps = "--shots 4: the train split has only 3 images of class 'lamp'"
    assert message == f"{few_lamps}; give at most --shots 3, or 5 {enough}"
    message = refusal(access, replace(few, train=cups), track, 1, Small.classes)
    assert message.endswith(f"only 0 images of class 'lamp'; use another --seed, or 2 {enough}")


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
