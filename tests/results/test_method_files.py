"""The file of a local method in a record from elsewhere: written where the user says, and never executed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.fake_records import put, record
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.results import method_files
from okdbench.results.records import LONGEST_METHOD, Record
from okdbench.results.store import parse_record, write_archive

TEXT = "from pathlib import Path\r\nPath('executed').touch()  # \N{GREEK SMALL LETTER TAU}\n"


def local(**changes: Any) -> Record:
    values = {"key": "3f9a", "origin": "local", "method_digest": "3f" * 32, "method_text": TEXT}
    return record("mine", "A-C", 0, 60, **values | changes).model_copy(
        update={"command": changes.get("command", "okdbench run --method ./lab/mine.py --dataset digits --seed 0")}
    )


def test_the_file_is_written_byte_by_byte_and_not_executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_archive(tmp_path / "all.jsonl.gz", [local()])
    put(tmp_path / "runs", local(), 1)
    monkeypatch.chdir(tmp_path)
    for words in (["--runs", "all.jsonl.gz"], []):
        printed = CliRunner().invoke(app, ["runs", "source", "3f", *words])
        assert printed.stdout.splitlines() == TEXT.splitlines()
        written = CliRunner().invoke(app, ["runs", "source", "3f", *words, "--output", "their files"])
        assert written.stdout.splitlines() == [
            "their files/mine.py",
            "once you have read it: okdbench run --method 'their files/mine.py' --dataset digits --seed 0",
        ]
        assert (tmp_path / "their files" / "mine.py").read_bytes() == TEXT.encode()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["all.jsonl.gz", "runs", "their files"]


def test_it_does_not_control_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "runs", local(method_text="a = '\x1b[2J'\n"), 1)
    monkeypatch.chdir(tmp_path)
    assert "\x1b" not in CliRunner().invoke(app, ["runs", "source", "3f"]).stdout


def test_another_file_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("my own")
    with pytest.raises(UserError, match="another file; choose another --output"):
        method_files.write(local(), tmp_path)
    assert (tmp_path / "mine.py").read_text() == "my own"


@pytest.mark.parametrize("name", ["../mine", "/tmp/mine", "a/b", ".mine", "", "-rf"])
def test_a_hostile_name_leads_nowhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no name of a method's file"):
        method_files.write(local().model_copy(update={"method": name}), tmp_path / "theirs")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "command",
    ["rm -rf ~", "okdbench run --method ./mine.py; touch x", "okdbench run --dataset digits", "okdbench 'run"],
)
def test_a_hostile_command_is_not_printed(command: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="command"):
        method_files.command_for(local(command=command), tmp_path)


def test_the_printed_command_is_quoted(tmp_path: Path) -> None:
    made = local(command="okdbench run --method ./mine.py --dataset '$(touch x)'")
    assert method_files.command_for(made, tmp_path).endswith("--dataset '$(touch x)'")


def test_a_record_without_a_file_says_why() -> None:
    for made, said in (
        (record("kd", "A-C", 0, 60), "'kd', is a part of okdbench"),
        (record("extra", "A-C", 0, 60, origin="okd-extra"), "a part of the package okd-extra"),
        (local(method_text=""), "kept no file"),
    ):
        with pytest.raises(UserError, match=said):
            method_files.text_of(made)


@pytest.mark.parametrize("changes", [{"method_text": "x" * (LONGEST_METHOD + 1)}, {"method_digest": "3f9a)\n"}])
def test_an_endless_file_and_a_false_digest_are_no_record(changes: dict[str, str]) -> None:
    content = local().model_copy(update=changes).model_dump_json().encode()
    with pytest.raises(ValueError, match="method_"):
        parse_record(content)
