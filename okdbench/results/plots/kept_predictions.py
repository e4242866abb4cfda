"""The predictions that the runs of a comparison group keep beside their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

import numpy as np

from okdbench.core.errors import UserError
from okdbench.results.plots.group import PlotGroup
from okdbench.results.predictions import Predictions, read_predictions
from okdbench.results.records import Record


class Kept(NamedTuple):
    """A finished run and its predictions."""

    run: Record
    predictions: Predictions


def kept_predictions(group: PlotGroup) -> dict[str, dict[str, list[Kept]]]:
    """Setting -> method, in the group's order -> its runs with predictions by seed; what has none is left out.

    Raises:
        UserError: the folder of runs is missing, or no run keeps predictions.
    """
    if not group.runs:
        raise UserError("an archive of records has no predictions; name the folder of the runs with --runs")
    found: dict[str, dict[str, list[Kept]]] = {}
    for setting in group.settings:
        for method in group.methods:
            cells: Mapping[int, Record] = {
                cell.seed: run
                for cell, run in group.finished[method].items()
                if cell.setting == setting and run.key in group.folders
            }
            for seed in sorted(cells):
                with suppress(UserError):
                    kept = Kept(cells[seed], read_predictions(group.folders[cells[seed].key]))
                    found.setdefault(setting, {}).setdefault(method, []).append(kept)
    if not found:
        raise UserError(f"no run below {group.where} keeps predictions; run the methods again with another --runs")
    return found


def joined(runs: Sequence[Kept]) -> Predictions:
    """The best classes of all these runs, one run after the other."""
    parts = [run.predictions for run in runs]
    return Predictions(
        tuple(image for part in parts for image in part.images),
        np.concatenate([part.labels for part in parts]),
        # Of the best class alone, because foreign files may have different numbers of columns.
        np.concatenate([part.classes[:, :1] for part in parts]),
        np.concatenate([part.probabilities[:, :1] for part in parts]),
        max((part.names for part in parts), key=len),
    )
