"""Whether confidence is accuracy: predictions in bins of equal width (Guo et al. 2017), in percent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from okdbench.results.predictions import CALIBRATION_BINS, Predictions


class Reliability(NamedTuple):
    """Images by the confidence of their answer, in 15 bins.

    Attributes:
        images: number of images in each bin.
        confidence: their mean confidence, %; NaN in an empty bin.
        accuracy: how many of them are right, %; NaN in an empty bin.
    """

    images: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    accuracy: npt.NDArray[np.float64]

    @property
    def ece(self) -> float:
        """The expected calibration error in percent, as in a record but for the rounding of stored probabilities."""
        gaps = np.abs(self.accuracy - self.confidence)
        return float(np.nansum(self.images * gaps) / self.images.sum())


def reliability(predictions: Predictions) -> Reliability:
    """Confidence and accuracy of N predictions by bin."""
    confidence = predictions.probabilities[:, 0].astype(np.float64)
    right = predictions.classes[:, 0] == predictions.labels
    # a confidence of exactly 1 belongs to the last bin
    bins = (confidence * CALIBRATION_BINS).astype(np.int64).clip(0, CALIBRATION_BINS - 1)
    images, sure, hits = (
        np.bincount(bins, weights=weights, minlength=CALIBRATION_BINS) for weights in (None, confidence, right)
    )
    with np.errstate(invalid="ignore"):  # 0 / 0 in an empty bin
        return Reliability(images, 100 * sure / images, 100 * hits / images)
