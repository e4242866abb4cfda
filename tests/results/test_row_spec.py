"""A line of a leaderboard as a claim to verify: what is read from it, and hostile files."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.fake_records import record
from support.leaderboard_files import command, rewrite

from okdbench.core.errors import UserError
from okdbench.core.protocol import PROTOCOL_VERSION
from okdbench.results.frames import to_frame
from okdbench.results.grouping import ComparisonGroup
from okdbench.results.rendering import write_leaderboards
from okdbench.results.row_spec import read_row_spec

ROW = 3  # line 2 is the row over all settings


@pytest.fixture
def board(tmp_path: Path) -> Path:
    """A leaderboard with a row over all settings and one for a setting, of two seeds each."""
    records = [record("kd", "MO-P", seed, 60 + seed, variant="temperature=2.0") for seed in (0, 1)]
    commands = [f"{made.command} --set temperature=2.0" for made in records]
    made = [old.model_copy(update={"command": command}) for old, command in zip(records, commands, strict=True)]
    return write_leaderboards(to_frame(made), tmp_path / "boards")[0]


def test_a_row_says_what_to_run(board: Path) -> None:
    found = read_row_spec(f"{board}:{ROW}")
    assert found.file == board
    place = ("digits", "adapt", "labelled", "all", "quick", "resnet18", "resnet10t")
    assert found.group == ComparisonGroup(*place, str(PROTOCOL_VERSION))
    assert found.runs == 2
    assert (found.columns["method"], found.columns["acc"]) == ("kd[temperature=2.0]", "60.50")
    assert {name: value for name, value in found.options.items() if value is not None} == {
        "dataset": "digits", "setting": "MO-P", "budget": "quick"
    }  # fmt: skip
    assert (found.given["method"], found.given["seeds"]) == (["kd"], "0-1")
    assert found.given["assignments"] == ["temperature=2.0"]


HOSTILE = {
    "{}; touch owned": "it has touch",
    "{} && touch owned": "it has &&",
    "{} `touch owned`": "it has `touch",
    "{} --seeds $(touch owned)": "it has owned)",
    "touch owned": "is not 'okdbench run'",
    "okdbench data add digits /etc": "is not 'okdbench run'",
    "/tmp/okdbench run --method kd": "is not 'okdbench run'",
    "{} --runs owned": "it has --runs",
    "{} --data-root /": "it has --data-root",
    "{} --config /etc/passwd": "it has --config",
    "{} --teacher-weights /etc/passwd": "it has --teacher-weights",
    "{} --teacher-only": "it has --teacher-only",
    "{} --device cuda": "it has --device",
    "{} --help": "it has --help",
    "{} --install-completion": "it has --install-completion",
    "{} --method finetune": "is not a bundled one",
    "okdbench run --method finetune --dataset digits --budget quick": "another row",
    "okdbench run --method ./evil.py --dataset digits": "'./evil.py' is not a bundled one",
    "{} --dataset /etc/hosts.yaml": "is not a bundled one",
    "{} --dataset ../digits.yml": "is not a bundled one",
    "{} --seeds 0-999999999": "more than 10000",
    "{} --seeds 0-7": "another row: seeds",
    "{} --setting MP-O": "another row: setting",
    "{} --budget paper": "another row: budget",
    "{} --teacher hf-hub:someone/thing": "its teacher 'hf-hub:someone/thing' is not a bundled network",
    "{} --teacher ./evil.py": "its teacher './evil.py' is not a bundled network",
    "{} --student ./evil.py:build": "its student './evil.py:build' is not a bundled network",
    "{} --set temperature=1 '": "No closing quotation",
    "{} --sneaky\x1b[2J\n": "it has --sneaky",
}


@pytest.mark.parametrize("line", HOSTILE)
def test_a_hostile_command_is_refused_in_one_line(
    line: str, board: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(board, ROW, command=line.format(command(board, ROW)))
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError) as caught:
        read_row_spec(f"{board}:{ROW}")
    assert HOSTILE[line].removeprefix("it has") in str(caught.value)
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == before


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
def test_a_place_without_a_row_is_named(place: str, reason: str, board: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_row_without_a_finished_run_is_reported(board: Path) -> None:
    rewrite(board, ROW, acc="", complete="0/2")
    with pytest.raises(UserError, match="none of its runs is finished"):
        read_row_spec(f"{board}:{ROW}")
