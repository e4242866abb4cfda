"""The errors of one run as files: three tables, the confusion matrix as a figure, and names for copies of images."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from os.path import splitext
from pathlib import Path
from typing import Any

from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.results.confusion import class_names, class_rows, confusion_matrix, wrong_images
from okdbench.results.predictions import Predictions
from okdbench.results.records import Record

#: characters of a file's name that are kept; file systems allow 255 bytes
LONGEST = 60


def write_errors(folder: Path, record: Record, predictions: Predictions) -> list[Path]:
    """Write ``errors.csv``, ``classes.csv``, ``confusion.csv`` and ``confusion.png`` and return their paths.

    Raises:
        UserError: the folder holds the errors of another run; nothing is written then.
    """
    names, counts = class_names(predictions), confusion_matrix(predictions)
    errors = _csv(["image", "truth", "answer", "confidence"], map(dict.values, wrong_images(predictions)))
    _refuse_others(folder / "errors.csv", errors)
    classes = class_rows(names, counts)
    content = {
        "errors.csv": errors,
        "classes.csv": _csv(list(classes[0]), (row.values() for row in classes)),
        "confusion.csv": _csv(["truth", *names], ([name, *row] for name, row in zip(names, counts, strict=True))),
        "confusion.png": _figure(record, predictions),
    }
    for name, data in content.items():
        write_atomic(folder / name, data)
    return [folder / name for name in content]


def _refuse_others(file: Path, content: bytes) -> None:
    """Refuse a folder of another run's errors, with whose images this run's would be mixed."""
    if file.exists() and file.read_bytes() != content:
        raise UserError(f"{file} is of another run, whose images would be mixed with these; choose another --folder")


def _csv(header: Sequence[str], rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    # names of files may contain any bytes, also some that are no UTF-8
    return text.getvalue().encode("utf-8", "surrogateescape")


def _figure(record: Record, predictions: Predictions) -> bytes:
    from okdbench.results.plots.confusion import draw_confusion
    from okdbench.results.plots.figure import render
    from okdbench.results.plots.style import add_title, plot_style

    counts = confusion_matrix(predictions)
    with plot_style():
        figure = draw_confusion(class_names(predictions), counts, f"{counts.sum()} test images")
        add_title(figure, "Confusion matrix", record.title)
        return render(figure, "png")


def image_files(errors: Sequence[Mapping[str, Any]], names: Sequence[str]) -> dict[str, Path]:
    """Path of each wrong image -> relative path of its copy, ``truth/answer/confidence-name.png``.

    Args:
        errors: rows of :func:`okdbench.results.confusion.wrong_images`.
        names: of all classes.
    """
    folders = _folders(names)
    found: dict[str, Path] = {}
    taken: Counter[Path] = Counter()
    for row in errors:
        stem = f"{row['confidence']:.2f}-{_plain(splitext(row['image'])[0])[-LONGEST:]}"
        path = Path(folders[row["truth"]], folders[row["answer"]], stem)
        taken[path] += 1
        # A plus sign is in no plain name, so that the number cannot make two names equal.
        number = f"+{taken[path]}" if taken[path] > 1 else ""
        found[row["image"]] = path.with_name(f"{stem}{number}.png")
    return found


def _folders(names: Sequence[str]) -> dict[str, str]:
    """Class -> name of its folder: the class's own where that is a name of a file, with its index where it is not."""
    plain = [_plain(name)[:LONGEST] for name in names]
    seen = Counter(name.casefold() for name in plain)
    return {
        name: text if text and seen[text.casefold()] == 1 else f"{index}-{text}"
        for index, (name, text) in enumerate(zip(names, plain, strict=True))
    }


def _plain(text: str) -> str:
    """The text without what has a meaning in paths: slashes, dots at its ends, blanks."""
    return re.sub(r"[^\w.=,-]+", "-", text).strip("-.")
