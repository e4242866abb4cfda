"""What a finished run predicts for each test image: ``predictions.npz`` in its folder.

From it follow accuracy per class, confusion matrices, calibration curves and paired tests on images, without a network.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from okdbench.core.array_files import read_arrays, write_arrays
from okdbench.core.errors import UserError

FILE = "predictions.npz"
#: classes that are kept for each image
TOP = 5
#: M = 15 in table 1 of Guo et al. 2017
CALIBRATION_BINS = 15


class Predictions(NamedTuple):
    """The selected student on N test images, in the order of the split.

    Attributes:
        images: N paths, which name the images in every run on this data set.
        labels: N class indices.
        classes: N x 5 class indices, the most probable first; fewer columns where there are fewer classes.
        probabilities: N x 5, of these classes, in [0, 1].
        names: of all classes by index; none in files from before there were names.
    """

    images: tuple[str, ...]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    probabilities: npt.NDArray[Any]
    names: tuple[str, ...] = ()


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Store the predictions in the folder of a run, in about 20 bytes per image."""
    arrays = {
        "images": np.array(predictions.images, dtype=np.str_),
        "labels": predictions.labels.astype(np.int16),
        "classes": predictions.classes.astype(np.int16),
        # half precision: a thousandth of a probability is all that a curve shows
        "probabilities": predictions.probabilities.astype(np.float16),
        "names": np.array(predictions.names, dtype=np.str_),
    }
    write_arrays(folder / FILE, arrays)


def read_predictions(folder: Path) -> Predictions:
    """The predictions in the folder of a run, such as ``runs/3f9a...``.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    try:
        kept = read_arrays(folder / FILE)
        labels, classes, probabilities = (kept[name] for name in ("labels", "classes", "probabilities"))
        names = _texts(kept["names"]) if "names" in kept else ()
        found = Predictions(_texts(kept["images"]), labels, classes, probabilities, names)
        _refuse_misfits(found)
    except (ValueError, KeyError) as error:
        raise UserError(
            f"{folder / FILE} cannot be read ({error}); delete the run's folder and repeat its command"
        ) from error
    return found


def _texts(array: npt.NDArray[Any]) -> tuple[str, ...]:
    if array.dtype.kind != "U" or array.ndim != 1:
        raise ValueError("its names are no texts")
    return tuple(array.tolist())


def _refuse_misfits(found: Predictions) -> None:
    """Raise a ValueError unless the parts belong together; an intact file may come from anyone."""
    shape = found.classes.shape
    same = found.probabilities.shape == shape and found.labels.shape == shape[:1] == (len(found.images),)
    if not same or len(shape) != 2 or 0 in shape:
        raise ValueError("its parts are not of the same images")
    indices = np.column_stack([found.labels, found.classes])
    if indices.dtype.kind != "i" or indices.min() < 0 or (found.names and indices.max() >= len(found.names)):
        raise ValueError("its classes do not exist")
