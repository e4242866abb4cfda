"""Reliability diagrams: accuracy against confidence, one figure per setting with a panel for each method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from okdbench.results.calibration import Reliability, reliability
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup
from okdbench.results.plots.kept_predictions import Kept, joined, kept_predictions
from okdbench.results.plots.style import (
    COLUMN_WIDTH,
    GREY,
    LINE_HEIGHT,
    PAGE_WIDTH,
    add_notes,
    method_style,
    new_figure,
    wrap_method,
)
from okdbench.results.predictions import CALIBRATION_BINS

#: panels side by side in one column of print, and on a page
IN_COLUMN, ON_PAGE = 3, 6
#: inches of a panel's side
LARGEST = 1.5
#: letters of a line above a panel
NAME_WIDTH = 17
#: a bin of fewer images says little
FEW = 10


def plot_calibration(group: PlotGroup) -> list[PlotFigure]:
    """Draw a figure per setting: accuracy by confidence over the test images of all seeds of each method.

    Raises:
        UserError: the folder of runs is missing, or no run keeps predictions.
    """
    return [_figure(group, setting, methods) for setting, methods in kept_predictions(group).items()]


def _figure(group: PlotGroup, setting: str, methods: Mapping[str, Sequence[Kept]]) -> PlotFigure:
    names = {method: wrap_method(method, NAME_WIDTH) for method in methods}
    errors = {method: fmean(kept.run.selected.evaluation.test.ece for kept in runs if kept.run.selected)
              for method, runs in methods.items()}  # fmt: skip
    figure, panels = _panels(len(methods), 2 + max(name.count("\n") for name in names.values()))
    for axes, (method, runs) in zip(panels, methods.items(), strict=True):
        _draw(axes, method, reliability(joined(runs)))
        axes.set_title(f"{names[method]}\nECE {errors[method]:.1f}", pad=5, parse_math=False)
    figure.supylabel("accuracy, %", fontsize=7)
    add_notes(
        figure,
        "confidence, %",
        "dashes: calibrated; bars: % of the images in each bin",
        f"hollow: fewer than {FEW} images; ECE: mean over seeds, %",
    )
    found = ", ".join(f"{method} {error:.1f}" for method, error in errors.items())
    alt = f"Accuracy by confidence in {CALIBRATION_BINS} bins; expected calibration error in %: {found}"
    return group.finish("calibration", f"Calibration in {setting}", alt, figure, setting)


def _panels(count: int, lines: int) -> tuple[Figure, list[Axes]]:
    """A figure of ``count`` square panels that share their axes, with room for so many lines above each."""
    most, width = (IN_COLUMN, COLUMN_WIDTH) if count <= 2 * IN_COLUMN else (ON_PAGE, PAGE_WIDTH)
    across = min(most, count)
    down = math.ceil(count / across)
    side = min(LARGEST, (width - 0.4) / across - 0.1)
    figure = new_figure(width, 0.2 + down * (side + LINE_HEIGHT * lines + 0.1))
    # Room for a 100 beside the next panel's 0.
    figure.set_layout_engine("constrained", w_pad=0.06)
    panels = list(figure.subplots(down, across, squeeze=False, sharex=True, sharey=True).flat)
    for index, axes in enumerate(panels[:count]):
        # matplotlib labels the last row alone, which may have fewer panels.
        axes.tick_params(labelbottom=index + across >= count)
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count]


def _draw(axes: Axes, method: str, bins: Reliability) -> None:
    """Draw the accuracy of each bin that has images over a histogram of the bins."""
    colour, marker = method_style(method)
    width = 100 / CALIBRATION_BINS
    shares = 100 * bins.images / bins.images.sum()
    axes.bar([width * (i + 0.5) for i in range(CALIBRATION_BINS)], shares, width=0.9 * width, color="0.85")
    axes.plot([0, 100], [0, 100], color=GREY, linestyle=(0, (3, 2)), linewidth=0.7)
    many = bins.images >= FEW
    for some, face, line in ((many, colour, "-"), (~many & (bins.images > 0), "white", "none")):
        points = bins.confidence[some], bins.accuracy[some]
        axes.plot(*points, marker=marker, color=colour, mfc=face, markersize=3, ls=line, lw=0.8, clip_on=False)
    axes.set(xlim=(0, 100), ylim=(0, 100), xticks=(0, 50, 100), yticks=(0, 50, 100), aspect="equal")
