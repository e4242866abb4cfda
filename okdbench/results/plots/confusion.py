"""Confusion matrices: which classes are taken for which, one figure per method and setting."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.figure import Figure

from okdbench.core.files import printable
from okdbench.results.confusion import MOST_CLASSES, class_names, confused_pairs, confusion_matrix
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup
from okdbench.results.plots.kept_predictions import joined, kept_predictions
from okdbench.results.plots.style import COLUMN_WIDTH, PAGE_WIDTH, add_notes, new_figure

#: inches of a cell with a number, and of one that is as high as its label
NUMBERED, PLAIN = 0.21, 0.105
#: inches of the scale of colours, which is drawn where there are no numbers
SCALE = 0.5
#: inches of a letter of a label, and letters after which a label is cut
LETTER, LONGEST = 0.062, 28
#: a root, because most errors are a few percent and would be as white as none
GAMMA = 0.5


def plot_confusion(group: PlotGroup) -> list[PlotFigure]:
    """Draw a matrix per method and setting, over the test images of all of its seeds.

    Raises:
        UserError: the folder of runs is missing, or no run keeps predictions.
    """
    figures = []
    for setting, methods in kept_predictions(group).items():
        for method, runs in methods.items():
            predictions = joined(runs)
            names, counts = class_names(predictions), confusion_matrix(predictions)
            seeds = f"{len(runs)} seeds" if len(runs) > 1 else f"seed {runs[0].run.seed}"
            figure = draw_confusion(names, counts, f"{counts.sum()} test images of {seeds}")
            title = f"{method}: confusion matrix in {setting}"
            figures.append(group.finish("confusion", title, describe(names, counts), figure, f"{method}-{setting}"))
    return figures


def draw_confusion(names: Sequence[str], counts: npt.NDArray[np.int64], note: str) -> Figure:
    """A matrix of which each row is the answers to one class in percent; no title.

    Args:
        names: of the classes; some are left out where their labels would overlap.
        counts: classes x classes numbers of images, the truth in rows.
        note: a line below the matrix.
    """
    labels = [text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…" for text in map(printable, names)]
    longest = max(map(len, labels))
    cell, scale = (NUMBERED, 0.0) if len(names) <= MOST_CLASSES else (PLAIN, SCALE)
    beside = LETTER * longest + 0.35
    width = COLUMN_WIDTH if beside + scale + cell * len(names) <= COLUMN_WIDTH else PAGE_WIDTH
    side = min(width - beside - scale, 1.4 * cell * len(names))
    turned = longest > 2
    figure = new_figure(width, side + (beside if turned else 0.4))
    axes = figure.subplots()
    with np.errstate(invalid="ignore"):  # 0 / 0 in a class without images
        shares = 100 * counts / counts.sum(1, keepdims=True)
    norm = PowerNorm(GAMMA, 0, 100)
    image = axes.imshow(shares, cmap=mpl.colormaps["Blues"], norm=norm, interpolation="nearest")
    if not scale:
        _write_shares(axes, shares, norm)
    else:
        bar = figure.colorbar(image, ax=axes, shrink=0.6, ticks=[0, 5, 20, 50, 100])
        bar.outline.set_visible(False)
    _label_classes(axes, labels, max(1, round(PLAIN * len(names) / side + 0.49)), turned)
    add_notes(figure, "in each row: % of the images of one class", note)
    return figure


def _write_shares(axes: Axes, shares: npt.NDArray[np.float64], norm: PowerNorm) -> None:
    """Write each share that is not 0 into its cell, white on dark cells, and separate the cells by white lines."""
    for (row, column), share in np.ndenumerate(shares):
        if share > 0:
            colour = "white" if norm(share) > 0.62 else "black"
            axes.text(
                column, row, f"{share:.0f}" if share >= 1 else f"{share:.1f}", color=colour, ha="center", va="center"
            )
    edges = np.arange(0.5, len(shares) - 1)
    for draw_line in (axes.axhline, axes.axvline):
        for edge in edges:
            draw_line(edge, color="white", linewidth=0.6)


def _label_classes(axes: Axes, labels: Sequence[str], step: int, turned: bool) -> None:
    """Name every ``step``-th class at both axes, without ticks and frame."""
    shown = range(0, len(labels), step)
    # parse_math=False, because a name may contain dollar signs.
    axes.set_yticks(shown, [labels[i] for i in shown], parse_math=False)
    axes.set_xticks(shown, [labels[i] for i in shown], parse_math=False, rotation=90 if turned else 0)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("answer")
    axes.set_ylabel("truth")


def describe(names: Sequence[str], counts: npt.NDArray[np.int64]) -> str:
    """A sentence for readers who cannot see the matrix."""
    pairs = "; ".join(
        f"{pair['truth']} for {pair['answer']} {pair['share']:.0f} %" for pair in confused_pairs(names, counts)[:3]
    )
    right = 100 * counts.trace() / counts.sum()
    return f"Confusion matrix of {len(names)} classes, {right:.1f} % right; most often taken: {pairs or 'none'}"
