"""A row of a leaderboard, run again: identical, or where it parts; and files that mean no good."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import TINY
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core import syntax
from okdbench.core.errors import UserError
from okdbench.results.leaderboard import COLUMNS
from okdbench.results.record_diff import circumstances, first_difference
from okdbench.results.records import Record
from okdbench.results.rendering import write_leaderboards
from okdbench.results.row_spec import read_row_spec
from okdbench.results.store import read_records, write_archive
from okdbench.sweep.grid import Grid
from okdbench.sweep.sequential import run_grid

ROW = 3  # line 2 is the row over all settings


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """A folder with ``runs``, and a leaderboard of them beside the archive of its records."""
    folder = tmp_path_factory.mktemp("published")
    options = {"budget": "smoke", "teacher": TINY, "student": TINY, "device": "cpu"}
    records = run_grid(Grid(["kd"], ["digits"], ["MO-P"], [0, 1], options=options), folder / "runs", data_root)
    assert [record.status for record in records] == ["done", "done"]
    write_leaderboards(records, folder)
    write_archive(folder / "records" / "digits.jsonl.gz", records)
    return folder


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


def rewrite(board: Path, line: int, **columns: str) -> None:
    rows = list(csv.DictReader(board.read_text().splitlines()))
    rows[line - 2] |= columns
    with board.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def command(board: Path, line: int = ROW) -> str:
    return list(csv.DictReader(board.read_text().splitlines()))[line - 2]["command"]


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


def test_the_students_of_a_run_and_of_its_repetition_are_the_same_file(
    board: Path, published: Path, again: Path, data_root: Path
) -> None:
    assert verify(f"{board}:{ROW}", data_root, "--runs", again)[0] == 0
    for one in published.glob("runs/*/student.safetensors"):
        assert one.read_bytes() == (again / one.parent.name / one.name).read_bytes()


def test_it_computes_with_the_numbers_of_threads_that_the_records_name(
    board: Path, tmp_path: Path, data_root: Path
) -> None:
    alter(board, lambda record: record["environment"].update(threads="3", teacher_threads="2"))
    verify(f"{board}:{ROW}", data_root, "--runs", tmp_path / "runs")
    found = [(r.environment["threads"], r.environment["teacher_threads"]) for r in read_records(tmp_path / "runs")]
    assert found == [("3", "2")] * 2
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
    with pytest.raises(UserError, match="made of 2 runs, but there are 6 to repeat; name the archive"):
        verify(f"{board}:2", data_root, "--runs", again)


def test_without_a_folder_nothing_is_left_behind(
    published: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = [record for record in read_records(published / "runs") if record.seed == 0]
    write_leaderboards(one, tmp_path)
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
    rewrite(board, ROW, command=f"{command(board)} --set temperature=2")
    code, said = verify(f"{board}:{ROW}", data_root, "--runs", again)
    assert code == 1
    assert "first difference: stage 'distil', step 0: kl " in said
    assert "then and now: config.hyperparameters.temperature 10.0 -> 2.0" in said
    assert "then and now: key " in said
    assert "drift of " in said.splitlines()[-1]


def test_a_run_is_not_compared_with_itself(board: Path, published: Path, data_root: Path) -> None:
    with pytest.raises(UserError, match="is the run that the row was made of"):
        verify(f"{board}:{ROW}", data_root, "--runs", published / "runs")


HOSTILE = {
    "{}; touch owned": "extra argument",
    "{} && touch owned": "extra argument",
    "{} `touch owned`": "extra argument",
    "{} --seeds $(touch owned)": "cannot be read",
    "touch owned": "is not 'okdbench run'",
    "okdbench data add digits /etc": "is not 'okdbench run'",
    "/tmp/okdbench run --method kd": "is not 'okdbench run'",
    "{} --runs owned": "it has --runs",
    "{} --data-root /": "it has --data-root",
    "{} --config /etc/passwd": "it has --config",
    "{} --teacher-weights /etc/passwd": "it has --teacher-weights",
    "{} --teacher-only": "it has --teacher-only",
    "{} --device cuda": "it has --device",
    "{} --help": "cannot be read",
    "{} --install-completion": "cannot be read",
    "{} --method finetune": "none of those that come along",
    "okdbench run --method finetune --dataset digits --budget smoke": "another row",
    "okdbench run --method ./evil.py --dataset digits": "'./evil.py' is none of those that come along",
    "{} --dataset /etc/hosts.yaml": "none of those that come along",
    "{} --dataset ../digits.yml": "none of those that come along",
    "{} --seeds 0-999999999": "more than 10000",
    "{} --seeds 0-7": "another row: seeds",
    "{} --setting MP-O": "another row: setting",
    "{} --budget paper": "another row: budget",
    "{} --teacher hf-hub:someone/thing": "another row: teacher",
    "{} --set temperature=1 '": "No closing quotation",
    "{} --sneaky\x1b[2J\n": "cannot be read",
}


@pytest.mark.parametrize("line", HOSTILE)
def test_a_hostile_command_is_refused_in_one_line(
    line: str, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(board, ROW, command=line.format(command(board)))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        read_row_spec(f"{board}:{ROW}")
    assert HOSTILE[line].removeprefix("it has") in str(caught.value)
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_network_from_elsewhere_is_refused(board: Path, tmp_path: Path, data_root: Path) -> None:
    name = "hf-hub:someone/thing"
    rewrite(board, ROW, teacher=name, command=f"{command(board)} --teacher {name}")
    with pytest.raises(UserError, match="unknown network"):
        verify(f"{board}:{ROW}", data_root, "--runs", tmp_path / "runs")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("{}", "names no line"),
        ("{}:0", "no row in line 0; its rows are in lines 2 to 3"),
        ("{}:1", "no row in line 1"),
        ("{}:4", "no row in line 4"),
        ("{}.txt:2", "cannot be read as a leaderboard"),
        ("other.csv:2", "is not a leaderboard"),
        ("binary.csv:2", "cannot be read as a leaderboard"),
    ],
)
def test_a_place_that_is_none_is_told(place: str, reason: str, board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(board.parent)
    Path("other.csv").write_text("a,b\n1,2\n")
    Path("binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=reason):
        read_row_spec(place.format(board))


def test_a_line_is_counted_as_an_editor_does(board: Path) -> None:
    rewrite(board, 2, version="two\nlines")
    assert read_row_spec(f"{board}:2").columns["setting"] == "all"
    assert read_row_spec(f"{board}:3").columns["setting"] == "all"
    assert read_row_spec(f"{board}:4").columns["setting"] == "MO-P"


def test_a_row_without_a_finished_run_is_told(board: Path) -> None:
    rewrite(board, ROW, acc="", complete="0/2")
    with pytest.raises(UserError, match="none of its runs is finished"):
        read_row_spec(f"{board}:{ROW}")


def test_a_missing_archive_is_told_when_it_is_named(board: Path, data_root: Path) -> None:
    with pytest.raises(UserError, match="there is no archive"):
        verify(f"{board}:{ROW}", data_root, "--records", "none.jsonl.gz")


def test_records_without_curves_part_at_an_evaluation(published: Path) -> None:
    now = next(iter(read_records(published / "runs")))
    first = now.evaluations[0]
    worse = first.model_copy(update={"test": first.test.model_copy(update={"acc": first.test.acc - 1})})
    then = now.model_copy(update={"curves": {}, "evaluations": [worse, *now.evaluations[1:]]})
    assert first_difference(now, now) == ""
    assert first_difference(now.model_copy(update={"curves": {}}), now) == ""
    assert first_difference(now, now.model_copy(update={"curves": {}})) == ""
    assert first_difference(then, now) == (
        f"the evaluation of stage {first.stage!r} after {first.step} steps: "
        f"acc {first.test.acc - 1:.2f} -> {first.test.acc:.2f}"
    )


def test_another_teacher_is_named_before_what_follows_from_it(published: Path) -> None:
    now = next(iter(read_records(published / "runs")))
    assert now.teacher_score is not None
    own, foreign = now.teacher_score.own_acc, now.teacher_score.student_domain_acc
    better = now.teacher_score.model_copy(update={"student_domain_acc": foreign + 2})
    then = now.model_copy(update={"teacher_score": better, "fingerprints": {}})
    assert first_difference(then, now) == (
        f"the teacher ({own:.2f} -> {own:.2f} % on its own domains, "
        f"{foreign + 2:.2f} -> {foreign:.2f} % on the student's domain), "
        "then the record's teacher_score, fingerprints"
    )


def test_equal_weights_under_other_circumstances_are_identical(published: Path) -> None:
    now = next(iter(read_records(published / "runs")))
    then = now.model_copy(update={"key": "old", "version": "0.0.1", "environment": {"torch": "1.0"}})
    assert first_difference(then, now) == ""
    assert circumstances(then, now)["version"] == ("0.0.1", now.version)
    assert circumstances(then, now)["python"] == ("-", now.environment["python"])


def test_other_weights_after_equal_losses_are_a_difference(published: Path) -> None:
    now = next(iter(read_records(published / "runs")))
    then = now.model_copy(update={"fingerprints": {"last": "x", "selected": "y"}})
    assert first_difference(then, now) == "the record's fingerprints"


def test_a_stage_that_is_missing_or_shorter_is_named(published: Path) -> None:
    now = next(iter(read_records(published / "runs")))
    curve = now.curves["distil"]
    more = {"steps": [*curve.steps, 999], "hashes": [*curve.hashes, "x"], "losses": {"kl": [*curve.losses["kl"], 0.5]}}
    longer = curve.model_copy(update=more)
    assert "stage 'distil', which is missing now" in first_difference(
        now, now.model_copy(update={"curves": {"x": curve}})
    )
    then = now.model_copy(update={"curves": {"distil": longer}})
    assert first_difference(then, now) == (
        f"stage 'distil', step 999 (equal up to step {curve.steps[-1]}): the stage has other steps now"
    )


def test_seeds_are_bounded() -> None:
    assert len(syntax.parse_seeds("0-9999")) == 10_000
    with pytest.raises(UserError, match="more than 10000"):
        syntax.parse_seeds("0-10000")


def test_a_run_that_fails_now_is_a_difference(published: Path) -> None:
    good = next(iter(read_records(published / "runs")))
    failed = good.model_copy(update={"status": "failed", "selected": None, "error": "ValueError: no"})
    assert first_difference(good, failed) == "the run fails: ValueError: no"
