"""Images from generators: strips of the samples that runs keep, and grids of samples that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from okdbench.core.errors import UserError
from okdbench.results.grouping import Cell
from okdbench.results.plots.figure import PlotFigure
from okdbench.results.plots.group import PlotGroup, join_names
from okdbench.results.plots.style import COLUMN_WIDTH, hide_axes, new_figure, wrap_to_width
from okdbench.results.records import Record
from okdbench.results.samples import Pixels, read_samples

#: images side by side in a strip
ACROSS = 14


def plot_samples(group: PlotGroup) -> list[PlotFigure]:
    """Draw one figure of all strips and one per grid; each method shows its first run that keeps samples.

    Raises:
        UserError: the folder of runs is missing, or no run keeps samples.
    """
    if not group.runs:
        raise UserError("an archive of records has no images; name the folder of the runs with --runs")
    shown = {method: found for method in group.methods if (found := _first_with_samples(group, method))}
    if not shown:
        raise UserError(
            f"no run below {group.where} keeps generated images; run a method with a generator, or use --runs"
        )
    # A name with a slash is "grid/column"; the others are strips.
    strips = {
        f"{method}: {name}": pixels
        for method, (_, samples) in shown.items()
        for name, pixels in samples.items()
        if "/" not in name
    }
    cells = join_names(sorted({f"{run.setting} seed {run.seed}" for run, _ in shown.values()}))
    figures = [_strips(group, strips, cells)] if strips else []
    for method, (run, samples) in shown.items():
        for grid in dict.fromkeys(name.partition("/")[0] for name in samples if "/" in name):
            columns = {
                name.partition("/")[2]: pixels for name, pixels in samples.items() if name.startswith(grid + "/")
            }
            figures.append(_grid(group, method, run, grid, columns))
    return figures


def _first_with_samples(group: PlotGroup, method: str) -> tuple[Record, dict[str, Pixels]] | None:
    """The first run of the method, by setting and seed, that keeps samples."""
    runs: dict[Cell, Record] = group.finished[method]
    for _, run in sorted(runs.items(), key=lambda item: item[0]):
        if run.key in group.folders and (samples := read_samples(group.folders[run.key])):
            return run, samples
    return None


def _strips(group: PlotGroup, strips: Mapping[str, Pixels], cells: str) -> PlotFigure:
    side = COLUMN_WIDTH / ACROSS
    figure = new_figure(COLUMN_WIDTH, 0.1 + len(strips) * (side + 0.2))
    for axes, (name, pixels) in zip(figure.subplots(len(strips), squeeze=False).flat, strips.items(), strict=True):
        # nearest, because smoothing would show values that no generator made.
        axes.imshow(montage([pixels[:ACROSS]], ACROSS), interpolation="nearest")
        axes.set_title(wrap_to_width(figure, name), loc="left")
        hide_axes(axes)
    alt = f"Generated images at the end of runs ({cells}), one strip each: {join_names(list(strips))}"
    return group.finish("samples", f"Generated images ({cells})", alt, figure)


def _grid(group: PlotGroup, method: str, run: Record, grid: str, columns: Mapping[str, Pixels]) -> PlotFigure:
    figure: Figure = new_figure(COLUMN_WIDTH, 0.25 + COLUMN_WIDTH / len(columns) * max(map(len, columns.values())))
    for axes, (name, pixels) in zip(figure.subplots(1, len(columns), squeeze=False).flat, columns.items(), strict=True):
        axes.imshow(montage([pixels[i : i + 1] for i in range(len(pixels))], 1), interpolation="nearest")
        axes.set_title(name)
        hide_axes(axes)
    where = f"{run.setting} seed {run.seed}"
    alt = f"A grid of images of {method} ({where}), one sample per row; columns: {', '.join(columns)}"
    return group.finish("samples", f"{method}: {grid} ({where})", alt, figure, part=f"{method}-{grid}")


def montage(rows: Sequence[Pixels], across: int) -> Pixels:
    """Tile images into one, separated by white margins; short rows are padded with white.

    Args:
        rows: uint8 arrays of shape (N, H, W, 3), all with the same H and W.
        across: columns of the montage.

    Returns:
        one uint8 array of shape (height, width, 3).
    """
    height, width = rows[0].shape[1:3]
    margin = max(1, height // 16)
    sheet = np.full((len(rows) * (height + margin) - margin, across * (width + margin) - margin, 3), 255, np.uint8)
    for top, row in enumerate(rows):
        for left, image in enumerate(row[:across]):
            y, x = top * (height + margin), left * (width + margin)
            sheet[y : y + height, x : x + width] = image
    return sheet
