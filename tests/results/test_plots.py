"""Figures of handmade records: every kind, unusual records, one style per method."""

from __future__ import annotations

import math
import re
import warnings

import pytest
from matplotlib.text import Text
from support.fake_records import evaluation, failed, record, rows
from support.plot_records import KINDS_OF_RECORDS, LONG, grid, rich, texts, unvalidated

from okdbench.core.errors import UserError
from okdbench.core.plugins import method_names
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.plots import PlotFigure, draw
from okdbench.results.plots.figure import render, slug
from okdbench.results.plots.style import (
    COLOURS,
    LINE_HEIGHT,
    MARKERS,
    VARIANT_MARKERS,
    method_style,
    setting_styles,
    wrap_method,
)
from okdbench.results.plots.tradeoffs import Point, pareto_front
from okdbench.results.plots.training_curves import mean_and_range
from okdbench.results.records import Cost, Outcome, TeacherScore

UNUSUAL = {
    "one run": [rich("kd", "A-C", 0, 60)],
    "missing cells": [r for i, r in enumerate(grid()) if i % 4],
    "failed runs": [*grid(), failed("mad", "A-C", 0), failed("kd", "B-C", 7)],
    "no number": [
        *grid(),
        rich("mad", "A-C", 0, math.nan),
        rich("dfq", "A-C", 0, 50, evaluations=[evaluation(math.inf)], oracle=evaluation(math.nan)),
        rich("dfkd", "A-C", 0, 50, stages={"one": Outcome(evaluation=evaluation(5), retention=math.nan)}),
    ],
    "bare": [*grid(), record("bare", "A-C", 0, 50, teacher_score=None, last=None, oracle=None, cost=Cost())],
    "long names": [*grid(), rich("kd", "A-C", 0, 50, variant=LONG), rich("my_very_own_method_of_mine", "A-C", 0, 1)],
    "long networks": [rich("kd", "A-C", 0, 60, teacher="a_network_" * 9, config={"image_size": 64})],
    "many methods": grid([*method_names(), "mine", "yours"]),
    "eight settings": [rich("kd", f"{letter}-X", seed, 60) for letter in "ABCDEFGH" for seed in (0, 1)],
    "another setting": [*grid(), rich("kd", "Z-A", 0, 60, default_settings=("A-C", "B-C"))],
    "no teacher domain": [
        rich(
            "kd",
            "-A",
            0,
            60,
            teacher_score=TeacherScore(key="t", own_acc=None, test_acc=40.0),
            selected=Outcome(evaluation=evaluation(60), retention=None),
            stages={"one": Outcome(evaluation=evaluation(60), retention=None)},
        )
    ],
    "no validation": [unvalidated(method, seed, 50 + seed) for method in ("kd", "mad") for seed in (0, 1)],
    "zero": [rich(method, "A-C", seed, 0.0) for method in ("kd", "augkd", "mad") for seed in range(6)],
}

REFUSED = {
    ("cd", unusual): "no method can be compared with the best one"
    for unusual in ("one run", "long networks", "missing cells", "eight settings", "no teacher domain")
} | {("retention", unusual): "retention is unknown" for unusual in ("no teacher domain", "no validation")}


@pytest.mark.parametrize("unusual", UNUSUAL)
@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=() if kind in ("bars", "cd", "curves") else pytest.mark.slow)
        for kind in KINDS_OF_RECORDS
    ],
)
def test_unusual_records_are_drawn_within_the_figure_or_refused(kind: str, unusual: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if (kind, unusual) in REFUSED:
            with pytest.raises(UserError, match=REFUSED[kind, unusual]):
                draw(kind, UNUSUAL[unusual])
            return
        figures = draw(kind, UNUSUAL[unusual])[-2:]  # of the curves there is one figure per method
        for plotted in figures:
            plotted.figure.draw_without_rendering()
    for plotted in figures:
        width, height = plotted.figure.get_size_inches()
        assert width in (3.5, 7.0)
        # nothing is cut off: all artists fit into the figure
        box = plotted.figure.get_tightbbox()
        assert box.x0 >= -0.02, plotted.name
        assert box.y0 >= -0.02, plotted.name
        assert box.x1 <= width + 0.02, plotted.name
        assert box.y1 <= height + 0.02, plotted.name
        assert min(text.get_fontsize() for text in plotted.figure.findobj(Text)) >= 7


@pytest.mark.parametrize("kind", KINDS_OF_RECORDS)
def test_a_figure_names_its_kind_and_its_comparison_group(kind: str) -> None:
    figures = draw(kind, grid())
    for plotted in figures:
        assert plotted.name.startswith(f"digits-labelled-quick-{kind}")
        assert plotted.title in " ".join(texts(plotted.figure)).replace("\n", " ")
        assert plotted.alt.endswith("(digits, labelled, quick: resnet18 → resnet10t)")
    assert len({plotted.name for plotted in figures}) == len(figures) == (3 if kind == "curves" else 1)


def test_comparison_groups_never_share_a_figure() -> None:
    others = [rich("dafl", "A-C", seed, 9, budget="standard") for seed in (0, 1)]
    other_student = [rich("dfq", "A-C", 0, 9, student="resnet18")]
    old = [rich("dfad", "A-C", 0, 9, protocol=PROTOCOL_VERSION - 1)]
    few = [rich("zskt", "A-C", 0, 9, shots=10)]
    transfer = [unvalidated("replay", 0, 9)]
    found = draw("bars", [*grid(), *others, *other_student, *old, *few, *transfer])
    figures = {plotted.name: plotted for plotted in found}
    ours = f"digits-labelled-quick-resnet18-resnet10t-protocol-{PROTOCOL_VERSION}-bars"
    theirs = {
        "digits-labelled-10-shots-quick-bars": "zskt",
        f"digits-labelled-quick-resnet18-resnet10t-protocol-{PROTOCOL_VERSION - 1}-bars": "dfad",
        f"digits-labelled-quick-resnet18-resnet18-protocol-{PROTOCOL_VERSION}-bars": "dfq",
        "digits-labelled-standard-bars": "dafl",
        "digits-transfer-label-free-quick-bars": "replay",
    }
    assert len(figures) == len(found)
    assert figures.keys() == {ours, *theirs}
    names = {*theirs.values(), "kd", "augkd", "finetune"}
    for name, method in theirs.items():
        assert names & set(texts(figures[name].figure)) == {method}
        assert (f"(protocol {PROTOCOL_VERSION - 1})" in figures[name].alt) == (method == "dfad")
    assert names & set(texts(figures[ours].figure)) == {"kd", "augkd", "finetune"}


def test_curves_without_validation_are_those_of_the_test_images_and_say_so() -> None:
    """In task transfer nothing is selected, so there is no validation accuracy."""
    (plotted,) = draw("curves", [unvalidated("kd", 0, 54)])
    (usual,) = draw("curves", [rich("kd", "A-C", 0, 54)])
    axes, validated = plotted.figure.axes[0], usual.figure.axes[0]
    assert (axes.get_ylabel(), validated.get_ylabel()) == ("test accuracy, %", "validation accuracy, %")
    assert (plotted.alt.split()[0], usual.alt.split()[0]) == ("Test", "Validation")
    assert axes.lines[0].get_xydata().tolist() == [[10 * i, pytest.approx(6 * i)] for i in range(10)]


def test_a_privileged_method_is_drawn_and_never_ranked() -> None:
    seen = [
        rich("original", setting, seed, 99, role="privileged", cost=Cost())
        for setting in ("A-C", "B-C")
        for seed in range(3)
    ]
    (bars,) = draw("bars", [*grid(), *seen])
    assert "original\n(privileged)" in texts(bars.figure)
    (pareto,) = draw("pareto", [*grid(), *seen])
    assert "original" in " ".join(texts(pareto.figure))
    assert "original" not in pareto.alt
    (diagram,) = draw("cd", [*grid(), *seen])
    assert "The best method is original" not in diagram.alt


def test_bars_show_the_numbers_of_the_table_and_what_is_missing() -> None:
    (plotted,) = draw("bars", [*grid(seeds=2), rich("mad", "A-C", 0, 90), failed("mad", "A-C", 1)])
    panel = plotted.figure.axes[0]
    lines = [line for line in panel.lines if line.get_marker() != "None"]
    seen = {(line.get_color(), line.get_marker()): line.get_xydata().tolist() for line in lines}
    assert seen[method_style("augkd")][0][0] == pytest.approx(66)
    text = " ".join(texts(plotted.figure))
    assert "66.0" in text
    assert "no line" in text
    assert "hollow: runs are missing" in text
    assert "highest mean accuracy is 75.0 % (finetune)" in plotted.alt
    (complete,) = draw("bars", grid())
    assert "no line" not in " ".join(texts(complete.figure))
    assert "hollow" not in " ".join(texts(complete.figure))


def test_the_style_of_a_method_depends_on_its_name_alone() -> None:
    known = [method_style(name) for name in method_names()]
    assert len(set(known)) == len(known)
    assert not set(method_style("kd")) & set(method_style("augkd")), "they are compared most, also in grey print"
    assert method_style("kd[lr=0.1]").colour == method_style("kd").colour
    assert method_style("kd[lr=0.1]").marker not in MARKERS
    assert {method_style(f"mine{i}").colour for i in range(50)} <= set(COLOURS)
    assert not {method_style(f"mine{i}") for i in range(50)} & set(known)


@pytest.mark.parametrize("kind", ["bars", "pareto", "retention", "stages", "gap", "cd"])
def test_a_method_looks_the_same_in_every_figure(kind: str) -> None:
    for methods in (("kd", "augkd", "finetune"), ("augkd", "dafl", "dfq", "zskt")):
        (plotted,) = draw(kind, grid(methods))
        marks = {(line.get_color(), line.get_marker()) for axes in plotted.figure.axes for line in axes.lines}
        assert method_style("augkd") in marks


def test_settings_have_different_styles() -> None:
    styles = setting_styles([f"{letter}-X" for letter in "ABCDEFGH"])
    assert len(set(styles.values())) == 8
    assert len({colour for colour, _ in styles.values()}) == 8


def test_the_pareto_front_is_not_dominated() -> None:
    points = {"a": Point(1, 50), "b": Point(2, 50), "c": Point(2, 60), "d": Point(3, 55), "e": Point(2, 60)}
    kept = pareto_front(points)
    assert kept == ["a", "c", "e"]
    for name, point in points.items():
        beaten = any(o.x <= point.x and o.acc >= point.acc and o != point for o in points.values())
        assert (name in kept) != beaten


def test_the_differences_are_those_of_the_table() -> None:
    (plotted,) = draw("cd", grid(seeds=5))
    found = rows(*grid(seeds=5))
    axes = plotted.figure.axes[0]
    drawn = [(float(line.get_xdata()[0]), line.get_color()) for line in axes.lines if len(line.get_xdata()) == 1]
    for (method, setting), row in found.items():
        if setting == "all":
            assert (pytest.approx(row.behind), method_style(method).colour) in drawn
    best = next(method for (method, setting), row in found.items() if setting == "all" and row.rank == 1)
    assert axes.get_xlabel() == f"points behind {best}"
    assert plotted.alt.startswith(f"The best method is {best};")
    assert "hollow" not in " ".join(texts(plotted.figure))
    (few,) = draw("cd", grid(seeds=3))
    assert "hollow: fewer than 5 seeds" in " ".join(texts(few.figure))


def test_bars_have_one_axis_and_show_the_ends_of_intervals() -> None:
    (plotted,) = draw("bars", grid(seeds=5))
    limits = {axes.get_xlim() for axes in plotted.figure.axes}
    assert len(limits) == 1
    (low, high) = limits.pop()
    row = rows(*grid(seeds=5))["augkd", "all"]
    ends = [x for line in plotted.figure.axes[0].lines if line.get_marker() == "|" for x in line.get_xdata()]
    assert any(x == pytest.approx(row.acc_low) for x in ends)
    assert all(low <= x <= high for x in ends)


def test_no_marker_looks_like_an_arrow() -> None:
    assert not {"<", ">", "^", "v", 4, 5, 6, 7} & {*MARKERS, *VARIANT_MARKERS}
    assert len(COLOURS) <= 8


def test_curves_have_a_line_at_chance() -> None:
    (plotted,) = draw("curves", [rich("kd", "A-C", 0, 54)])
    assert any(list(line.get_ydata()) == [10, 10] for line in plotted.figure.axes[0].lines)
    assert "chance" in texts(plotted.figure)


def test_a_pdf_has_no_title_inside() -> None:
    (plotted,) = draw("bars", grid())
    before = plotted.figure.get_suptitle(), plotted.figure.get_figheight()
    assert b"Accuracy by setting" not in render(plotted.figure, "pdf")
    box = re.search(rb"/MediaBox \[ 0 0 ([0-9.]+) ([0-9.]+) \]", render(plotted.figure, "pdf"))
    assert box
    assert float(box[2]) / 72 == pytest.approx(before[1] - LINE_HEIGHT * (before[0].count("\n") + 1), abs=0.01)
    assert (plotted.figure.get_suptitle(), plotted.figure.get_figheight()) == before


def test_costs_are_counted_and_a_cost_that_no_row_has_is_left_out() -> None:
    (plotted,) = draw("pareto", grid())
    labels = " ".join(axes.get_xlabel() for axes in plotted.figure.axes)
    assert "teacher" in labels
    assert "seconds" not in labels
    with pytest.raises(UserError, match="no record has its costs"):
        draw("pareto", [rich("kd", "A-C", 0, 60, cost=Cost())])


def test_bands_go_from_the_lowest_to_the_highest_finite_seed() -> None:
    xs, mean, low, high = mean_and_range([{0: 1.0, 5: math.nan}, {0: 3.0, 5: 4.0}, {9: math.inf}])
    assert (xs, mean, low, high) == ([0, 5], [2, 4], [1, 4], [3, 4])


def test_names_are_broken_where_they_can_be() -> None:
    assert wrap_method("augkd") == "augkd"
    assert wrap_method("mosaickd[form=joint,lr_generator=0.01]") == "mosaickd[form=joint,\nlr_generator=0.01]"
    lines = wrap_method(f"mosaickd[{LONG}]").split("\n")
    assert "".join(lines) == f"mosaickd[{LONG}]"
    assert max(map(len, lines)) <= 22
    assert slug("a" * 99) != slug("a" * 98 + "b")
    assert slug("../a b[c=1]") == "..-a-b-c=1"


def test_a_plot_figure_has_all_that_a_page_needs() -> None:
    (plotted,) = draw("retention", grid())
    assert isinstance(plotted, PlotFigure)
    assert {"name", "title", "alt", "figure"} == set(vars(plotted))
    assert "frozen teacher" in texts(plotted.figure)
