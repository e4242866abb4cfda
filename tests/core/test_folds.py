"""Folds: every image is tested once in five seeds, nothing is lost, and only paths and classes decide."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from okdbench.core.folds import FOLDS, first_of_each_class, fold_of, split

PARTS = ("train", "val", "test")


def images(*counts: int) -> tuple[list[str], list[int]]:
    """Paths and labels of classes with so many images."""
    pairs = [(f"{label}/{index:03d}.png", label) for label, count in enumerate(counts) for index in range(count)]
    return [path for path, _ in pairs], [label for _, label in pairs]


def parts_of(paths: list[str], labels: list[int], fold: int, **options: bool) -> dict[str, set[str]]:
    return {part: {paths[i] for i in found} for part, found in split(paths, labels, fold, **options).items()}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 10, 14, 100])
def test_five_seeds_test_every_image_once_and_lose_none(count: int) -> None:
    paths, labels = images(count, count, 7)
    tested: Counter[str] = Counter()
    for seed in range(10, 10 + FOLDS):
        parts = parts_of(paths, labels, fold_of(seed))
        assert sum(map(len, parts.values())) == len(paths)
        assert set().union(*parts.values()) == set(paths)
        tested.update(parts["test"])
    assert tested == Counter(paths)


@pytest.mark.parametrize("fold", range(FOLDS))
def test_a_split_has_a_fifth_for_the_test_and_a_tenth_for_validation(fold: int) -> None:
    paths, labels = images(*[103] * 10)
    parts = split(paths, labels, fold)
    for label in range(10):
        counts = [sum(labels[i] == label for i in parts[part]) for part in PARTS]
        assert abs(counts[2] - 103 / 5) < 1
        assert abs(counts[1] - 103 / 10) < 1.5


@pytest.mark.parametrize("count", [5, 7, 10, 23, 200])
@pytest.mark.parametrize("fold", range(FOLDS))
def test_validation_is_half_of_the_next_fold(fold: int, count: int) -> None:
    paths, labels = images(*[count] * 10)
    validation, following = parts_of(paths, labels, fold)["val"], parts_of(paths, labels, fold_of(fold + 1))["test"]
    assert validation < following
    for label in range(10):
        there, half = (sum(path.startswith(f"{label}/") for path in part) for part in (following, validation))
        assert abs(half - there / 2) <= 1 / 2
    # over ten classes, the odd image is as often in validation as in training
    assert len(validation) * 2 == len(following)


def test_small_classes_are_not_all_tested_in_one_fold() -> None:
    paths, labels = images(*[1] * 50)
    for fold in range(FOLDS):
        sizes = {part: len(found) for part, found in split(paths, labels, fold).items()}
        assert sizes == {"train": 35, "val": 5, "test": 10}


def test_what_has_no_part_of_its_own_is_for_training() -> None:
    paths, labels = images(20, 20)
    usual = parts_of(paths, labels, 2)
    teacher = parts_of(paths, labels, 2, validation=False)
    assert teacher == {"train": usual["train"] | usual["val"], "val": set(), "test": usual["test"]}
    official = parts_of(paths, labels, 2, test=False)
    assert official == {"train": usual["train"] | usual["test"], "val": usual["val"], "test": set()}


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=6), st.integers(0, 4), st.integers(0, 2**32))
def test_the_order_of_the_files_and_other_classes_change_nothing(counts: list[int], fold: int, seed: int) -> None:
    paths, labels = images(*counts)
    order = np.random.default_rng(seed).permutation(len(paths))
    shuffled = parts_of([paths[i] for i in order], [labels[i] for i in order], fold)
    assert shuffled == parts_of(paths, labels, fold)
    for label in set(labels):  # not the first alone, whose number says nothing about the others'
        alone = [path for path, own in zip(paths, labels, strict=True) if own == label]
        parts = parts_of(alone, [label] * len(alone), fold)
        assert all(parts[part] == {path for path in shuffled[part] if path.startswith(f"{label}/")} for part in PARTS)


def test_images_without_a_class_are_split_like_one_class() -> None:
    paths, _ = images(50)
    parts = split(paths, [-1] * 50, 0)
    assert [len(parts[part]) for part in PARTS] == [35, 5, 10]


def test_labelled_images_are_nested_and_counted() -> None:
    paths, labels = images(9, 5, 12)
    assert first_of_each_class(paths, labels, 0).tolist() == []
    assert Counter(labels[i] for i in first_of_each_class(paths, labels, 7)) == {0: 7, 1: 5, 2: 7}
    chosen = {count: set(first_of_each_class(paths, labels, count).tolist()) for count in (1, 2, 5, 9)}
    assert chosen[1] < chosen[2] < chosen[5] < chosen[9]
    for count in (1, 2, 5):
        assert Counter(labels[i] for i in chosen[count]) == dict.fromkeys(range(3), count)


def test_labelled_images_depend_on_neither_the_order_of_the_files_nor_other_classes() -> None:
    paths, labels = images(9, 5, 12)
    chosen = {paths[i] for i in first_of_each_class(paths, labels, 3)}
    backwards = paths[::-1]
    assert {backwards[i] for i in first_of_each_class(backwards, labels[::-1], 3)} == chosen
    others, theirs = images(9, 1, 2)
    alike = {others[i] for i in first_of_each_class(others, theirs, 3) if theirs[i] == 0}
    assert alike == {path for path in chosen if path.startswith("0/")}
