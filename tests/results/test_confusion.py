"""What a student gets wrong, from handmade predictions: matrix, classes, pairs, images and calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix as by_sklearn
from support.predictions import guessed

from okdbench.results.calibration import reliability
from okdbench.results.confusion import class_names, class_rows, confused_pairs, confusion_matrix, wrong_images
from okdbench.results.error_files import image_files
from okdbench.results.predictions import CALIBRATION_BINS, Predictions


def made(labels: list[int], answers: list[int], names: tuple[str, ...] = ("cat", "dog", "owl")) -> Predictions:
    """Images a, b, c, ... with these answers, each more confident than the one before it."""
    images = tuple(chr(ord("a") + i) for i in range(len(labels)))
    sure = np.linspace(0.5, 0.9, len(labels))[:, None]
    return Predictions(images, np.array(labels, np.int16), np.array(answers, np.int16)[:, None], sure, names)


@pytest.mark.parametrize("classes", [2, 10, 345])
def test_the_matrix_has_the_truth_in_rows(classes: int) -> None:
    predictions = guessed(classes, images=500)
    expected = by_sklearn(predictions.labels, predictions.classes[:, 0], labels=range(classes))
    assert np.array_equal(confusion_matrix(predictions), expected)


def test_a_file_without_names_has_numbers() -> None:
    predictions = made([0, 2, 1], [0, 4, 1], ())
    assert class_names(predictions) == ("0", "1", "2", "3", "4")
    assert confusion_matrix(predictions).shape == (5, 5)
    assert class_names(predictions._replace(names=("cat",))) == ("cat", "1", "2", "3", "4")


def test_a_class_has_its_accuracy_and_its_most_frequent_wrong_answer() -> None:
    names, counts = ("cat", "dog", "owl", "yak"), np.array([[2, 1, 3, 0], [0, 4, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    assert [tuple(row.values()) for row in class_rows(names, counts)] == [
        ("cat", 6, 2, 100 / 3, "owl", 3),
        ("dog", 4, 4, 100, None, None),
        ("owl", 2, 0, 0, "cat", 1),
        ("yak", 0, 0, None, None, None),
    ]
    assert [tuple(row.values()) for row in confused_pairs(names, counts)] == [
        ("cat", "owl", 3, 50),
        ("cat", "dog", 1, 100 / 6),
        ("owl", "cat", 1, 50),
        ("owl", "dog", 1, 50),
    ]


def test_wrong_images_are_sorted_by_confidence() -> None:
    rows = wrong_images(made([0, 1, 2, 0, 1], [1, 1, 0, 0, 2]))
    assert [(row["image"], row["truth"], row["answer"]) for row in rows] == [
        ("e", "dog", "owl"),
        ("c", "owl", "cat"),
        ("a", "cat", "dog"),
    ]
    assert [row["confidence"] for row in rows] == [0.9, 0.7, 0.5]


def test_bins_of_confidence_give_the_calibration_error() -> None:
    confidence = np.array([0.05, 0.06, 1.0, 0.97, 0.99, 0.5])
    right = np.array([1, 0, 1, 1, 0, 0])
    labels = np.zeros(6, np.int16)
    found = reliability(Predictions(tuple("abcdef"), labels, (1 - right)[:, None], confidence[:, None]))
    assert found.images.tolist() == [2, *[0] * 6, 1, *[0] * (CALIBRATION_BINS - 9), 3]
    assert found.accuracy[[0, 7, 14]] == pytest.approx([50, 0, 200 / 3])
    assert found.confidence[[0, 7, 14]] == pytest.approx([5.5, 50, 100 * 2.96 / 3])
    assert np.isnan(found.accuracy[1])
    assert found.ece == pytest.approx(100 * (abs(1 - 0.11) + 0.5 + abs(2 - 2.96)) / 6)


def test_copies_have_names_of_their_own_below_the_folder() -> None:
    names = ("../..", "a/b", "a b", "Cat", "größe", "/")
    images = ("../../etc/x.png", "a/b.png", "a b.png", "", "..", "\0\x1b[2J", "y" * 300)
    rows = [
        {"image": image, "truth": truth, "answer": names[0], "confidence": 0.5}
        for image, truth in zip(images, [*names, "Cat"], strict=True)
    ]
    paths = list(image_files(rows, names).values())
    assert [path.parts[0] for path in paths] == ["0-", "1-a-b", "2-a-b", "Cat", "größe", "5-", "Cat"]
    assert all(len(path.parts) == 3 and ".." not in path.parts for path in paths)
    assert all(path.name.startswith("0.50-") and len(path.name.encode()) < 255 for path in paths)
    twice = image_files([{**rows[0], "image": image} for image in ("a b.png", "a-b.png", "a-b-2.png")], names)
    assert [path.name for path in twice.values()] == ["0.50-a-b.png", "0.50-a-b+2.png", "0.50-a-b-2.png"]
    assert Path("0-", "0-") == paths[0].parent
