"""Lines on standard error, which a program can have as well."""

import pytest

from okdbench.core.notices import heard, say, say_once


def test_lines_are_printed_and_heard_where_one_listens(capsys: pytest.CaptureFixture[str]) -> None:
    say("before")
    with heard() as outer, heard() as inner:
        say("within")
    say("after")
    assert outer == inner == ["within"]
    assert capsys.readouterr() == ("", "okdbench: before\nokdbench: within\nokdbench: after\n")


def test_a_line_of_a_kind_is_printed_once_in_a_process(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        say_once("the only time")
    assert capsys.readouterr().err == "okdbench: the only time\n"
