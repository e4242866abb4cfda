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


class Predictions(NamedTuple):
    """The selected student on N test images, in the order of the split.

    Attributes:
        images: N paths, which name the images in every run on this data set.
        labels: N class indices.
        classes: N x 5 class indices, the most probable first; fewer columns where there are fewer classes.
        probabilities: N x 5, of these classes, in [0, 1].
    """

    images: tuple[str, ...]
    labels: npt.NDArray[Any]
    classes: npt.NDArray[Any]
    probabilities: npt.NDArray[Any]


def write_predictions(folder: Path, predictions: Predictions) -> None:
    """Store the predictions in the folder of a run, in about 20 bytes per image."""
    arrays = {
        "images": np.array(predictions.images, dtype=np.str_),
        "labels": predictions.labels.astype(np.int16),
        "classes": predictions.classes.astype(np.int16),
        # half precision: a thousandth of a probability is all that a curve shows
        "probabilities": predictions.probabilities.astype(np.float16),
    }
    write_arrays(folder / FILE, arrays)


def read_predictions(folder: Path) -> Predictions:
    """The predictions in the folder of a run, such as ``runs/3f9a...``.

    Raises:
        UserError: there are none, or the file is damaged.
    """
    try:
        kept = read_arrays(folder / FILE)
        images, *arrays = (kept[name] for name in Predictions._fields)
    except (ValueError, KeyError) as error:
        raise UserError(f"{folder / FILE} cannot be read ({error}); the run's command makes it again") from error
    return Predictions(tuple(images.tolist()), *arrays)
