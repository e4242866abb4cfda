"""Figures as files: equal bytes, formats, strips of samples, and what `okdbench plot` writes or refuses."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image
from support.fake_records import failed, record
from support.plot_records import KINDS_OF_RECORDS, grid, rich, texts
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.results.columns import is_complete
from okdbench.results.grouping import ALL
from okdbench.results.plots import FIGURE_FORMATS, draw, save, to_svg
from okdbench.results.plots.group import plot_groups
from okdbench.results.plots.samples import montage
from okdbench.results.samples import write_samples
from okdbench.results.selection import choose, of_methods
from okdbench.results.store import write_archive, write_record


@pytest.mark.parametrize("kind", KINDS_OF_RECORDS)
def test_equal_records_give_equal_bytes(kind: str, tmp_path: Path) -> None:
    one, other = draw(kind, grid())[0], draw(kind, grid()[::-1])[0]
    assert one.alt == other.alt
    assert to_svg(one.figure) == to_svg(other.figure)
    if kind == "gap":  # the formats are the same for all kinds
        paths = [save(plotted, tmp_path / str(i), FIGURE_FORMATS) for i, plotted in enumerate((one, other))]
        for ours, theirs in zip(*paths, strict=True):
            assert ours.read_bytes() == theirs.read_bytes(), ours.name


def test_several_svgs_can_stand_in_one_page() -> None:
    pieces = [to_svg(plotted.figure) for kind in ("bars", "cd", "gap") for plotted in draw(kind, grid())]
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


def test_files_have_the_format_that_their_suffix_names(tmp_path: Path) -> None:
    (plotted,) = draw("gap", grid())
    paths = save(plotted, tmp_path / "new", ["png", "svg", "pdf", "png"])
    assert [path.name for path in paths] == [f"digits-labelled-quick-gap.{form}" for form in ("png", "svg", "pdf")]
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(path.name for path in paths)
    with Image.open(paths[0]) as image:
        assert np.allclose(image.size, 300 * plotted.figure.get_size_inches(), atol=1)
    assert ElementTree.parse(paths[1]).getroot().tag.endswith("svg")
    assert paths[2].read_bytes().startswith(b"%PDF-")
    with pytest.raises(UserError, match="did you mean 'png'"):
        save(plotted, tmp_path / "none", ["pgn"])
    assert not (tmp_path / "none").exists()


def test_an_error_is_one_line_with_the_cure(tmp_path: Path) -> None:
    bare = [record("kd", "A-C", 0, 60, oracle=None)]
    for kind, records, message in (
        ("bar", grid(), "did you mean 'bars'"),
        ("bars", [], "okdbench run"),
        ("bars", [failed("kd", "A-C", 0)], "okdbench run"),
        ("cd", grid(("kd",)), "no method can be compared"),
        ("cd", grid(seeds=1), "okdbench run --seeds"),
        ("curves", bare, "run the methods again"),
        ("stages", bare, "run the methods again"),
        ("gap", bare, "run the methods again"),
        ("samples", grid(), "--runs"),
    ):
        with pytest.raises(UserError, match=message) as caught:
            draw(kind, records)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="no run below"):
        draw("samples", grid(), tmp_path)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A folder of runs, one of which keeps samples."""
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


def test_a_montage_has_white_margins_and_white_padding() -> None:
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
    out = tmp_path / "figures"
    code, lines, _ = plot(
        "bars", "--runs", str(runs), "--output", str(out), "--format", "png,svg", "--track", "labelled"
    )
    assert code == 0
    assert [Path(line).name for line in lines] == ["digits-labelled-quick-bars.png", "digits-labelled-quick-bars.svg"]
    assert sorted(path.name for path in out.iterdir()) == [Path(line).name for line in lines]


def test_all_draws_every_possible_kind_and_names_the_others(tmp_path: Path) -> None:
    write_archive(tmp_path / "records.jsonl.gz", grid())
    out = tmp_path / "figures"
    code, lines, errors = plot("all", "--runs", str(tmp_path / "records.jsonl.gz"), "--output", str(out))
    assert code == 0
    assert {re.sub(r"digits-labelled-quick-(\w+).*", r"\1", Path(line).name) for line in lines} == {*KINDS_OF_RECORDS}
    assert errors.startswith("okdbench: no samples: an archive of records has no images")
    assert sorted(map(str, out.iterdir())) == sorted(lines)


def test_chosen_settings_are_all_that_is_expected() -> None:
    kept = choose([*grid(), failed("mad", "B-C", 0)], {"dataset": "digits", "track": None}, ["A-C"])
    assert {made.setting for made in kept} == {"A-C"}
    (group,) = plot_groups(kept)
    assert is_complete(group.rows["kd", ALL])


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
    code, lines, error = plot(*words.split(), "--runs", str(runs), "--output", str(tmp_path / "figures"))
    assert (code, lines) == (2, [])
    assert cure in error
    assert not (tmp_path / "figures").exists()
