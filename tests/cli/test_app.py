"""The command line as people meet it: help, mistakes, and one comparison from end to end."""

from __future__ import annotations

import csv
import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
TINY = "--teacher test_resnet --student test_resnet --budget smoke --device cpu"
HEADER = (
    "rank,method,setting,track,budget,teacher,student,seeds,complete,acc,acc_std,acc_low,acc_high,top3,top5,macro_f1,"
    "ece,teacher_acc,teacher_domain_acc,gain,last_acc,oracle_acc,selection_gap,student_images,teacher_images,seconds,"
    "peak_memory_mb,version,commit,command"
)


def okdbench(line: str, folder: Path, data_root: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OKDBENCH_DATA": str(data_root), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "okdbench", *shlex.split(line)]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("command", ["run", "sweep", "ls", "leaderboard", "plot", "report", "verify", "doctor"])
def test_every_command_explains_itself_with_an_example(command: str, tmp_path: Path, data_root: Path) -> None:
    result = okdbench(f"{command} --help", tmp_path, data_root)
    assert result.returncode == 0
    assert f"Example: okdbench {command}" in result.stdout


@pytest.mark.parametrize("line", ["--help", "ls methods", "ls settings --dataset digits", "leaderboard --runs none"])
def test_commands_without_training_do_not_load_torch(line: str) -> None:
    code = f"""
import sys
from okdbench.cli import main
sys.argv = ["okdbench", *{line.split()!r}]
try:
    main()
except SystemExit:
    pass
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


MISTAKES = {
    "run --method augk --dataset digits": "did you mean 'augkd'",
    "run --method kd --dataset digit": "did you mean 'digits'",
    "run --method kd --dataset digits --setting MX-O": "no domain has the letter 'X'",
    "run --method kd --dataset digits --budget quik": "did you mean 'quick'",
    "run --method kd --dataset digits --track labeled": "track",
    "run --method kd --dataset digits --set temprature=2": "did you mean 'temperature'",
    "run --method kd --dataset digits --set temperature=-1": "out of range",
    "run --method kd --dataset digits --set temperature": "key=value",
    "run --method kd --dataset digits --seed 1 --seeds 0-2": "not both",
    "run --method kd --dataset digits --config bad.yaml": "did you mean 'seed'",
    "run --method kd --dataset digits --setting MP-O --teacher resnet81 --budget smoke": "did you mean 'resnet",
    "run --method kd --dataset digits --teacher-weights none.pt": "does not exist",
    "run --method augkd --dataset digits --track label-free": "does not run in the label-free track",
    "run --method kd --dataset digits --device cuda:9": "--device cpu",
    "ls method": "did you mean 'methods'",
    "show augk": "did you mean 'augkd'",
    "leaderboard --runs none": "no records",
    "report --runs none": "no records",
    "export none": "no finished run 'none'",
    "predict none picture.jpg": "no finished run 'none'",
    "verify leaderboard.csv:2": "cannot be read as a leaderboard",
    "plot bars --runs none": "no records",
    "plot bar": "did you mean 'bars'",
    "plot bars --format pgn": "did you mean 'png'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_in_one_line_that_names_the_cure(line: str, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sed: 3\n")
    result = okdbench(line, tmp_path, data_root)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("okdbench: ")
    assert result.stderr.count("\n") == 1
    assert MISTAKES[line] in result.stderr
    assert not list(tmp_path.glob("runs/*/record.json"))


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_foreign_weights_are_refused_and_never_executed(tmp_path: Path, data_root: Path) -> None:
    with (tmp_path / "bomb.pt").open("wb") as file:
        pickle.dump({"weight": Bomb(tmp_path / "exploded")}, file)
    torch.save({"fc.weight": torch.zeros(10, 4)}, tmp_path / "other.pt")
    for name, reason in (("bomb.pt", "not a plain weights file"), ("other.pt", "is not a weights file of")):
        result = okdbench(
            f"run --method kd --dataset digits --setting MO-P {TINY} --teacher-weights {name}", tmp_path, data_root
        )
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert reason in result.stderr
    assert not (tmp_path / "exploded").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "file").touch()
    result = okdbench(
        f"run --method teacher --dataset digits --setting MO-P {TINY} --runs file/runs", tmp_path, data_root
    )
    assert result.returncode == 2, result.stderr
    assert "--runs" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_full_disk_loses_nothing(tmp_path: Path, data_root: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs privileges that this process does not have")
    try:
        line = f"run --method kd --dataset digits --setting MO-P {TINY} --runs small/runs"
        (small / "ballast").write_bytes(b"0" * 2_500_000)
        result = okdbench(line, tmp_path, data_root)
        assert result.returncode == 2, result.stderr
        assert "the disk is full; free some space" in result.stderr.replace("\n", " ")
        assert not list(small.rglob("record.json"))
        assert not list(small.rglob("*.tmp"))
        (small / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert okdbench(line, tmp_path, data_root).returncode == 0
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder in which two methods ran with two seeds, and the leaderboard was written."""
    folder = tmp_path_factory.mktemp("compared")
    result = okdbench(
        f"run --method finetune --method kd --dataset digits --setting MO-P --seeds 0-1 {TINY}", folder, data_root
    )
    assert result.returncode == 0, result.stderr
    assert okdbench("leaderboard --output tables", folder, data_root).returncode == 0
    return folder


def test_the_csv_keeps_its_contract(compared: Path) -> None:
    text = (compared / "tables" / "digits.csv").read_text()
    assert text.splitlines()[0] == HEADER
    rows = list(csv.DictReader(text.splitlines()))
    assert {(row["method"], row["setting"]) for row in rows} == {
        (method, setting) for method in ("finetune", "kd") for setting in ("all", "MO-P")
    }
    assert all(row["rank"] == "" for row in rows), "smoke is never ranked"
    assert all(row["complete"] == ("2/6" if row["setting"] == "all" else "2/2") for row in rows)


def test_the_table_is_the_same_from_an_archive_of_the_records(compared: Path, data_root: Path) -> None:
    kept = okdbench("leaderboard --output kept --records", compared, data_root)
    assert kept.returncode == 0, kept.stderr
    again = okdbench("leaderboard --runs kept/records/digits.jsonl.gz --output again", compared, data_root)
    assert again.returncode == 0, again.stderr
    assert (compared / "again" / "digits.csv").read_text() == (compared / "tables" / "digits.csv").read_text()


@pytest.mark.parametrize(("ending", "sign"), [("md", "|--"), ("tex", "begin{tabular}"), ("csv", HEADER)])
def test_the_table_is_printed_in_the_format_asked_for(ending: str, sign: str, compared: Path, data_root: Path) -> None:
    assert sign in okdbench(f"leaderboard --format {ending}", compared, data_root).stdout


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


def test_runs_are_listed(compared: Path, data_root: Path) -> None:
    result = okdbench("ls runs", compared, data_root)
    assert result.stdout.count("done") == 4


def test_doctor_and_show_work(tmp_path: Path, data_root: Path) -> None:
    assert okdbench("doctor", tmp_path, data_root).returncode == 0
    page = okdbench("show augkd", tmp_path, data_root).stdout
    assert all(word in page for word in ("ICLR", "legacy_self_kd", ">= 0", "reads:", "released-code.md"))
