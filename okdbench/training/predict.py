"""Predicts the classes of image files with a trained student; files are read exactly as in every run."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from okdbench.core import devices
from okdbench.core.errors import UserError
from okdbench.core.file_names import LISTS
from okdbench.core.files import printable, write_atomic, writing
from okdbench.core.notices import say
from okdbench.core.progress import counter
from okdbench.core.terminal import TableColumn, print_table
from okdbench.data.decoding import declared_ranges, decoding_pool, measured_range, read_image
from okdbench.data.image_files import described, images_in
from okdbench.data.image_form import ImageForm
from okdbench.data.images import Images
from okdbench.data.own_remarks import transparent_note
from okdbench.training.evaluation import BATCH_SIZE
from okdbench.training.evaluation import predict as logits_of
from okdbench.training.student import Student
from okdbench.training.student_lookup import load

#: images may be darker than white by so much, and it is not said
DARK = 8


class Prediction(NamedTuple):
    """The most probable classes of one image with their probabilities in [0, 1], or why there are none."""

    file: Path
    best: list[tuple[str, float]]
    error: str = ""


def predict(
    name: str,
    places: Sequence[Path],
    output: Path | None,
    top: int,
    runs: Path,
    device: str,
    network: str = "",
    replace: bool = False,
    max_value: float | None = None,
) -> bool:
    """Print or write the ``top`` classes of every image in ``places``; False when one cannot be read.

    Args:
        name: a run, or an exported file, as of :func:`okdbench.training.student_lookup.load`.
        places: image files, and folders that are searched with all folders inside them.
        output: CSV file; None prints a table.
        top: number of classes per image, the most probable first.
        runs: folder of runs.
        device: where the student runs.
        network: the user's own network that the student is of.
        replace: whether an output that exists may be replaced.
        max_value: what is white in images of more than eight bits; None for what it was in the student's training.

    Raises:
        UserError: there is no such student, file, folder or device, or no image, or the output exists.
    """
    _check(output, replace, max_value)
    student, on = load(name, runs, network), devices.choose(device)
    if not 1 <= top <= len(student.card.classes):
        raise UserError(f"--top {top}: out of range; the student knows {len(student.card.classes)} classes")
    ignored = Counter[str]()
    files = find(places, ignored)
    white = max_value or student.card.max_value
    left_out = f"ignored: {described(ignored)}" if ignored else ""
    for note in filter(None, (left_out, _range_note(files, white), transparent_note(files))):
        say(note)
    predictions = list(predictions_of(student, files, top, on, white))
    failed = sum(bool(prediction.error) for prediction in predictions)
    if output:
        with writing(output, "--output"):
            # file names may contain any bytes, also some that are no UTF-8
            write_atomic(output, to_csv(predictions, top).encode("utf-8", "surrogateescape"))
        print(f"{output}: {len(predictions)} images" + (f", {failed} of them not read" if failed else ""))
    else:
        _print(predictions, top)
    return not failed


def _check(output: Path | None, replace: bool, max_value: float | None) -> None:
    """Refuse options that cannot be meant, before hours of work."""
    if output and output.suffix.lower() not in ("", ".csv", ".txt"):
        raise UserError(f"--output {output}: the labels are written as CSV; name a .csv")
    if output and output.exists() and not replace:
        raise UserError(f"{output} exists; choose another --output, or replace it with --force")
    if max_value is not None and max_value <= 0:
        raise UserError(f"--max-value {max_value:g}: must be more than 0, such as 4095 for 12 bits")


def find(places: Sequence[Path], ignored: Counter[str]) -> list[Path]:
    """The files among ``places`` and the images below the folders, those of each folder sorted.

    Args:
        places: files and folders.
        ignored: counts what is left out of the folders, by kind.

    Raises:
        UserError: one does not exist or is a list, or there is no image at all.
    """
    files: list[Path] = []
    for place in places:
        if not place.exists():
            raise UserError(f"there is no file or folder {printable(str(place))}; check how it is spelt")
        if place.suffix.lower() in LISTS:
            raise UserError(f"{place} is no image, and lists are not read here; name image files and folders")
        files += images_in(place, ignored) if place.is_dir() else [place]
    if not files:
        raise UserError("there is no image in these folders; name others, or the files themselves")
    return files


def _range_note(files: Sequence[Path], white: float | None) -> str:
    """How images of more than eight bits are scaled; empty if there are none."""
    if not (found := declared_ranges(files)):
        return ""
    values = " and ".join(f"{value:g}" for value in sorted({white} if white else set(found)))
    note = f"white is {values} in files of more than 8 bits"
    if not white:
        note += ", by the bits that they declare, because the student was trained on none of them"
    return f"{note}; --max-value sets it{_other_range(files, white)}"


def _other_range(files: Sequence[Path], white: float | None) -> str:
    """A warning about values that are far from what is white; empty without."""
    if not white:
        return ""
    try:
        found = measured_range(files)
    except UserError as error:
        return f"; warning: {error}"
    if not found or white / DARK < found <= white:
        return ""
    return f"; warning: by their values it is {found:g}"


def predictions_of(
    student: Student, files: Sequence[Path], top: int, device: torch.device, max_value: float | None
) -> Iterator[Prediction]:
    """The predictions for ``files`` in their order; one batch of them is in memory at a time.

    Args:
        student: predicts; moved to ``device``.
        files: image files.
        top: number of classes per image.
        device: where the student runs.
        max_value: what is white in images of more than eight bits; None to go by the bits that they declare.
    """
    student.classifier.to(device)
    card = student.card
    look = (card.resize, max_value, card.exif_rotation, card.interpolation)
    form = ImageForm(card.image_size, len(card.mean), *look)
    with decoding_pool() as pool, counter("predicting", len(files)) as advance:
        for start in range(0, len(files), BATCH_SIZE):
            part = files[start : start + BATCH_SIZE]
            images = list(pool.map(lambda file: _read(file, form), part))
            readable = [image for image in images if not isinstance(image, str)]
            # an iterator, because files that cannot be read have no entry among the logits
            best = iter(_best(student, readable, top, device) if readable else [])
            for file, image in zip(part, images, strict=True):
                yield Prediction(file, [], image) if isinstance(image, str) else Prediction(file, next(best))
            advance(len(part))


def _read(file: Path, form: ImageForm) -> npt.NDArray[np.uint8] | str:
    """The image, or why it cannot be read."""
    try:
        return read_image(file, form)
    except UserError as error:
        return str(error)


def _best(
    student: Student, images: Sequence[npt.NDArray[np.uint8]], top: int, device: torch.device
) -> list[list[tuple[str, float]]]:
    """The ``top`` classes of each image, computed by the code of every evaluation."""
    # labels and paths are placeholders: only the pixels are used
    batch = Images(np.stack(images), np.zeros(len(images), np.int64), ("",) * len(images))
    found = logits_of(student.classifier, batch, device).double().softmax(1).topk(top)
    return [
        [(student.card.classes[index], probability) for index, probability in zip(indices, values, strict=True)]
        for indices, values in zip(found.indices.tolist(), found.values.tolist(), strict=True)
    ]


def to_csv(predictions: Sequence[Prediction], top: int) -> str:
    """A line per image: the file, label and confidence of each of its best classes, and the error if there was one."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["file", *_columns(top), "error"])
    writer.writerows([prediction.file, *_cells(prediction, top), prediction.error] for prediction in predictions)
    return text.getvalue()


def _columns(top: int) -> list[str]:
    return [f"{name}_{rank}" if rank > 1 else name for rank in range(1, top + 1) for name in ("label", "confidence")]


def _cells(prediction: Prediction, top: int) -> list[str]:
    cells = [text for label, confidence in prediction.best for text in (label, f"{confidence:.6f}")]
    return cells or [""] * (2 * top)


def _print(predictions: Sequence[Prediction], top: int) -> None:
    """Print a table; an error takes the place of the first label."""
    names = _columns(top)
    # On a narrow terminal the least probable classes are left out first. File names and labels may come from anyone.
    columns = [TableColumn("file", folds=True, text=printable)] + [
        TableColumn(
            name,
            align="right" if name.startswith("confidence") else "left",
            drop=index // 2,
            folds=name.startswith("label"),
            text=printable,
        )
        for index, name in enumerate(names)
    ]
    rows = []
    for prediction in predictions:
        cells = [prediction.error] if prediction.error else _cells(prediction, top)
        rows.append({"file": str(prediction.file), **dict(zip(names, cells, strict=False))})
    print_table(columns, rows)
