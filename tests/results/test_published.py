"""Published numbers beside ours: what is compared, and what is not, and why."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import pytest

from okdbench import registry
from okdbench.core import plugins
from okdbench.core.protocol import Setting
from okdbench.results.leaderboard import Row
from okdbench.results.published import PublishedNumber, judge, published_numbers, verdicts
from okdbench.results.rendering import to_latex, to_markdown, to_text

PUBLISHED = Path(__file__).parents[2] / "leaderboards" / "published"
CLAIM = published_numbers("office31")[0]
ROW = Row(
    method="augkd",
    setting="AW-D",
    track="labelled",
    budget="paper",
    teacher="resnet34",
    student="mobilenetv3_small_100",
    seeds=3,
    complete="3/3",
    acc=84.0,
    acc_low=83.0,
    acc_high=85.0,
    top5=99.0,
    version="0.1.0",
    commit="abc",
    command="okdbench run",
)


def test_the_first_claim_is_what_the_source_says() -> None:
    assert (CLAIM.row, CLAIM.setting, CLAIM.value, CLAIM.std, CLAIM.confidence) == (
        "augkd", "AW-D", 84.3, 3.1, "secondary"
    )  # fmt: skip


@pytest.mark.parametrize("path", sorted(PUBLISHED.glob("*.csv")), ids=lambda path: path.stem)
def test_every_file_can_be_read_and_its_rows_exist(path: Path) -> None:
    lines = list(csv.DictReader(path.open()))
    assert all(float(line["value"]) > 0 and line["source"] and line["confidence"] for line in lines)
    if path.stem not in plugins.dataset_names():
        assert not published_numbers(path.stem)
    for claim in published_numbers(path.stem):
        assert claim.row in plugins.method_names()
        Setting.parse(claim.setting, registry.load_dataset(claim.dataset).domains)


@pytest.mark.parametrize(
    ("paper", "std", "verdict"),
    [
        (84.9, None, "reproduced"),
        (86.0, None, "not reproduced"),
        (86.0, 0.6, "within noise"),
        (81.0, 1.5, "within noise"),
        (70.0, 3.1, "not reproduced"),
    ],
)
def test_the_verdict_follows_from_interval_and_spread(paper: float, std: float | None, verdict: str) -> None:
    found = judge(replace(CLAIM, value=paper, std=std), [ROW])
    assert (found.verdict, found.ours, found.ours_low) == (verdict, 84.0, 83.0)
    assert found.why


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (replace(ROW, teacher="resnet18"), "our teacher is resnet18, theirs resnet34"),
        (replace(ROW, teacher="resnet34[test_split=official]"), "our runs have test_split=official"),
        (replace(ROW, acc_low=None, acc_high=None), "no interval"),
        (replace(ROW, student="mobilenetv3_smaller"), "our student"),
        (replace(ROW, budget="quick"), "our budget is quick"),
        (replace(ROW, complete="2/3"), "only 2/3"),
        (replace(ROW, track="label-free"), "no run of ours"),
        (replace(ROW, acc=None), "no run of ours"),
    ],
)
def test_what_cannot_be_compared_says_why(row: Row, why: str) -> None:
    found = judge(CLAIM, [row])
    assert found.verdict == "not comparable"
    assert why in found.why


@pytest.mark.parametrize("selection", ["test", ""])
def test_a_number_selected_on_the_test_split_is_not_comparable(selection: str) -> None:
    assert "selected on" in judge(replace(CLAIM, selection=selection), [ROW]).why


def test_the_row_that_has_most_in_common_is_taken() -> None:
    assert judge(CLAIM, [replace(ROW, budget="quick", acc=10.0), ROW]).ours == 84.0


def test_another_metric_is_read_from_its_column() -> None:
    claim: PublishedNumber = replace(CLAIM, metric="top5", value=98.0)
    found = judge(claim, [ROW])
    assert (found.ours, found.ours_low, found.verdict) == (99.0, None, "not comparable")


def test_the_tables_show_paper_ours_and_verdict() -> None:
    found = verdicts("office31", [ROW])
    for text in (to_markdown("office31", [ROW], found), to_latex("office31", [ROW], found), to_text(found)):
        assert "84.30 ± 3.10" in text
        assert "reproduced" in text
        assert "no run of ours" in text
    assert "published" not in to_markdown("office31", [ROW])
