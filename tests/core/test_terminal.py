"""Tables by their properties: no name is cut at any width, what is left out is named, a pipe gets all of it."""

from __future__ import annotations

import io
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from support.error_text import refusal

from okdbench.core.terminal import TableColumn, fitting, print_rows, print_table, to_json

COLUMNS = (
    TableColumn("name"),
    TableColumn("acc", "acc %", "right", drop=1, text=lambda acc: f"{acc:.2f}"),
    TableColumn("title", drop=2),
    TableColumn("meaning", folds=True),
)
ROWS = [
    {
        "name": "legacy_unnormalised_real",
        "acc": 71.5,
        "title": "A Title That Takes Its Room",
        "meaning": "a few words " * 9,
    },
    {"name": "kd", "acc": None, "title": None, "meaning": "short", "hidden": [1]},
]


def printed(width: int, terminal: bool = True, rows: list[dict[str, object]] | None = None, title: str = "") -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, force_terminal=terminal, color_system=None, highlight=False)
    print_table(COLUMNS, ROWS if rows is None else rows, title, console)
    return file.getvalue()


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_what_fits_is_shown_and_what_does_not_is_named(width: int) -> None:
    text = printed(width, title="Table")
    lines = text.splitlines()
    assert lines[0] == "Table"
    assert "legacy_unnormalised_real" in text
    assert max(map(len, lines)) <= max(width, 46), "the name and the longest word take 40 in any case"
    assert "" not in lines
    absent = [column.heading for column in COLUMNS if column.heading not in lines[1]]
    assert text.endswith(f"left out at {width} columns: {', '.join(absent)}\n") or not absent
    assert text.count("words") == 9, "long text goes on in the next line"


def test_the_least_important_columns_go_first() -> None:
    left = {width: [column.key for column in fitting(COLUMNS, ROWS, width)] for width in (200, 60, 40)}
    assert left == {200: ["name", "acc", "title", "meaning"], 60: ["name", "acc", "meaning"], 40: ["name", "meaning"]}


def test_a_pipe_gets_every_column_and_each_row_in_one_line() -> None:
    text = printed(20, terminal=False)
    heading, _, first, second = text.splitlines()
    assert heading.split() == ["name", "acc", "%", "title", "meaning"]
    assert first.endswith(("a few words " * 9).rstrip())
    assert second.split() == ["kd", "short"]


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=30), min_size=1, max_size=4), st.integers(20, 90))
def test_no_text_breaks_a_table_and_no_letter_reaches_the_terminal_as_a_command(names: list[str], width: int) -> None:
    text = printed(width, rows=[{"name": name, "meaning": "x"} for name in names])
    assert all(letter.isprintable() or letter == "\n" for letter in text)
    assert all(line.strip() for line in text.splitlines())


def test_numbers_stand_on_the_right() -> None:
    rows = [{"name": name, "acc": acc, "meaning": "m"} for name, acc in (("a", 5.0), ("b", 100.0))]
    one, other = printed(80, rows=rows).splitlines()[2:]
    assert one.index("5.00") + 4 == other.index("100.00") + 6


def test_json_is_complete_and_has_no_word_but_those_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows(COLUMNS, [*ROWS, {"name": "x", "acc": math.nan}], "json")
    rows = json.loads(capsys.readouterr().out)
    assert rows[1] == ROWS[1]
    assert rows[2] == {"name": "x", "acc": None}
    assert json.loads(to_json({"a": (1, float("inf")), 2: {"b": "ü"}})) == {"a": [1, None], "2": {"b": "ü"}}


def test_another_format_is_an_error_that_names_the_right_ones() -> None:
    assert refusal(print_rows, COLUMNS, ROWS, "jsn") == "unknown format 'jsn'; did you mean 'json'?"


def test_a_table_without_rows_has_its_headings_alone(capsys: pytest.CaptureFixture[str]) -> None:
    print_rows([TableColumn("method"), TableColumn("setting")], [])
    assert capsys.readouterr().out.split()[:2] == ["method", "setting"]
