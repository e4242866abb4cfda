"""What a student gets wrong, from its predictions: accuracy per class, the confusion matrix, and the wrong images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from okdbench.results.predictions import Predictions
from okdbench.results.table import Row

#: a matrix of more classes is not printed as a table, and drawn without numbers
MOST_CLASSES = 12


def class_names(predictions: Predictions) -> tuple[str, ...]:
    """The names of all classes by index; the index itself where a file names none."""
    last = int(max(predictions.labels.max(), predictions.classes.max()))
    return predictions.names + tuple(map(str, range(len(predictions.names), last + 1)))


def confusion_matrix(predictions: Predictions) -> npt.NDArray[np.int64]:
    """Classes x classes numbers of images: the truth in rows, the answer in columns."""
    count = len(class_names(predictions))
    # In 64 bits, because the product of two 16-bit classes overflows.
    cells = predictions.labels.astype(np.int64) * count + predictions.classes[:, 0]
    return np.bincount(cells, minlength=count**2).reshape(count, count)


def class_rows(names: Sequence[str], counts: npt.NDArray[np.int64]) -> list[Row]:
    """A row per class: its images, how many are right (in %: ``acc``), and its most frequent wrong answer."""
    rows: list[Row] = []
    for index, (name, answers) in enumerate(zip(names, counts, strict=True)):
        images, correct = int(answers.sum()), int(answers[index])
        wrong = answers.copy()
        wrong[index] = 0
        most = int(wrong.argmax())
        rows.append(
            {
                "class": name,
                "images": images,
                "correct": correct,
                "acc": 100 * correct / images if images else None,
                "taken_for": names[most] if wrong[most] else None,
                "times": int(wrong[most]) or None,
            }
        )
    return rows


def confused_pairs(names: Sequence[str], counts: npt.NDArray[np.int64]) -> list[Row]:
    """A row per pair of classes that were confused, the most frequent first; ``share`` is of the truth's images, %."""
    wrong = counts - np.diag(counts.diagonal())
    pairs = sorted(np.argwhere(wrong).tolist(), key=lambda pair: (-wrong[tuple(pair)], pair))
    return [
        {
            "truth": names[truth],
            "answer": names[answer],
            "images": int(wrong[truth, answer]),
            "share": float(100 * wrong[truth, answer] / counts[truth].sum()),
        }
        for truth, answer in pairs
    ]


def wrong_images(predictions: Predictions) -> list[dict[str, Any]]:
    """A row per wrong image, the most confident first: path, truth, answer, and the answer's probability in [0, 1]."""
    names, best, sure = class_names(predictions), predictions.classes[:, 0], predictions.probabilities[:, 0]
    wrong = np.flatnonzero(best != predictions.labels).tolist()
    wrong.sort(key=lambda index: (-sure[index], predictions.images[index]))
    return [
        {
            "image": predictions.images[index],
            "truth": names[predictions.labels[index]],
            "answer": names[best[index]],
            # Stored in half precision, which has three decimals.
            "confidence": round(float(sure[index]), 4),
        }
        for index in wrong
    ]
