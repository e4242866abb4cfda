"""Disk space of a folder of runs, and what pruning deletes: never a record, never a run that is locked."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from support.fake_records import failed, put, record
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.results import cleanup
from okdbench.results.store import read_records


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three finished runs, of which the last is the first by name, and a failed one that may resume."""
    put(tmp_path, record("a_late", "A-C", 0, 60), 3)
    put(tmp_path, record("early", "A-C", 0, 60), 1)
    put(tmp_path, record("middle", "A-C", 0, 60), 2)
    (put(tmp_path, failed("stopped", "A-C", 0), 0) / "checkpoint.pt").write_bytes(bytes(500))
    return tmp_path


def names(runs: Path, most: int | None, dry: bool = False) -> list[str]:
    return [f"{file.parent.name}/{file.name}" for file, _ in cleanup.prune(runs, most, dry)]


def test_the_oldest_students_go_until_it_is_enough(runs: Path) -> None:
    total = cleanup.size(runs)
    assert names(runs, total - 1500) == ["earlyA-C0/student.safetensors", "middleA-C0/student.safetensors"]
    assert cleanup.size(runs) == total - 2000
    assert names(runs, total - 1500) == []
    assert len(list(read_records(runs))) == 4


def test_without_a_limit_only_leftovers_of_finished_runs_go(runs: Path) -> None:
    (runs / "earlyA-C0" / "checkpoint.pt").write_bytes(b"left by a kill")
    (runs / "earlyA-C0" / "record.json.7.tmp").write_bytes(b"half")
    assert sorted(names(runs, None)) == ["earlyA-C0/checkpoint.pt", "earlyA-C0/record.json.7.tmp"]
    assert (runs / "stoppedA-C0" / "checkpoint.pt").exists(), "a failed run may resume"


def test_predictions_are_counted_and_kept_with_the_record(runs: Path) -> None:
    before = cleanup.size(runs)
    (runs / "earlyA-C0" / "predictions.npz").write_bytes(bytes(300))
    assert cleanup.size(runs) == before + 300
    assert names(runs, 0)
    assert (runs / "earlyA-C0" / "predictions.npz").exists()


def test_a_dry_run_deletes_nothing(runs: Path) -> None:
    before = cleanup.size(runs)
    assert len(names(runs, 0, dry=True)) == 3
    assert cleanup.size(runs) == before


def test_a_run_that_is_locked_is_left_alone(runs: Path) -> None:
    with FileLock(runs / "earlyA-C0" / "lock"):
        assert "earlyA-C0/student.safetensors" not in names(runs, 0)
    assert (runs / "earlyA-C0" / "student.safetensors").exists()


def test_the_commands_print_what_there_is_and_what_was_deleted(runs: Path) -> None:
    def call(*words: str) -> tuple[int, str]:
        result = CliRunner().invoke(app, ["runs", *words, "--runs", str(runs)])
        return result.exit_code, result.output

    code, text = call("ls")
    assert code == 0
    assert [line.split()[0] for line in text.splitlines()[2:6]] == [
        "stoppedA-C0",
        "earlyA-C0",
        "middleA-C0",
        "a_lateA-C0",
    ]
    assert "4 runs" in text
    code, text = call("show", "earl")
    assert code == 0
    assert text.startswith("method: early\n")
    assert "command: okdbench run --method early" in text
    code, text = call("prune", "--max-gb", "0", "--dry-run")
    assert "would free 3 kB" in text
    code, text = call("prune", "--max-gb", "0")
    assert "freed 3 kB" in text
    assert [path.parent.name for path in runs.glob("*/student.safetensors")] == ["stoppedA-C0"]
