"""Copies of the images that a run's student gets wrong, from the data set that the record names. Loads no torch."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from okdbench import registry
from okdbench.core.config import LARGEST_IMAGE, SMALLEST_IMAGE
from okdbench.core.errors import UserError
from okdbench.core.files import write_atomic
from okdbench.core.folds import fold_of
from okdbench.core.progress import counter
from okdbench.data.cache import load_domain
from okdbench.data.dataset import Dataset
from okdbench.data.splits import SplitRule, assemble
from okdbench.results.confusion import class_names, wrong_images
from okdbench.results.error_files import image_files
from okdbench.results.predictions import Predictions
from okdbench.results.records import Record


def copy_images(folder: Path, record: Record, predictions: Predictions, dataset: Dataset, root: Path) -> int:
    """Write ``folder/truth/answer/confidence-name.png`` for each wrong image, and return their number.

    Args:
        folder: where to.
        record: of the run.
        predictions: of the run.
        dataset: the run's data set; see :func:`dataset_of`.
        root: the data folder.

    Raises:
        UserError: the data set lacks images, or has other labels than the run had; what it has is written.
    """
    files = image_files(wrong_images(predictions), class_names(predictions))
    labels = {
        path: label
        for path, label in zip(predictions.images, predictions.labels.tolist(), strict=True)
        if path in files
    }
    with counter("copying images", len(files)) as advance:
        for path, pixels in _tested_images(record, dataset, labels, root):
            content = io.BytesIO()
            # Pillow has no images of one channel with an axis for it.
            Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG")
            write_atomic(folder / files[path], content.getvalue())
            advance(1)
    return len(files)


def is_changed(record: Record, dataset: Dataset, root: Path) -> bool:
    """Whether the images are others now than in the run, as far as all of its domains are still there."""
    setting, made = dataset.setting(record.setting), _in_format(dataset, record)
    found = ""
    for official in (True, False):
        rule = SplitRule(fold_of(record.seed), official)
        with suppress(UserError):
            found = assemble(made, setting, _size(record), root, rule).images_digest
        if found == record.data_digest:
            return False
    return bool(found)


def dataset_of(record: Record, given: str | None) -> Dataset:
    """The data set of a run.

    Args:
        record: of the run.
        given: name or path that the user gives; by default the record's, which may come from anyone and so names
            no file.

    Raises:
        UserError: it cannot be found, is a file that the user does not name, or is another one than the run's.
    """
    name = given or str(record.config.get("dataset", record.dataset))
    if not given and registry.is_own_dataset(name):
        raise UserError(f"the run's data set is a file, {name}; name it with --dataset")
    dataset = registry.load_dataset(name)
    if dataset.name != record.dataset:
        raise UserError(f"--dataset {name} is not the run's data set, which is called {record.dataset}")
    return dataset


def _tested_images(
    record: Record, dataset: Dataset, labels: Mapping[str, int], root: Path
) -> Iterator[tuple[str, npt.NDArray[np.uint8]]]:
    """Path and pixels of the test images with these paths and labels, in the resolution in which the student saw them.

    Raises:
        UserError: the data set lacks images, or has other labels.
    """
    setting, size = dataset.setting(record.setting), _size(record)
    tests = [dataset.official_tests[name] for name in setting.test_domains if name in dataset.official_tests]
    missing = dict(labels)
    dataset = _in_format(dataset, record)
    # Official test images first: they are often all that is wanted, and the other domain may be large.
    for domain in [*tests, *setting.test_domains]:
        if not missing:
            return
        images = load_domain(dataset, domain, size, root)
        for index, path in enumerate(images.paths):
            label = missing.pop(path, None)
            if label is None:
                continue
            if images.labels[index] != label:
                raise UserError(f"{path} has another class now than in the run; the data set was changed")
            yield path, np.asarray(images.pixels[index : index + 1][0])
    if missing:
        raise UserError(f"{len(missing)} images are not in the data set any more, such as {next(iter(missing))}")


def _in_format(dataset: Dataset, record: Record) -> Dataset:
    return dataset.with_format(len(record.mean) or None, resize=record.resize, interpolation=record.interpolation)


def _size(record: Record) -> int:
    size = record.config.get("image_size")
    # A record may come from anyone.
    if not isinstance(size, int) or not SMALLEST_IMAGE <= size <= LARGEST_IMAGE:
        raise UserError("the record does not say in which resolution the student saw them")
    return size
