"""A row of a leaderboard, run again: identical, or where it parts; and files that mean no good."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from support.error_text import refusal
from support.leaderboard_files import command, rewrite
from support.tiny_task import PAIR
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core import syntax
from okdbench.core.errors import UserError
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.frames import to_frame
from okdbench.results.records import Record
from okdbench.results.rendering import write_leaderboards
from okdbench.results.store import read_records, write_archive
from okdbench.sweep.grid import Grid
from okdbench.sweep.sequential import run_grid

ROW = 3  # line 2 is the row over all settings
OPTIONS = {"budget": "smoke", **PAIR, "device": "cpu"}


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder with ``runs``, and a leaderboard of them beside the archive of its records."""
    folder = tmp_path_factory.mktemp("published")
    publish(Grid(["kd"], ["digits"], ["MO-P"], seeds=[0, 1], options=OPTIONS), folder, data_root)
    return folder


def publish(grid: Grid, folder: Path, data_root: Path) -> None:
    """Run a grid in ``folder``, and write the leaderboard and the archive of its records there."""
    records = run_grid(grid, folder / "runs", data_root)
    assert {record.status for record in records} == {"done"}
    write_leaderboards(to_frame(records), folder)
    write_archive(folder / "records" / "digits.jsonl.gz", records)


@pytest.fixture
def board(published: Path, tmp_path: Path) -> Path:
    """A copy of the leaderboard with its archive, to tamper with."""
    shutil.copytree(published / "records", tmp_path / "records")
    return Path(shutil.copy(published / "digits.csv", tmp_path))


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all verifications of this module share, so that the runs are repeated once."""
    return tmp_path_factory.mktemp("again")


def verify(place: str, data_root: Path, *more: object) -> tuple[int, str]:
    words = ["verify", place, "--data-root", str(data_root), "--device", "cpu", *map(str, more)]
    result = CliRunner().invoke(app, words)
    if isinstance(result.exception, UserError):
        raise result.exception
    return result.exit_code, result.stdout


def alter(board: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change every record of the archive."""
    archive = board.parent / "records" / "digits.jsonl.gz"
    contents = [record.model_dump() for record in read_records(archive)]
    for content in contents:
        change(content)
    write_archive(archive, [Record.model_validate(content) for content in contents])


@pytest.mark.parametrize("line", [2, ROW])
def test_a_row_that_repeats_is_identical(line: int, board: Path, again: Path, data_root: Path) -> None:
    code, said = verify(f"{board}:{line}", data_root, "--runs", again)
    assert (code, said.splitlines()[-1]) == (0, "identical")
    assert [text for text in said.splitlines() if text.endswith(": identical")] == [
        f"kd digits MO-P seed {seed}: identical" for seed in (0, 1)
    ]


@pytest.mark.parametrize(
    ("method", "setting", "options"),
    [
        pytest.param("mosaickd[form=joint]", "MO-P", {"track": "semi", "shots": 3}, marks=pytest.mark.slow),
        ("kd", "MO@P", {}),
        pytest.param("dafl", "MO", {}, marks=pytest.mark.slow),
        pytest.param("original", "MO", {}, marks=pytest.mark.slow),
        pytest.param("dfad", "MO", {"precision": "bfloat16"}, marks=pytest.mark.slow),
        pytest.param("kd", "MO@P", {"precision": "bfloat16-targets"}, marks=pytest.mark.slow),
    ],
    ids=["adapt", "transfer", "data-free", "privileged", "bfloat16", "bfloat16-targets"],
)
def test_a_row_of_each_task_and_precision_repeats(
    method: str, setting: str, options: dict[str, Any], tmp_path: Path, data_root: Path
) -> None:
    publish(Grid([method], ["digits"], [setting], options={**OPTIONS, **options}), tmp_path, data_root)
    for line in (2, ROW):
        code, said = verify(f"{tmp_path / 'digits.csv'}:{line}", data_root, "--runs", tmp_path / "again")
        assert (code, said.splitlines()[-1]) == (0, "identical"), said
    assert len(list(tmp_path.glob("again/*/record.json"))) == 1


def test_a_row_of_another_protocol_is_refused(board: Path, tmp_path: Path, data_root: Path) -> None:
    rewrite(board, ROW, protocol="1")
    said = refusal(verify, f"{board}:{ROW}", data_root, "--runs", tmp_path / "runs")
    assert f"its runs are of protocol 1, and this version runs protocol {PROTOCOL_VERSION}; docs/protocol.md" in said
    assert not (tmp_path / "runs").exists()


def test_the_students_of_a_run_and_of_its_repetition_are_the_same_file(
    board: Path, published: Path, again: Path, data_root: Path
) -> None:
    assert verify(f"{board}:{ROW}", data_root, "--runs", again)[0] == 0
    for one in published.glob("runs/*/student.safetensors"):
        assert one.read_bytes() == (again / one.parent.name / one.name).read_bytes()


def test_it_computes_with_the_numbers_of_threads_that_the_records_name(
    published: Path, tmp_path: Path, data_root: Path
) -> None:
    one = [record for record in read_records(published / "runs") if record.seed == 0]
    write_leaderboards(to_frame(one), tmp_path)
    write_archive(tmp_path / "records" / "digits.jsonl.gz", one)
    alter(tmp_path / "digits.csv", lambda record: record["environment"].update(threads="3", teacher_threads="2"))
    verify(f"{tmp_path / 'digits.csv'}:{ROW}", data_root, "--runs", tmp_path / "again")
    found = [(r.environment["threads"], r.environment["teacher_threads"]) for r in read_records(tmp_path / "again")]
    assert found == [("3", "2")]
    assert torch.get_num_threads() == 1


def test_what_is_verified_is_not_run_again(board: Path, again: Path, data_root: Path) -> None:
    assert verify(f"{board}:{ROW}", data_root, "--runs", again)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in again.rglob("*.json")}
    assert len(before) >= 2
    assert verify(f"{board}:{ROW}", data_root, "--runs", again)[0] == 0
    assert {path: path.stat().st_mtime_ns for path in again.rglob("*.json")} == before


def test_without_an_archive_the_numbers_are_compared(board: Path, again: Path, data_root: Path) -> None:
    shutil.rmtree(board.parent / "records")
    rewrite(board, ROW, version="0.0.1")
    code, said = verify(f"{board}:{ROW}", data_root, "--runs", again)
    assert code == 0
    assert "only the numbers in the file are compared" in said
    assert "then and now: version 0.0.1 -> " in said
    assert said.splitlines()[-1] == "identical in the numbers of the file"
    rewrite(board, 2, complete="3/3")
    with pytest.raises(UserError, match="made of 3 runs, but there are 2 to repeat; name the archive"):
        verify(f"{board}:2", data_root, "--runs", again)


def test_without_a_folder_nothing_is_left_behind(
    published: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = [record for record in read_records(published / "runs") if record.seed == 0]
    write_leaderboards(to_frame(one), tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    code, said = verify(f"{tmp_path / 'digits.csv'}:{ROW}", data_root, "--records", published / "runs")
    assert (code, said.splitlines()[-1]) == (0, "identical")
    assert not list((tmp_path / "temporary").iterdir())


def test_a_number_that_no_run_gave_is_found(board: Path, again: Path, data_root: Path) -> None:
    true = list(csv.DictReader(board.read_text().splitlines()))[ROW - 2]["acc"]
    rewrite(board, ROW, acc=f"{float(true) + 1.25:.2f}")
    code, said = verify(f"{board}:{ROW}", data_root, "--runs", again)
    assert code == 1
    assert f"row: acc {float(true) + 1.25:.2f} -> {true}" in said
    assert "the runs are identical, but the numbers of the file are not those of its records" in said
    assert said.splitlines()[-1] == "drift of 1.25 points"


def test_losses_that_differ_are_found_at_their_step(board: Path, again: Path, data_root: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        curve = content["curves"]["distil"]
        curve["hashes"][2:] = ["0" * 12] * len(curve["hashes"][2:])
        curve["losses"]["kl"][2] = 0.5
        content["environment"] |= {"torch": "1.0", "threads": "64"}

    alter(board, change)
    curve = next(iter(read_records(board.parent / "records" / "digits.jsonl.gz"))).curves["distil"]
    code, said = verify(f"{board}:{ROW}", data_root, "--runs", again)
    assert code == 1
    where = f"stage 'distil', step {curve.steps[2]} (equal up to step {curve.steps[1]}): kl 0.5 -> "
    assert f"kd digits MO-P seed 1: drift of 0.00 points; first difference: {where}" in said
    assert "then and now: torch 1.0 -> " in said
    assert "then and now: threads 64 -> 1" in said


def test_another_hyper_parameter_differs_from_the_first_step(board: Path, again: Path, data_root: Path) -> None:
    rewrite(board, ROW, command=f"{command(board, ROW)} --set temperature=2")
    code, said = verify(f"{board}:{ROW}", data_root, "--runs", again)
    assert code == 1
    assert "first difference: stage 'distil', step 0: kl " in said
    assert "then and now: config.hyperparameters.temperature 10.0 -> 2.0" in said
    assert "then and now: key " in said
    assert "drift of " in said.splitlines()[-1]


def test_a_run_is_not_compared_with_itself(board: Path, published: Path, data_root: Path) -> None:
    with pytest.raises(UserError, match="is the run that the row was made of"):
        verify(f"{board}:{ROW}", data_root, "--runs", published / "runs")


def test_a_network_from_elsewhere_is_refused(board: Path, tmp_path: Path, data_root: Path) -> None:
    name = "hf-hub:someone/thing"
    rewrite(board, ROW, teacher=name, command=f"{command(board, ROW)} --teacher {name}")
    with pytest.raises(UserError, match="is not a bundled network; run it by hand"):
        verify(f"{board}:{ROW}", data_root, "--runs", tmp_path / "runs")


def test_a_missing_archive_is_told_when_it_is_named(board: Path, data_root: Path) -> None:
    with pytest.raises(UserError, match="there is no archive"):
        verify(f"{board}:{ROW}", data_root, "--records", "none.jsonl.gz")


def test_seeds_are_bounded() -> None:
    assert len(syntax.parse_seeds("0-9999")) == 10_000
    with pytest.raises(UserError, match="more than 10000"):
        syntax.parse_seeds("0-10000")
