"""What generators make: strips of the pictures that runs keep, and grids of those that belong together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from okdbench.core.errors import UserError
from okdbench.results.grouping import Cell
from okdbench.results.plots.figure import Drawing
from okdbench.results.plots.group import View, listed
from okdbench.results.plots.style import COLUMN, bare, canvas, wrap_to
from okdbench.results.records import Record
from okdbench.results.samples import Pixels, read_samples

#: pictures side by side in a strip
ACROSS = 14


def paint(view: View) -> list[Drawing]:
    """A picture of all strips, and one for each grid; of each method, the first run that keeps pictures.

    Raises:
        UserError: the runs are not at hand, or keep none.
    """
    if view.runs is None or not view.runs.is_dir():
        raise UserError("an archive of records has no pictures; name the folder of the runs with --runs")
    shown = {method: found for method in view.methods if (found := _first(view, method))}
    if not shown:
        raise UserError(
            f"no run below {view.runs} keeps pictures of a generator; run a method that has one, in another folder"
        )
    strips = {
        f"{method}: {name}": pixels
        for method, (_, samples) in shown.items()
        for name, pixels in samples.items()
        if "/" not in name
    }
    cells = listed(sorted({f"{run.setting} seed {run.seed}" for run, _ in shown.values()}))
    drawings = [_strips(view, strips, cells)] if strips else []
    for method, (run, samples) in shown.items():
        for grid in dict.fromkeys(name.partition("/")[0] for name in samples if "/" in name):
            columns = {
                name.partition("/")[2]: pixels for name, pixels in samples.items() if name.startswith(grid + "/")
            }
            drawings.append(_grid(view, method, run, grid, columns))
    return drawings


def _first(view: View, method: str) -> tuple[Record, dict[str, Pixels]] | None:
    """The first run, by setting and seed, that keeps pictures."""
    assert view.runs is not None
    runs: dict[Cell, Record] = view.finished[method]
    for _, run in sorted(runs.items(), key=lambda item: item[0]):
        samples = read_samples(view.runs / run.key)
        if samples:
            return run, samples
    return None


def _strips(view: View, strips: Mapping[str, Pixels], cells: str) -> Drawing:
    side = COLUMN / ACROSS
    figure = canvas(COLUMN, 0.1 + len(strips) * (side + 0.2))
    for axes, (name, pixels) in zip(figure.subplots(len(strips), squeeze=False).flat, strips.items(), strict=True):
        axes.imshow(montage([pixels[:ACROSS]], ACROSS), interpolation="nearest")
        axes.set_title(wrap_to(figure, name), loc="left")
        bare(axes)
    alt = f"Pictures from the ends of runs ({cells}), a strip each: {listed(list(strips))}"
    return view.draw("samples", f"What generators make ({cells})", alt, figure)


def _grid(view: View, method: str, run: Record, grid: str, columns: Mapping[str, Pixels]) -> Drawing:
    figure: Figure = canvas(COLUMN, 0.25 + COLUMN / len(columns) * max(map(len, columns.values())))
    for axes, (name, pixels) in zip(figure.subplots(1, len(columns), squeeze=False).flat, columns.items(), strict=True):
        axes.imshow(montage([pixels[i : i + 1] for i in range(len(pixels))], 1), interpolation="nearest")
        axes.set_title(name)
        bare(axes)
    alt = f"A grid of pictures of {method} ({run.setting} seed {run.seed}), one in each row; columns: " + ", ".join(
        columns
    )
    title = f"{method}: {grid} ({run.setting} seed {run.seed})"
    return view.draw("samples", title, alt, figure, part=f"{method}-{grid}")


def montage(rows: Sequence[Pixels], across: int) -> Pixels:
    """Rows of N x H x W x 3 pictures as one picture, with white between them and where a row is shorter than others."""
    height, width = rows[0].shape[1:3]
    gap = max(1, height // 16)
    sheet = np.full((len(rows) * (height + gap) - gap, across * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for top, row in enumerate(rows):
        for left, picture in enumerate(row[:across]):
            y, x = top * (height + gap), left * (width + gap)
            sheet[y : y + height, x : x + width] = picture
    return sheet
