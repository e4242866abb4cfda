"""One comparison from end to end: runs, the leaderboard as tables, files and JSON, and the list of runs."""

from __future__ import annotations

import csv
import json
import shlex
from pathlib import Path
from subprocess import CompletedProcess

import pytest
from support.fork_server import Command
from support.leaderboard_files import HEADER

TINY = "--teacher lenet5_bn --student lenet5_half_bn --budget smoke --device cpu"


def okdbench(line: str, folder: Path, data_root: Path) -> CompletedProcess[str]:
    return Command(shlex.split(line), folder, data_root).wait()


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder in which two methods ran with two seeds, and the leaderboard was written."""
    folder = tmp_path_factory.mktemp("compared")
    result = okdbench(
        f"run --method finetune --methods kd --dataset digits --setting MO-P --seeds 0-1 {TINY}", folder, data_root
    )
    assert result.returncode == 0, result.stderr
    assert okdbench("leaderboard --output tables", folder, data_root).returncode == 0
    return folder


def test_the_csv_keeps_its_contract(compared: Path) -> None:
    text = (compared / "tables" / "digits.csv").read_text()
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["method"], row["setting"]) for row in rows} == {
        (method, setting) for method in ("finetune", "kd") for setting in ("1 of 3 settings", "MO-P")
    }
    assert all(row["rank"] == "" for row in rows), "smoke is never ranked"
    assert all(row["complete"] == "2/2" for row in rows)


def test_the_table_is_the_same_from_an_archive_of_the_records(compared: Path, data_root: Path) -> None:
    kept = okdbench("leaderboard --output kept --records", compared, data_root)
    assert kept.returncode == 0, kept.stderr
    again = okdbench("leaderboard --runs kept/records/digits.jsonl.gz --output again", compared, data_root)
    assert again.returncode == 0, again.stderr
    assert (compared / "again" / "digits.csv").read_text() == (compared / "tables" / "digits.csv").read_text()


@pytest.mark.parametrize(("ending", "sign"), [("md", "|--"), ("tex", "begin{tabular}"), ("csv", HEADER)])
def test_the_table_is_printed_in_the_format_asked_for(ending: str, sign: str, compared: Path, data_root: Path) -> None:
    assert sign in okdbench(f"leaderboard --format {ending}", compared, data_root).stdout


def test_json_has_the_columns_of_the_csv(compared: Path, data_root: Path) -> None:
    rows = json.loads(okdbench("leaderboard --format json", compared, data_root).stdout)
    assert [row["dataset"] for row in rows] == ["digits"] * 4
    assert set(HEADER.split(",")) <= set(rows[0])
    written = {
        (row["method"], row["setting"]): row["acc"]
        for row in csv.DictReader((compared / "tables" / "digits.csv").read_text().splitlines())
    }
    assert {(row["method"], row["setting"]): f"{row['acc']:.2f}" for row in rows} == written


@pytest.mark.parametrize(
    ("words", "cure"),
    [("--format txt", "did you mean 'tex'"), ("--records", "--output"), ("--runs absent", "okdbench run")],
)
def test_a_table_that_cannot_be_made_says_why(words: str, cure: str, compared: Path, data_root: Path) -> None:
    result = okdbench(f"leaderboard {words}", compared, data_root)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert cure in result.stderr


def test_the_command_of_a_row_repeats_it(compared: Path, data_root: Path) -> None:
    rows = csv.DictReader((compared / "tables" / "digits.csv").open())
    command = next(row["command"] for row in rows if row["setting"] == "MO-P" and row["method"] == "kd")
    before = {path: path.stat().st_mtime_ns for path in compared.glob("runs/*/record.json")}
    result = okdbench(command.removeprefix("okdbench "), compared, data_root)
    assert result.returncode == 0, result.stderr
    assert {path: path.stat().st_mtime_ns for path in compared.glob("runs/*/record.json")} == before


def test_comparisons_are_json_with_a_sentence_each(compared: Path, data_root: Path) -> None:
    result = okdbench("compare kd finetune --format json", compared, data_root)
    content = json.loads(result.stdout)
    (pair,) = content
    assert (pair["a"], pair["b"], pair["seeds"], pair["settings"]) == ("kd", "finetune", 2, ["MO-P"])
    assert 0 <= pair["p"] <= 1
    assert "2 seeds, setting MO-P" in pair["sentence"]


def test_an_interrupted_run_is_named_below_the_list(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "runs" / "0123456789abcdef").mkdir(parents=True)
    (tmp_path / "runs" / "0123456789abcdef" / "config.yaml").touch()
    listed = okdbench("runs ls", tmp_path, data_root).stdout
    assert "unfinished, and not in the list: 0123456789abcdef; the same command resumes a run" in listed


def test_runs_are_listed_and_shown(compared: Path, data_root: Path) -> None:
    listed = okdbench("runs ls", compared, data_root).stdout
    assert listed.count("done") == 4
    assert "4 runs, " in listed.splitlines()[-1]
    rows = json.loads(okdbench("runs ls --format json", compared, data_root).stdout)
    assert sorted((row["method"], row["seed"], row["status"]) for row in rows) == [
        (method, seed, "done") for method in ("finetune", "kd") for seed in (0, 1)
    ]
    key = rows[0]["key"]
    shown = json.loads(okdbench(f"runs show {key[:8]} --format json", compared, data_root).stdout)
    assert (shown["key"], shown["method"], shown["bytes"]) == (key, rows[0]["method"], rows[0]["bytes"])
    assert next(iter(shown)) == "method"


def test_a_run_is_found_by_its_folder_and_an_ambiguous_beginning_is_an_error(compared: Path, data_root: Path) -> None:
    folder = next(compared.glob("runs/*/record.json")).parent
    assert okdbench(f"runs show {folder}", compared, data_root).stdout.startswith("method: ")
    result = okdbench("runs show ''", compared, data_root)
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert "4 runs begin with ''" in result.stderr
