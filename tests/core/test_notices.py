"""Lines on standard error, which a program can have as well."""

from pathlib import Path

import pytest

from okdbench.core.notices import heard, say, say_once


def test_lines_are_printed_and_heard_where_one_listens(capsys: pytest.CaptureFixture[str]) -> None:
    say("before")
    with heard() as outer, heard() as inner:
        say("within")
    say("after")
    assert outer == inner == ["within"]
    assert capsys.readouterr() == ("", "okdbench: before\nokdbench: within\nokdbench: after\n")


def test_a_line_of_a_kind_is_printed_once_in_a_process_and_heard_each_time(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    for _ in range(2):
        with heard() as lines:
            say_once(f"of {tmp_path}")
        assert lines == [f"of {tmp_path}"]
    assert capsys.readouterr().err == f"okdbench: of {tmp_path}\n"
