"""What a folder of runs takes, and what goes when it is thinned out: never a record, never a run in hand."""

from __future__ import annotations

from pathlib import Path

import pytest
from filelock import FileLock
from support.fake_records import failed, record
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.results import cleanup as storage
from okdbench.results.records import Record
from okdbench.results.store import read_records, write_record


def put(runs: Path, made: Record, hour: int) -> Path:
    folder = runs / made.key
    write_record(folder, made.model_copy(update={"environment": {"finished": f"2026-01-01T{hour:02}:00:00+00:00"}}))
    (folder / "student.safetensors").write_bytes(bytes(1000))
    (folder / "metrics.jsonl").write_bytes(bytes(10))
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Three finished runs, the one called late first by name, and a failed one that may go on."""
    put(tmp_path, record("a_late", "A-C", 0, 60), 3)
    put(tmp_path, record("early", "A-C", 0, 60), 1)
    put(tmp_path, record("middle", "A-C", 0, 60), 2)
    (put(tmp_path, failed("stopped", "A-C", 0), 0) / "checkpoint.pt").write_bytes(bytes(500))
    return tmp_path


def names(runs: Path, most: int | None, dry: bool = False) -> list[str]:
    return [f"{file.parent.name}/{file.name}" for file, _ in storage.prune(runs, most, dry)]


def test_the_oldest_students_go_until_it_is_enough(runs: Path) -> None:
    total = storage.size(runs)
    assert names(runs, total - 1500) == ["earlyA-C0/student.safetensors", "middleA-C0/student.safetensors"]
    assert storage.size(runs) == total - 2000
    assert names(runs, total - 1500) == []
    assert len(list(read_records(runs))) == 4


def test_without_a_limit_only_leftovers_of_finished_runs_go(runs: Path) -> None:
    (runs / "earlyA-C0" / "checkpoint.pt").write_bytes(b"left by a kill")
    (runs / "earlyA-C0" / "record.json.7.tmp").write_bytes(b"half")
    assert sorted(names(runs, None)) == ["earlyA-C0/checkpoint.pt", "earlyA-C0/record.json.7.tmp"]
    assert (runs / "stoppedA-C0" / "checkpoint.pt").exists(), "what failed may go on"


def test_a_rehearsal_deletes_nothing(runs: Path) -> None:
    before = storage.size(runs)
    assert len(names(runs, 0, dry=True)) == 3
    assert storage.size(runs) == before


def test_a_run_in_hand_is_left_alone(runs: Path) -> None:
    with FileLock(runs / "earlyA-C0" / "lock"):
        assert "earlyA-C0/student.safetensors" not in names(runs, 0)
    assert (runs / "earlyA-C0" / "student.safetensors").exists()


def test_the_commands_say_what_there_is_and_what_went(runs: Path) -> None:
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
