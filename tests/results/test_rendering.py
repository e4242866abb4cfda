"""Leaderboards as CSV, Markdown, LaTeX and JSON, digit for digit; and a new column that appears in all of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from support.fake_records import GRID, failed, record, table
from support.leaderboard_files import HEADER

from okdbench.core.errors import UserError
from okdbench.results import columns
from okdbench.results.frames import to_frame
from okdbench.results.leaderboard import leaderboard
from okdbench.results.records import Record
from okdbench.results.rendering import (
    print_leaderboard,
    published_to_csv,
    to_csv,
    to_latex,
    to_markdown,
    write_leaderboards,
)
from okdbench.results.report.page import render
from okdbench.results.table import DETAILS, EVERYWHERE, Column


def rows(*records: Record, **wanted: Any) -> Any:
    """The rows of a leaderboard that have these values."""
    found = table(records)
    for name, value in wanted.items():
        found = found[found[name] == value]
    return found


def test_csv_is_the_contract() -> None:
    assert to_csv(rows(*GRID, method="kd", setting="B-C")).splitlines() == [
        HEADER,
        "digits,1,kd,B-C,method,adapt,labelled,all,quick,resnet18,resnet10t,5,2,2/2,81.00,68.29,93.71,,kd,0.00,,,"
        "80.00,0,81.00,82.00,83.00,80.00,5.00,40.00,30.00,-1.00,79.00,84.00,3.00,100,200,7,200,400,10.0,500.0,,2.9,cpu,0.1.0,abc,"
        "okdbench run --method kd --dataset digits --setting B-C --seeds 0-1 --budget quick",
    ]
    assert to_csv(rows(GRID[0], setting="A-C")).splitlines()[1] == (
        "digits,1,kd,A-C,method,adapt,labelled,all,quick,resnet18,resnet10t,5,1,1/1,60.00,,,,kd,0.00,,,"
        "60.00,0,60.00,61.00,62.00,59.00,5.00,40.00,30.00,,58.00,63.00,3.00,100,200,7,200,400,10.0,500.0,,2.9,cpu,0.1.0,abc,"
        "okdbench run --method kd --dataset digits --setting A-C --seed 0 --budget quick"
    )


def test_csv_quotes_variants_and_has_no_negative_zero() -> None:
    made = [record("kd", "A-C", 0, 59.999, variant="a=1,b=2"), record("finetune", "A-C", 0, 60)]
    (line,) = csv.DictReader(io.StringIO(to_csv(rows(*made, method="kd[a=1,b=2]", setting="A-C"))))
    assert (line["method"], line["gain"]) == ("kd[a=1,b=2]", "0.00")


def test_one_file_for_each_data_set(tmp_path: Path) -> None:
    records = to_frame([*GRID, record("kd", "A-W", 0, 50, dataset="office31")])
    paths = write_leaderboards(records, tmp_path / "new")
    assert [path.name for path in paths] == ["digits.csv", "office31.csv", "runs.csv", "published.csv"]
    assert paths[0].read_text() == to_csv(table(GRID))
    assert {path.name for path in (tmp_path / "new").iterdir()} == {path.name for path in paths}
    assert paths[-1].read_text() == published_to_csv(leaderboard(records))
    runs = pd.read_csv(tmp_path / "new" / "runs.csv")
    assert len(runs) == len(records)
    assert runs.groupby("method")["acc"].max().to_dict() == {"finetune": 83, "kd": 82}
    with pytest.raises(UserError, match="unknown format 'xls'"):
        write_leaderboards(records, tmp_path, "xls")


def test_markdown_and_latex_have_a_table_for_each_comparison_group() -> None:
    found = table([*GRID, record("a|b", "A-C", 0, 60, track="label-free")])
    markdown, latex = to_markdown(found), to_latex(found)
    assert markdown.count("### digits, l") == latex.count("% digits, l") == 2
    assert "| kd       | all" in markdown
    assert "71.50" in markdown
    assert "a\\|b" in markdown
    assert latex.count("\\begin{tabular}") == latex.count("\\bottomrule") == 2
    assert {line.count(" | ") for line in markdown.splitlines() if "quick" not in line and line} <= {0, 12}


def test_latex_escapes_special_characters() -> None:
    assert r"kd[lr\_x=50\%\&\#]" in to_latex(table([record("kd", "A-C", 0, 60, variant="lr_x=50%&#")]))


def test_json_has_every_digit_and_null_for_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    print_leaderboard(to_frame([*GRID[:2], failed("mad", "A-C", 0)]), "json")
    lines = json.loads(capsys.readouterr().out)
    assert [list(line) for line in lines] == [[c.name for c in columns.shown_in("frame")]] * 4
    assert set(HEADER.split(",")) < set(lines[0])
    assert (lines[0]["dataset"], lines[0]["rank"], lines[0]["acc"]) == ("digits", 1, 62.0)
    assert lines[0]["acc_low"] == pytest.approx(62 - 12.706204736 * 2, abs=1e-6)
    assert (lines[1]["method"], lines[1]["acc"], lines[1]["rank"]) == ("mad", None, None)


def test_csv_of_two_data_sets_needs_a_folder() -> None:
    records = to_frame([*GRID, record("kd", "A-W", 0, 50, dataset="office31")])
    with pytest.raises(UserError, match="digits, office31: CSV files of several data sets need a folder"):
        print_leaderboard(records, "csv")
    with pytest.raises(UserError, match="unknown format 'xls'"):
        print_leaderboard(records, "xls")


@pytest.mark.parametrize("forms", [EVERYWHERE, DETAILS], ids=["everywhere", "details"])
def test_a_new_column_is_one_entry(
    forms: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    added = Column("agreement", "same class as the teacher", unit="%", heading="agrees", averaged=True, forms=forms)
    monkeypatch.setattr(columns, "COLUMNS", (*columns.COLUMNS, added))
    records = [record("kd", "A-C", 0, 60)]
    found = table(records)
    assert found["agreement"].tolist() == [50.0, 50.0]
    print_leaderboard(to_frame(records))
    terminal = capsys.readouterr().out
    shown = forms == EVERYWHERE
    assert ("agrees: same class as the teacher (%)" in terminal) == ("50.00\n" in terminal) == shown
    assert (" agrees |" in to_markdown(found)) == ("   50.00 |" in to_markdown(found)) == shown
    assert ("agrees \\\\" in to_latex(found)) == (" 50.00 \\\\" in to_latex(found)) == shown
    assert next(csv.DictReader(io.StringIO(to_csv(found))))["agreement"] == "50.00"
    page = render(records)
    assert "Agrees" in page.partition("<tbody")[0] or not shown
    assert "50.00" in page.partition('id="runs"')[0]
