"""Confusion matrices and reliability diagrams of handmade predictions."""

from __future__ import annotations

import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from matplotlib.text import Text
from support.plot_records import grid, rich, texts
from support.predictions import guessed, keep

from okdbench.core.errors import UserError
from okdbench.core.plugins import method_names
from okdbench.results.confusion import confusion_matrix
from okdbench.results.plots import PlotFigure, draw, to_svg
from okdbench.results.plots.confusion import draw_confusion
from okdbench.results.plots.style import plot_style
from okdbench.results.predictions import FILE
from okdbench.results.store import read_all

KINDS = ("confusion", "calibration")


def assert_all_is_inside(plotted: PlotFigure) -> None:
    plotted.figure.draw_without_rendering()
    width, height = plotted.figure.get_size_inches()
    assert width in (3.5, 7.0)
    box = plotted.figure.get_tightbbox()
    assert min(box.x0, box.y0) >= -0.02
    assert box.x1 <= width + 0.02
    assert box.y1 <= height + 0.02
    assert min(text.get_fontsize() for text in plotted.figure.findobj(Text)) >= 7


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return keep(tmp_path_factory.mktemp("runs"), grid())


def test_there_is_a_matrix_for_each_method_and_setting(runs: Path) -> None:
    names = {plotted.name for plotted in draw("confusion", grid(), runs)}
    assert names == {
        f"digits-labelled-quick-confusion-{method}-{setting}"
        for method in ("kd", "augkd", "finetune")
        for setting in ("A-C", "B-C")
    }


def test_a_matrix_sums_the_seeds_and_shows_percentages(runs: Path) -> None:
    plotted = next(plotted for plotted in draw("confusion", grid(), runs) if plotted.name.endswith("-kd-A-C"))
    counts = np.sum([confusion_matrix(guessed(3, seed)) for seed in range(3)], axis=0)
    shares = 100 * counts / counts.sum(1, keepdims=True)
    assert np.array_equal(plotted.figure.axes[0].images[0].get_array(), shares)
    assert {"c0", "c1", "c2", "truth", "answer", *(f"{share:.0f}" for share in shares.ravel())} <= set(
        texts(plotted.figure)
    )
    assert f"{counts.sum()} test images of 3 seeds" in "\n".join(texts(plotted.figure))
    assert f"{100 * counts.trace() / counts.sum():.1f} % right" in plotted.alt


@pytest.mark.parametrize(
    ("classes", "name"), [(2, ""), (10, ""), (12, "a_long_name"), (13, "thing"), (65, "a thing of many"), (345, "x")]
)
def test_matrices_of_any_size_fit_into_the_figure(classes: int, name: str) -> None:
    with warnings.catch_warnings(), plot_style():
        warnings.simplefilter("error")
        counts = confusion_matrix(guessed(classes, images=40 * classes))
        counts[-1] = 0  # a class without images
        names = [f"{name} {i}".strip() for i in range(classes)]
        figure = draw_confusion(names, counts, "a note")
        assert_all_is_inside(PlotFigure("", "", "", figure))
    # numbers in the cells, or else a scale of colours
    assert len(figure.axes) == (1 if classes <= 12 else 2)
    written = [text for text in figure.axes[0].texts if text.get_text()]
    assert len(written) == (np.count_nonzero(counts) if classes <= 12 else 0)
    labels = [label for label in figure.axes[0].get_yticklabels() if label.get_text()]
    boxes = [label.get_window_extent() for label in labels]
    assert all(below.y1 <= above.y0 + 1 for above, below in pairwise(boxes)), "no labels overlap"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [1, 2, 5, 15])
def test_figures_of_any_number_of_methods_are_drawn_inside(kind: str, count: int, tmp_path: Path) -> None:
    methods = ["my_very_own_method_of_mine", *method_names()][:count]
    records = [rich(method, "A-C", 0, 60, variant="temperature=20.0" * (i == 1)) for i, method in enumerate(methods)]
    keep(tmp_path, records, names=("$\\bad$", "a\x1b[2J", "größe"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for plotted in draw(kind, records, tmp_path)[:2]:
            assert_all_is_inside(plotted)


def test_calibration_has_a_panel_for_each_method_and_the_error_of_the_records(runs: Path) -> None:
    figures = draw("calibration", grid(), runs)
    assert [plotted.name for plotted in figures] == [
        f"digits-labelled-quick-calibration-{setting}" for setting in ("A-C", "B-C")
    ]
    titles = [axes.get_title() for axes in figures[0].figure.axes]
    assert sorted(titles) == ["augkd\nECE 5.0", "finetune\nECE 5.0", "kd\nECE 5.0"]


@pytest.mark.parametrize("kind", KINDS)
def test_equal_files_give_equal_bytes(kind: str, runs: Path) -> None:
    one, other = draw(kind, grid(), runs)[0], draw(kind, grid()[::-1], runs)[0]
    assert to_svg(one.figure) == to_svg(other.figure)


@pytest.mark.parametrize("kind", KINDS)
def test_runs_without_predictions_are_left_out_or_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="an archive of records has no predictions"):
        draw(kind, grid())
    keep(tmp_path, grid())
    records = read_all(tmp_path)
    for number, record in enumerate(records):
        file = tmp_path / record.key / FILE
        if record.method != "kd" or record.seed:
            file.unlink() if number % 2 else file.write_bytes(b"damaged")
    for plotted in draw(kind, records, tmp_path):
        assert "kd" in plotted.alt + plotted.name
        assert "finetune" not in plotted.alt + plotted.name
        assert kind == "calibration" or "seed 0" in "\n".join(texts(plotted.figure))
    for file in tmp_path.glob(f"*/{FILE}"):
        file.unlink()
    with pytest.raises(UserError, match=r"no run below .* keeps predictions") as caught:
        draw(kind, records, tmp_path)
    assert "--runs" in str(caught.value)
