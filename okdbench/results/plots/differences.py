"""Critical differences: how far behind the best method each row is, with its simultaneous interval."""

from __future__ import annotations

from matplotlib.ticker import MaxNLocator

from okdbench.core.errors import UserError
from okdbench.results.columns import is_best, is_provisional
from okdbench.results.estimates import ENOUGH_SEEDS
from okdbench.results.grouping import ALL
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, join_names
from okdbench.results.plots.row_layout import annotate_row, label_rows, layout_rows
from okdbench.results.plots.style import COLUMN_WIDTH, GREY, LINE_HEIGHT, add_notes, method_style, new_figure
from okdbench.results.table import Row


def plot_differences(group: PlotGroup) -> list[PlotFigure]:
    """Draw the column ``behind`` of the leaderboard over all settings: an interval that reaches 0 proves nothing.

    Raises:
        UserError: no row has an interval, which takes two seeds that it shares with the best method.
    """
    rows = {method: row for method in group.methods if (row := group.rows.get((method, ALL)))}
    tested = {method: row for method, row in rows.items() if row["behind_low"] is not None}
    best = next((method for method, row in rows.items() if is_best(row)), None)
    if best is None or not tested:
        raise UserError(
            "no method can be compared with the best one, which takes two seeds that both have in every default "
            "setting; add some with okdbench run --seeds"
        )
    layout = layout_rows(group, methods=[best, *tested])
    figure = new_figure(COLUMN_WIDTH, 0.55 + LINE_HEIGHT * layout.height)
    axes = figure.subplots()
    axes.axvline(0, color="black", linewidth=0.8, zorder=1)
    for method, y in layout.centres.items():
        row, (colour, marker) = rows[method], method_style(method)
        if method != best:
            axes.errorbar(row["behind"], y, xerr=_reach(row), color=colour, capsize=2, elinewidth=1.2, zorder=2)
        axes.plot(row["behind"], y, marker, color=colour, mfc="white" if is_provisional(row) else colour, zorder=3)
        annotate_row(axes, y, "best" if method == best else "≈" if row["tied"] else "", right=True, color=GREY)
    label_rows(axes, layout)
    axes.set_xlabel(f"points behind {best}")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.margins(x=0.04)
    add_notes(
        figure,
        "lines: 95 % intervals, simultaneous over all rows (Games and Howell)",
        "≈: cannot be told from the best" if any(row["tied"] for row in tested.values()) else "",
        f"hollow: fewer than {ENOUGH_SEEDS} seeds" if any(map(is_provisional, rows.values())) else "",
    )
    return [group.finish("cd", f"Differences from the best method{group.in_setting}", _alt(best, tested), figure)]


def _reach(row: Row) -> list[list[float]]:
    """Distances from the difference to both ends, as matplotlib takes them."""
    return [[row["behind"] - row["behind_low"]], [row["behind_high"] - row["behind"]]]


def _alt(best: str, tested: dict[str, Row]) -> str:
    texts = [
        f"{method} {row['behind']:.1f} points behind ({row['behind_low']:.1f} to {row['behind_high']:.1f})"
        for method, row in tested.items()
    ]
    return f"The best method is {best}; {join_names(texts)}"
