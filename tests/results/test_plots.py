"""Pictures of handmade records: every kind, awkward records, one look for each method."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
from matplotlib.text import Text
from support.fake_records import evaluation, failed, record
from support.plot_records import KINDS_OF_RECORDS, LONG, grid, rich, texts

from okdbench.core.errors import UserError
from okdbench.core.plugins import method_names
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.plots import Drawing, draw
from okdbench.results.plots.critical_difference import comparable, groups
from okdbench.results.plots.figure import slug
from okdbench.results.plots.style import COLOURS, MARKERS, look, setting_looks, wrap
from okdbench.results.plots.tradeoffs import Point, front
from okdbench.results.plots.training_curves import spread
from okdbench.results.records import Cost, Outcome, TeacherScore
from okdbench.results.significance import Block, rank

AWKWARD = {
    "one run": [rich("kd", "A-C", 0, 60)],
    "missing cells": [r for i, r in enumerate(grid()) if i % 4],
    "failed runs": [*grid(), failed("mad", "A-C", 0), failed("kd", "B-C", 7)],
    "no number": [
        *grid(),
        rich("mad", "A-C", 0, math.nan),
        rich("dfq", "A-C", 0, 50, evaluations=[evaluation(math.inf)], oracle=evaluation(math.nan)),
        rich("dfkd", "A-C", 0, 50, stages={"one": Outcome(evaluation=evaluation(5), teacher_domain_acc=math.nan)}),
    ],
    "bare": [*grid(), record("bare", "A-C", 0, 50, teacher_score=None, last=None, oracle=None, cost=Cost())],
    "long names": [*grid(), rich("kd", "A-C", 0, 50, variant=LONG), rich("my_very_own_method_of_mine", "A-C", 0, 1)],
    "long networks": [rich("kd", "A-C", 0, 60, teacher="a_network_" * 9, config={"image_size": 64})],
    "many methods": grid([*method_names(), "mine", "yours"]),
    "eight settings": [rich("kd", f"{letter}-X", seed, 60) for letter in "ABCDEFGH" for seed in (0, 1)],
    "another setting": [*grid(), rich("kd", "Z-A", 0, 60, default_settings=("A-C", "B-C"))],
    "no teacher's pictures": [
        rich(
            "kd",
            "-A",
            0,
            60,
            teacher_score=TeacherScore(key="t", own_acc=None, student_domain_acc=40.0),
            selected=Outcome(evaluation=evaluation(60), teacher_domain_acc=None),
            stages={"one": Outcome(evaluation=evaluation(60), teacher_domain_acc=None)},
        )
    ],
    "zero": [rich(method, "A-C", seed, 0.0) for method in ("kd", "augkd", "mad") for seed in range(6)],
}

REFUSED = {
    ("cd", awkward): "a critical-difference diagram needs"
    for awkward in ("one run", "long networks", "missing cells", "eight settings", "no teacher's pictures")
} | {("retention", "no teacher's pictures"): "nothing is known of retention"}


@pytest.mark.parametrize("awkward", AWKWARD)
@pytest.mark.parametrize("kind", KINDS_OF_RECORDS)
def test_awkward_records_are_drawn_within_the_paper_or_refused(kind: str, awkward: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if (kind, awkward) in REFUSED:
            with pytest.raises(UserError, match=REFUSED[kind, awkward]):
                draw(kind, AWKWARD[awkward])
            return
        drawings = draw(kind, AWKWARD[awkward])[-2:]  # there is one of each method among the curves
        for drawing in drawings:
            drawing.figure.draw_without_rendering()
    for drawing in drawings:
        width, height = drawing.figure.get_size_inches()
        assert width in (3.5, 7.0)
        # nothing is cut off: what is drawn fits into the figure
        box = drawing.figure.get_tightbbox()
        assert box.x0 >= -0.02, drawing.name
        assert box.y0 >= -0.02, drawing.name
        assert box.x1 <= width + 0.02, drawing.name
        assert box.y1 <= height + 0.02, drawing.name
        assert min(text.get_fontsize() for text in drawing.figure.findobj(Text)) >= 7


@pytest.mark.parametrize("kind", KINDS_OF_RECORDS)
def test_a_drawing_says_what_it_is(kind: str) -> None:
    drawings = draw(kind, grid())
    for drawing in drawings:
        assert drawing.name.startswith(f"digits-labelled-quick-{kind}")
        assert drawing.title in " ".join(texts(drawing.figure)).replace("\n", " ")
        assert drawing.alt.endswith("(digits, labelled, quick: resnet18 → resnet10t)")
    assert len({drawing.name for drawing in drawings}) == len(drawings) == (3 if kind == "curves" else 1)


def test_contests_never_meet_in_a_picture() -> None:
    others = [rich("dafl", "A-C", seed, 9, budget="standard") for seed in (0, 1)]
    unusual = [rich("dfq", "A-C", 0, 9, student="resnet18")]
    old = [rich("dfad", "A-C", 0, 9, protocol=PROTOCOL_VERSION + 1)]
    drawings = {drawing.name: drawing for drawing in draw("bars", [*grid(), *others, *unusual, *old])}
    assert list(drawings) == [
        "digits-labelled-quick-resnet18-resnet10t-bars",
        "digits-labelled-quick-resnet18-resnet18-bars",
        "digits-labelled-standard-bars",
    ]
    assert "dafl" in texts(drawings["digits-labelled-standard-bars"].figure)
    assert not {"dafl", "dfq", "dfad"} & set(texts(drawings["digits-labelled-quick-resnet18-resnet10t-bars"].figure))


def test_bars_show_the_numbers_of_the_table_and_what_is_missing() -> None:
    (drawing,) = draw("bars", [*grid(seeds=2), rich("mad", "A-C", 0, 90)])
    panel = drawing.figure.axes[0]
    seen = {line.get_marker(): line.get_xydata().tolist() for line in panel.lines if line.get_marker() != "None"}
    assert seen[look("augkd").marker][0][0] == pytest.approx(66)
    words = " ".join(texts(drawing.figure))
    assert "66.0" in words
    assert "no line" in words
    assert "hollow: runs are missing" in words
    assert "augkd" in drawing.alt or "mad" in drawing.alt
    (whole,) = draw("bars", grid())
    assert "no line" not in " ".join(texts(whole.figure))
    assert "hollow" not in " ".join(texts(whole.figure))


def test_a_methods_look_depends_on_its_name_alone() -> None:
    known = [look(name) for name in method_names()]
    assert len(set(known)) == len(known)
    assert look("kd[lr=0.1]").colour == look("kd").colour
    assert look("kd[lr=0.1]").marker not in MARKERS
    assert {look(f"mine{i}").colour for i in range(50)} <= set(COLOURS)
    assert not {look(f"mine{i}") for i in range(50)} & set(known)


@pytest.mark.parametrize("kind", ["bars", "pareto", "retention", "stages", "gap", "cd"])
def test_a_method_looks_the_same_in_every_picture(kind: str) -> None:
    for company in (("kd", "augkd", "finetune"), ("augkd", "dafl", "dfq", "zskt")):
        (drawing,) = draw(kind, grid(company))
        marks = {(line.get_color(), line.get_marker()) for axes in drawing.figure.axes for line in axes.lines}
        assert look("augkd") in marks


def test_settings_look_different() -> None:
    looks = setting_looks([f"{letter}-X" for letter in "ABCDEFGH"])
    assert len(set(looks.values())) == 8
    assert len({colour for colour, _ in looks.values()}) == 8


def test_the_front_is_what_nothing_dominates() -> None:
    points = {"a": Point(1, 50), "b": Point(2, 50), "c": Point(2, 60), "d": Point(3, 55), "e": Point(2, 60)}
    kept = front(points)
    assert kept == ["a", "c", "e"]
    for name, point in points.items():
        beaten = any(o.x <= point.x and o.acc >= point.acc and o != point for o in points.values())
        assert (name in kept) != beaten


def test_bars_of_the_diagram_join_what_nemenyi_does_not_tell_apart() -> None:
    posthocs = pytest.importorskip("scikit_posthocs", reason="it comes with the extra `test`")
    rng = np.random.default_rng(0)
    for shift in (0.0, 0.3, 1.0):
        names = [f"m{i}" for i in range(7)]
        table = rng.normal(size=(12, 7)) + shift * np.arange(7)
        scores = {
            m: {Block("d", "A-C", seed): float(table[seed, i]) for seed in range(12)} for i, m in enumerate(names)
        }
        ranking = rank(scores)
        assert ranking.critical is not None
        found = groups(ranking.ranks, ranking.critical)
        p = posthocs.posthoc_nemenyi_friedman(table)
        joined = {frozenset(pair) for bar in found for i, pair in enumerate((a, b) for a in bar for b in bar if a < b)}
        alike = {frozenset((names[i], names[j])) for i in range(7) for j in range(i) if p.iloc[i, j] > 0.05}
        assert joined == alike
        assert not any(set(one) <= set(other) for one in found for other in found if one is not other)


def test_the_diagram_leaves_out_whom_it_must_and_says_so() -> None:
    records = [*grid(), *[rich("mad", "A-C", seed, 50) for seed in range(3)]]
    (drawing,) = draw("cd", records)
    assert drawing.title == "Critical differences over 6 blocks"
    assert "left out for missing runs: mad" in " ".join(texts(drawing.figure)).replace("\n", " ")
    scores = {m: dict.fromkeys(range(n), 1.0) for m, n in {"a": 9, "b": 9, "c": 8, "d": 2, "e": 3}.items()}
    assert list(comparable(scores)) == ["a", "b", "c"]  # type: ignore[arg-type]


def test_bands_go_from_the_lowest_to_the_highest_finite_seed() -> None:
    xs, mean, low, high = spread([{0: 1.0, 5: math.nan}, {0: 3.0, 5: 4.0}, {9: math.inf}])
    assert (xs, mean, low, high) == ([0, 5], [2, 4], [1, 4], [3, 4])


def test_names_are_broken_where_they_can_be() -> None:
    assert wrap("augkd") == "augkd"
    assert wrap("mosaickd[form=joint,lr_generator=0.01]") == "mosaickd[form=joint,\nlr_generator=0.01]"
    lines = wrap(f"mosaickd[{LONG}]").split("\n")
    assert "".join(lines) == f"mosaickd[{LONG}]"
    assert max(map(len, lines)) <= 22
    assert slug("a" * 99) != slug("a" * 98 + "b")
    assert slug("../a b[c=1]") == "..-a-b-c=1"


def test_a_drawing_is_all_that_a_page_needs() -> None:
    (drawing,) = draw("retention", grid())
    assert isinstance(drawing, Drawing)
    assert {"name", "title", "alt", "figure"} == set(vars(drawing))
    assert "teacher as released" in texts(drawing.figure)
