"""What ``okdbench leaderboard`` and ``okdbench compare`` print on terminals of some widths, and in a pipe."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.fake_records import record
from support.pseudo_terminal import in_pipe, on_terminal

from okdbench.results.columns import shown_in
from okdbench.results.frames import load_records
from okdbench.results.leaderboard import leaderboard
from okdbench.results.store import write_archive
from okdbench.results.table import rows_of

METHODS = (
    "teacher",
    "finetune",
    "kd",
    "augkd",
    "mosaickd",
    "dfkd",
    "dafl",
    "zskt",
    "dfad",
    "dfq",
    "ltr",
    "replay",
    "mad",
)
VARIANTS = ("mosaickd[form=joint]", "mad[ema=false]")
SETTINGS = ("MO-P", "MP-O", "OP-M")
WIDTHS = (60, 80, 120)
LONG = "temperature=2.0,an_extraordinarily_long_hyper_parameter=0.123456789"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A grid of fifteen methods and variants in two tracks, three settings and three seeds."""
    records = []
    for track in ("label-free", "labelled"):
        for number, method in enumerate([*METHODS, *VARIANTS]):
            name, _, variant = method.rstrip("]").partition("[")
            for place, setting in enumerate(SETTINGS):
                for seed in range(3):
                    acc = 40 + 3.7 * number + place + 2.9 * ((seed + number) % 3)
                    changes = {"variant": variant, "track": track, "default_settings": SETTINGS}
                    made = record(name, setting, seed, acc, **changes)
                    records.append(made.model_copy(update={"key": f"{method}{setting}{seed}{track}"}))
    path = tmp_path_factory.mktemp("grid") / "digits.jsonl.gz"
    write_archive(path, records)
    return path


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> dict[int | None, str]:
    """Width -> the leaderboards of the grid; None: in a pipe."""
    folder, line = tmp_path_factory.mktemp("empty"), ["leaderboard", "--runs", str(archive)]
    return {None: in_pipe(line, folder), **{width: on_terminal(line, width, folder) for width in WIDTHS}}


@pytest.fixture(scope="module")
def expected(archive: Path) -> list[list[str]]:
    """Rank, mark, method and setting of each row of the grid, which has three seeds."""
    groups = leaderboard(load_records(archive)).groupby("track")
    return [
        [str(row["rank"] or "-"), "provisional", row["method"], row["setting"]]
        for _, group in groups
        for row in rows_of(group)
    ]


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_every_row_is_there_with_its_whole_method(
    width: int | None, printed: dict[int | None, str], expected: list[list[str]]
) -> None:
    rows = [line.split()[:4] for line in printed[width].splitlines() if re.match(r" +(\d+|-)  \S", line)]
    assert rows == expected
    assert len(rows) == 2 * 15 * 4


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_each_comparison_group_has_one_table_under_its_title(width: int | None, printed: dict[int | None, str]) -> None:
    lines = printed[width].splitlines()
    titles = [number for number, line in enumerate(lines) if line.startswith("digits, ")]
    assert [lines[number] for number in titles] == [
        f"digits, {track}, quick, resnet18 -> resnet10t" for track in ("label-free", "labelled")
    ]
    assert all(lines[number + 1].startswith("rank") for number in titles)
    assert sum(line.startswith("rank  ") for line in lines) == 2


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_there_is_no_run_of_blank_lines(width: int | None, printed: dict[int | None, str]) -> None:
    assert not re.search(r"\n\s*\n\s*\n", printed[width])
    # 120 rows, two tables with title, heading, rule and five gaps, and the caption
    assert len(printed[width].splitlines()) < 172
    assert "…" not in printed[width]


@pytest.mark.parametrize("width", WIDTHS)
def test_no_row_is_wider_than_the_terminal_and_what_is_left_out_is_named(
    width: int, printed: dict[int | None, str]
) -> None:
    lines = printed[width].splitlines()
    assert max(len(line) for line in lines if re.match(r"rank  |─| +(\d+|-)  \S", line)) <= width
    headings = re.split(r" {2,}", next(line for line in lines if line.startswith("rank  ")).strip())
    left_out = re.search(rf"left out at {width} columns: ([^.]*?)\n\n", printed[width])
    missing = [column.title for column in shown_in("terminal") if column.title not in headings]
    assert missing == (re.split(r",\s+", re.sub(r"\s+", " ", left_out[1])) if left_out else [])
    assert missing
    assert headings[:5] == ["rank", "mark", "method", "setting", "acc %"]


def test_in_a_pipe_nothing_is_left_out_and_each_row_is_one_line(printed: dict[int | None, str]) -> None:
    text = printed[None]
    assert "left out" not in text
    assert "\x1b" not in text
    for column in shown_in("terminal"):
        assert text.count(f"\n{column.title}: {column.meaning}") == 1


def test_the_caption_explains_every_column(printed: dict[int | None, str]) -> None:
    words = printed[60].replace(" \n", " ").replace("\n", " ")
    for column in shown_in("terminal"):
        assert f"{column.title}: {column.meaning}" in re.sub(r" +", " ", words)


def test_a_long_variant_is_whole_at_any_width(tmp_path: Path) -> None:
    records = [record("kd", "A-C", seed, 60 + seed, variant=LONG) for seed in range(3)]
    write_archive(tmp_path / "runs.jsonl.gz", records)
    line = ["leaderboard", "--runs", "runs.jsonl.gz"]
    assert f"kd[{LONG}]" in in_pipe(line, tmp_path)
    for width in (WIDTHS[0], WIDTHS[-1]):
        text = on_terminal(line, width, tmp_path)
        # Where it is longer than the line it continues on the next one, below its beginning.
        assert f"kd[{LONG}]" in re.sub(r"\s+(all|A-C)\s+61\.00.*|\n +(?=\S+\n)", "", text)
        assert "…" not in text


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory, archive: Path) -> dict[int | None, str]:
    """Width -> a comparison on the grid; None: in a pipe."""
    folder = tmp_path_factory.mktemp("empty")
    line = ["compare", "mosaickd[form=joint]", "mad[ema=false]", "kd", "--track", "labelled", "--runs", str(archive)]
    return {None: in_pipe(line, folder), **{width: on_terminal(line, width, folder) for width in WIDTHS}}


@pytest.mark.parametrize("width", [*WIDTHS, None])
def test_a_comparison_shows_whole_methods_and_p_values(width: int | None, comparison: dict[int | None, str]) -> None:
    text = comparison[width]
    rows = [line.split() for line in text.splitlines() if line.startswith("mosaickd[form=joint]  ")]
    assert [row[1] for row in rows] == ["mad[ema=false]", "kd"]
    assert all(re.fullmatch(r"[01]\.\d{4}", row[-1]) for row in rows)
    assert "…" not in text
    assert not re.search(r"\n\s*\n\s*\n", text)
    assert ("left out at" in text) == (width in (60, 80))
    assert "mosaickd[form=joint] is better than kd" in re.sub(r"\s+", " ", text)
