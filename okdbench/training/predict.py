"""What a student says about pictures in files, read exactly as every run reads them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from okdbench.core import devices as devices
from okdbench.core.errors import UserError
from okdbench.core.files import printable, write_atomic, writing
from okdbench.core.progress import counter
from okdbench.data.decoding import decoding_pool, read_image
from okdbench.data.image_files import images_in
from okdbench.data.images import Images
from okdbench.training.evaluation import BATCH_SIZE
from okdbench.training.evaluation import predict as logits_of
from okdbench.training.student import Student, load


class Prediction(NamedTuple):
    """The best classes of one picture with their probabilities in [0, 1], or why it has none."""

    file: Path
    best: list[tuple[str, float]]
    error: str = ""


def predict(name: str, places: Sequence[Path], output: Path | None, top: int, runs: Path, device: str) -> bool:
    """Print or write the ``top`` classes of every picture in ``places``; False when one cannot be read.

    Args:
        name: a run, or a file that it was exported to (:func:`okdbench.training.student.load`).
        places: picture files, and folders that are searched to their ends.
        output: CSV file; None prints a table.
        top: classes of each picture, the best first.
        runs: folder of runs.
        device: where the student works.

    Raises:
        UserError: there is no such student, file, folder or device, or no picture.
    """
    student, on = load(name, runs), devices.choose(device)
    if not 1 <= top <= len(student.card.classes):
        raise UserError(f"--top {top}: out of range; the student knows {len(student.card.classes)} classes")
    predictions = list(answers(student, find(places), top, on))
    if output:
        with writing(output, "--output"):
            write_atomic(output, to_csv(predictions, top).encode("utf-8", "surrogateescape"))
        print(f"{output}: {len(predictions)} pictures")
    else:
        Console().print(_table(predictions, top))
    return not any(prediction.error for prediction in predictions)


def find(places: Sequence[Path]) -> list[Path]:
    """The files among ``places`` and the pictures below the folders, those of each folder in order.

    Raises:
        UserError: one does not exist, or there is no picture at all.
    """
    files: list[Path] = []
    for place in places:
        if not place.exists():
            raise UserError(f"there is no file or folder {printable(str(place))}; check how it is spelt")
        files += images_in(place) if place.is_dir() else [place]
    if not files:
        raise UserError("there is no picture in these folders; name others, or the files themselves")
    return files


def answers(student: Student, files: Sequence[Path], top: int, device: torch.device) -> Iterator[Prediction]:
    """The predictions for ``files`` in their order; a batch of them is in memory at a time."""
    student.classifier.to(device)
    with decoding_pool() as pool, counter("predicting", len(files)) as advance:
        for start in range(0, len(files), BATCH_SIZE):
            part = files[start : start + BATCH_SIZE]
            pictures = list(pool.map(lambda file: _read(file, student.card.image_size), part))
            sound = [picture for picture in pictures if not isinstance(picture, str)]
            best = iter(_best(student, sound, top, device) if sound else [])
            for file, picture in zip(part, pictures, strict=True):
                yield Prediction(file, [], picture) if isinstance(picture, str) else Prediction(file, next(best))
            advance(len(part))


def _read(file: Path, size: int) -> npt.NDArray[np.uint8] | str:
    """The picture, or why there is none."""
    try:
        return read_image(file, size)
    except UserError as error:
        return str(error)


def _best(
    student: Student, pictures: Sequence[npt.NDArray[np.uint8]], top: int, device: torch.device
) -> list[list[tuple[str, float]]]:
    """The ``top`` classes of each picture, by what every evaluation does."""
    images = Images(np.stack(pictures), np.zeros(len(pictures), np.int64), ("",) * len(pictures))
    found = logits_of(student.classifier, images, device).double().softmax(1).topk(top)
    return [
        [(student.card.classes[index], share) for index, share in zip(indices, shares, strict=True)]
        for indices, shares in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def to_csv(predictions: Sequence[Prediction], top: int) -> str:
    """A line for each picture: the file, label and confidence of each of its best classes, and what went wrong."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *_columns(top), "error"])
    writer.writerows([prediction.file, *_cells(prediction, top), prediction.error] for prediction in predictions)
    return text.getvalue()


def _columns(top: int) -> list[str]:
    return [f"{name}_{place}" if place > 1 else name for place in range(1, top + 1) for name in ("label", "confidence")]


def _cells(prediction: Prediction, top: int) -> list[str]:
    cells = [text for label, share in prediction.best for text in (label, f"{share:.6f}")]
    return cells or [""] * (2 * top)


def _table(predictions: Sequence[Prediction], top: int) -> Table:
    """For the terminal; what went wrong stands in the place of the first label."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in ("file", *_columns(top)):
        table.add_column(name, overflow="fold", justify="right" if name.startswith("confidence") else "left")
    for prediction in predictions:
        cells = [prediction.error] if prediction.error else _cells(prediction, top)
        table.add_row(*(escape(printable(text)) for text in (str(prediction.file), *cells)))
    return table
