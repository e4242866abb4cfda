"""Figures over the number of labels per class: what each method adds to fine-tuning on them."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from okdbench.core.errors import UserError
from okdbench.results.label_gains import TEACHER, LabelGain, curves, label_gains, number
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, family_of, join_names
from okdbench.results.plots.style import PAGE_WIDTH, add_legend, method_style, new_figure

#: settings side by side
_COLUMNS = 3
#: horizontal distance between the methods of one number of labels, of that between two numbers
_STEP = 0.09


def plot_label_gains(groups: Sequence[PlotGroup]) -> list[PlotFigure]:
    """Draw the paired difference to the baseline over labels per class, a plot for each setting and a line a method.

    A method with one number of labels in a setting has no line there.

    Args:
        groups: comparison groups that differ in the number of labels alone.

    Raises:
        UserError: there is one number of labels only, or no run of the baseline.
    """
    gains = curves(label_gains({group.comparison_group.shots: group.finished for group in groups}))
    shots = sorted({each.shots for each in gains}, key=number)
    if not gains:
        raise UserError("a curve over labels takes runs with several numbers of them; add some with --shots")
    settings = sorted({each.setting for each in gains})
    methods = sorted({each.method for each in gains} - {TEACHER})
    columns = min(_COLUMNS, len(settings))
    rows = -(-len(settings) // columns)
    figure = new_figure(PAGE_WIDTH, 0.3 + 1.7 * rows)
    plots = figure.subplots(rows, columns, sharex=True, squeeze=False).flat
    for axes, setting in zip(plots, settings, strict=False):
        _draw(axes, [each for each in gains if each.setting == setting], methods, shots)
        axes.set_title(setting)
    for axes in list(plots)[len(settings) :]:
        axes.remove()
    figure.supylabel("points more than finetune", fontsize=7)
    marks = {
        name: Line2D([], [], color=method_style(name).colour, marker=method_style(name).marker) for name in methods
    }
    marks["the frozen teacher"] = Line2D([], [], color="black", linestyle="--")
    add_legend(figure, marks, 4, "labels per class; lines: 95 % intervals of the paired difference over seeds")
    largest = max(gains, key=lambda each: each.gain)
    alt = (
        f"Accuracy of {join_names(methods)} minus that of finetune with {join_names(shots)} labels per class in "
        f"{join_names(settings)}; the largest gain is {largest.gain:.1f} points ({largest.method}, {largest.setting}, "
        f"{largest.shots})"
    )
    return [family_of(groups[0]).finish("shots", "What a method adds to the labels", alt, figure)]


def _draw(axes: Axes, gains: Sequence[LabelGain], methods: Sequence[str], shots: Sequence[str]) -> None:
    axes.axhline(0, color="black", linewidth=0.6, zorder=1)
    for index, method in enumerate([TEACHER, *methods]):
        own = [each for each in gains if each.method == method]
        shift = 0.0 if method == TEACHER else (index - 1 - (len(methods) - 1) / 2) * _STEP
        x, y = [shots.index(each.shots) + shift for each in own], [each.gain for each in own]
        if method == TEACHER:
            axes.plot(x, y, color="black", linestyle="--", linewidth=0.8, zorder=1)
            continue
        colour, marker = method_style(method)
        axes.errorbar(x, y, yerr=_reach(own), color=colour, marker=marker, capsize=2, elinewidth=0.9, zorder=2)
    axes.set_xticks(range(len(shots)), shots)


def _reach(gains: Sequence[LabelGain]) -> list[list[float]]:
    """Distances from the gain to both ends, as matplotlib takes them; NaN where there is no interval."""
    return [[each.gain - each.low for each in gains], [each.high - each.gain for each in gains]]
