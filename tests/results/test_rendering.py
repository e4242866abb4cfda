"""Leaderboards as CSV, Markdown, LaTeX and in a terminal: what is written, digit for digit."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from rich.console import Console
from support.fake_records import GRID, failed, record, rows

from okdbench.results.leaderboard import COLUMNS, leaderboard
from okdbench.results.records import Record
from okdbench.results.rendering import render, to_csv, to_latex, to_markdown, write_leaderboards

HEADER = (
    "rank,method,setting,track,budget,teacher,student,seeds,complete,acc,acc_std,acc_low,acc_high,top3,top5,macro_f1,"
    "ece,teacher_acc,teacher_domain_acc,gain,last_acc,oracle_acc,selection_gap,student_images,teacher_images,seconds,"
    "peak_memory_mb,version,commit,command"
)


def test_csv_is_the_contract() -> None:
    assert ",".join(COLUMNS) == HEADER
    text = to_csv([rows(*GRID)["kd", "B-C"], rows(GRID[0])["kd", "A-C"]])
    assert text.splitlines() == [
        HEADER,
        "1,kd,B-C,labelled,quick,resnet18,resnet10t,2,2/2,81.00,1.41,68.29,93.71,82.00,83.00,80.00,5.00,40.00,30.00,"
        "-1.00,79.00,84.00,3.00,100,200,10.0,500.0,0.1.0,abc,"
        "okdbench run --method kd --dataset digits --setting B-C --seeds 0-1 --budget quick",
        "1,kd,A-C,labelled,quick,resnet18,resnet10t,1,1/1,60.00,,,,61.00,62.00,59.00,5.00,40.00,30.00,"
        ",58.00,63.00,3.00,100,200,10.0,500.0,0.1.0,abc,"
        "okdbench run --method kd --dataset digits --setting A-C --seed 0 --budget quick",
    ]


def test_csv_quotes_variants_and_has_no_negative_zero() -> None:
    table = rows(record("kd", "A-C", 0, 59.999, variant="a=1,b=2"), record("finetune", "A-C", 0, 60))
    line = next(csv.DictReader(io.StringIO(to_csv([table["kd[a=1,b=2]", "A-C"]]))))
    assert (line["method"], line["gain"]) == ("kd[a=1,b=2]", "0.00")


def test_one_file_for_each_data_set(tmp_path: Path) -> None:
    paths = write_leaderboards([*GRID, record("kd", "A-W", 0, 50, dataset="office31")], tmp_path / "new")
    assert [path.name for path in paths] == ["digits.csv", "office31.csv"]
    assert paths[0].read_text() == to_csv(leaderboard(GRID)["digits"])
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["digits.csv", "office31.csv"]


def printed(*records: Record) -> str:
    console = Console(width=200, file=io.StringIO())
    console.print(render(leaderboard(records)["digits"]))
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def test_the_terminal_table_shows_brackets_shares_and_contests() -> None:
    text = printed(*GRID, failed("mad", "A-C", 0), record("kd", "A-C", 0, 50, variant="lr=0.1"))
    assert "labelled, quick, resnet18 -> resnet10t" in text
    assert "71.50 ± 2.12" in text
    assert "kd[lr=0.1]" in text
    assert "0/2" in text
    several = printed(*GRID, record("kd", "A-C", 0, 60, budget="smoke"))
    assert "labelled, smoke, resnet18 -> resnet10t" in several
    assert "contest" in several


def test_markdown_and_latex_hold_a_table_for_each_contest() -> None:
    table = leaderboard([*GRID, record("a|b", "A-C", 0, 60, track="label-free")])["digits"]
    markdown, latex = to_markdown("digits", table), to_latex("digits", table)
    assert markdown.count("### ") == latex.count("% digits, l") == 2
    assert "| kd       | all" in markdown
    assert "71.50 ± 2.12" in markdown
    assert "a\\|b" in markdown
    assert latex.count("\\begin{tabular}") == latex.count("\\bottomrule") == 2
    assert {line.count(" | ") for line in markdown.splitlines() if "quick" not in line and line} <= {0, 9}


def test_latex_escapes_what_is_special() -> None:
    table = leaderboard([record("kd", "A-C", 0, 60, variant="lr_x=50%&#")])["digits"]
    assert r"kd[lr\_x=50\%\&\#]" in to_latex("digits", table)
