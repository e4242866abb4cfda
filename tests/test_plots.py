"""Pictures of handmade records: every kind, awkward records, equal bytes, one look for each method."""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from ledger import evaluation, failed, record
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image
from typer.testing import CliRunner

from okdbench.cli import app
from okdbench.compare import Block, rank
from okdbench.contests import ALL
from okdbench.curves import Curve
from okdbench.drawings import choose, of_methods
from okdbench.errors import UserError
from okdbench.plots import FORMATS, KINDS, Drawing, draw, save, to_svg
from okdbench.plots.costs import Point, front
from okdbench.plots.curves import spread
from okdbench.plots.drawing import slug
from okdbench.plots.pictures import montage
from okdbench.plots.ranks import comparable, groups
from okdbench.plots.style import COLOURS, MARKERS, look, setting_looks, wrap
from okdbench.plots.view import views
from okdbench.protocol import PROTOCOL_VERSION
from okdbench.records import Cost, Evaluation, Outcome, Record, TeacherScore, write_archive, write_record
from okdbench.registry import method_names
from okdbench.samples import write_samples

KINDS_OF_RECORDS = [kind for kind in KINDS if kind != "samples"]
LONG = "form=joint,lr_generator=0.01,an_extraordinarily_long_hyper_parameter=0.123456789"


def rich(method: str, setting: str, seed: int, acc: float, **changes: Any) -> Record:
    """A record with two stages, ten evaluations and losses that stop being there."""
    stages = ["first", "second"]
    evaluations = [
        Evaluation(stage=stages[i // 5], step=i, images=10 * i, val_acc=acc * i / 9, test=evaluation(acc * i / 9).test)
        for i in range(10)
    ]
    ends = {stages[k]: Outcome(evaluation=evaluations[5 * k + 4], teacher_domain_acc=50 - 10 * k) for k in (0, 1)}
    curve = Curve(steps=[0, 5, 9], losses={"kl": [3.0, 2.0, 1.0], "a_term": [1.0, None, 0.5]}, hashes=["a", "b", "c"])
    usual: dict[str, Any] = {"evaluations": evaluations, "stages": ends, "curves": dict.fromkeys(stages, curve)}
    return record(method, setting, seed, acc, **usual | changes)


def grid(methods: Sequence[str] = ("kd", "augkd", "finetune"), seeds: int = 3) -> list[Record]:
    return [
        rich(method, setting, seed, 60 + 7 * i + 2 * seed * (-1) ** i, role="reference" if method == "kd" else "method")
        for i, method in enumerate(methods)
        for setting in ("A-C", "B-C")
        for seed in range(seeds)
    ]


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


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


@pytest.mark.parametrize("kind", KINDS_OF_RECORDS)
def test_equal_records_give_equal_bytes(kind: str, tmp_path: Path) -> None:
    one, other = draw(kind, grid())[0], draw(kind, grid()[::-1])[0]
    assert one.alt == other.alt
    assert to_svg(one.figure) == to_svg(other.figure)
    if kind == "gap":  # the formats are the same for all kinds
        paths = [save(drawing, tmp_path / str(i), FORMATS) for i, drawing in enumerate((one, other))]
        for ours, theirs in zip(*paths, strict=True):
            assert ours.read_bytes() == theirs.read_bytes(), ours.name


def test_several_svgs_can_stand_in_one_page() -> None:
    pieces = [to_svg(drawing.figure) for kind in ("bars", "cd", "gap") for drawing in draw(kind, grid())]
    ids: list[str] = []
    for piece in pieces:
        assert piece.startswith("<svg")
        root = ElementTree.fromstring(piece)
        own = [element.get("id", "") for element in root.iter() if element.get("id")]
        used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', piece))
        assert used
        assert used <= set(own)
        assert not re.search(r"\d{4}-\d\d-\d\dT", piece)
        ids += own
    assert len(ids) == len(set(ids))


def test_formats_are_what_they_say(tmp_path: Path) -> None:
    (drawing,) = draw("gap", grid())
    paths = save(drawing, tmp_path / "new", ["png", "svg", "pdf", "png"])
    assert [path.name for path in paths] == [f"digits-labelled-quick-gap.{form}" for form in ("png", "svg", "pdf")]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    with Image.open(paths[0]) as picture:
        assert np.allclose(picture.size, 300 * drawing.figure.get_size_inches(), atol=1)
    assert ElementTree.parse(paths[1]).getroot().tag.endswith("svg")
    assert paths[2].read_bytes().startswith(b"%PDF-")
    with pytest.raises(UserError, match="did you mean 'png'"):
        save(drawing, tmp_path / "none", ["pgn"])
    assert not (tmp_path / "none").exists()


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


def test_what_cannot_be_drawn_is_said_in_a_line_with_the_cure(tmp_path: Path) -> None:
    bare = [record("kd", "A-C", 0, 60, oracle=None)]
    for kind, records, words in (
        ("bar", grid(), "did you mean 'bars'"),
        ("bars", [], "okdbench run"),
        ("bars", [failed("kd", "A-C", 0)], "okdbench run"),
        ("cd", grid(("kd", "augkd")), "three methods"),
        ("cd", grid(seeds=1), "okdbench run --seeds"),
        ("curves", bare, "run the methods again"),
        ("stages", bare, "run the methods again"),
        ("gap", bare, "run the methods again"),
        ("samples", grid(), "--runs"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            draw(kind, records)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no run below"):
        draw("samples", grid(), tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs, one of which keeps pictures."""
    for made in [*grid(), rich("mad", "A-C", 0, 70, track="label-free")]:
        write_record(tmp_path / "runs" / made.key, made)
    pixels = np.arange(4 * 8 * 8 * 3, dtype=np.uint8).reshape(4, 8, 8, 3)
    samples = {"generated": pixels, "mixup/f = 0": pixels, "mixup/f = 1": pixels[:2]}
    write_samples(tmp_path / "runs" / grid()[3].key, samples)
    return tmp_path / "runs"


def test_samples_are_strips_and_grids(runs: Path) -> None:
    strips, mixup = draw("samples", grid(), runs)
    assert (strips.name, mixup.name) == ("digits-labelled-quick-samples", "digits-labelled-quick-samples-kd-mixup")
    assert "kd: generated" in texts(strips.figure)
    assert {"f = 0", "f = 1"} <= set(texts(mixup.figure))
    assert "B-C seed 0" in mixup.title
    shown = strips.figure.axes[0].images[0].get_array()
    assert shown is not None
    assert np.array_equal(shown[:, :8], np.arange(192, dtype=np.uint8).reshape(8, 8, 3))


def test_a_montage_has_white_gaps_and_white_ends() -> None:
    black = np.zeros((3, 4, 4, 3), dtype=np.uint8)
    sheet = montage([black, black[:1]], 3)
    assert sheet.shape == (9, 14, 3)
    assert (sheet[4] == 255).all()
    assert (sheet[:, 4] == 255).all()
    assert (sheet[5:, 5:] == 255).all()
    assert (sheet[:4, 5:9] == 0).all()


def plot(*words: str) -> tuple[int, list[str], str]:
    result = CliRunner().invoke(app, ["plot", *words])
    if isinstance(result.exception, UserError):
        return 2, result.stdout.splitlines(), str(result.exception)
    return result.exit_code, result.stdout.splitlines(), result.stderr


def test_the_command_writes_what_it_prints(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "pictures"
    code, lines, _ = plot(
        "bars", "--runs", str(runs), "--output", str(out), "--format", "png,svg", "--track", "labelled"
    )
    assert code == 0
    assert [Path(line).name for line in lines] == ["digits-labelled-quick-bars.png", "digits-labelled-quick-bars.svg"]
    assert sorted(path.name for path in out.iterdir()) == [Path(line).name for line in lines]


def test_all_draws_what_can_be_drawn_and_says_what_not(tmp_path: Path) -> None:
    write_archive(tmp_path / "records.jsonl.gz", grid())
    out = tmp_path / "pictures"
    code, lines, errors = plot("all", "--runs", str(tmp_path / "records.jsonl.gz"), "--output", str(out))
    assert code == 0
    assert {re.sub(r"digits-labelled-quick-(\w+).*", r"\1", Path(line).name) for line in lines} == {*KINDS_OF_RECORDS}
    assert errors.startswith("okdbench: no samples: an archive of records has no pictures")
    assert sorted(map(str, out.iterdir())) == sorted(lines)


def test_chosen_settings_are_all_that_is_expected() -> None:
    kept = choose([*grid(), failed("mad", "B-C", 0)], {"dataset": "digits", "track": None}, ["A-C"])
    assert {made.setting for made in kept} == {"A-C"}
    (view,) = views(kept, None)
    assert view.rows["kd", ALL].is_complete


def test_methods_are_chosen_by_the_names_of_their_rows() -> None:
    records = [*grid(), record("mine", "A-C", 0, 50, origin="local", variant="lr=0.1")]
    assert {run.method for run in of_methods(records, ["mine (local)[lr=0.1]", "kd"])} == {"mine", "kd"}
    assert of_methods(records, []) == records
    with pytest.raises(UserError, match="did you mean 'augkd'"):
        of_methods(records, ["augk"])


@pytest.mark.parametrize(
    ("words", "cure"),
    {
        "pareta": "did you mean 'pareto'",
        "bars --format pgn": "did you mean 'png'",
        "bars --dataset digit": "did you mean 'digits'",
        "bars --track label": "did you mean 'label",
        "bars --budget quik": "did you mean 'quick'",
        "bars --setting A-D": "did you mean 'A-C'",
        "samples --track label-free": "no run below",
    }.items(),
)
def test_mistakes_on_the_command_line_write_nothing(runs: Path, tmp_path: Path, words: str, cure: str) -> None:
    code, lines, error = plot(*words.split(), "--runs", str(runs), "--output", str(tmp_path / "pictures"))
    assert (code, lines) == (2, [])
    assert cure in error
    assert not (tmp_path / "pictures").exists()


def test_a_drawing_is_all_that_a_page_needs() -> None:
    (drawing,) = draw("retention", grid())
    assert isinstance(drawing, Drawing)
    assert {"name", "title", "alt", "figure"} == set(vars(drawing))
    assert "teacher as released" in texts(drawing.figure)
