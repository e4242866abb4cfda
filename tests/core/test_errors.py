"""Error messages: one line, whatever a library says, and names that help where there are too many to list."""

from __future__ import annotations

import pytest
import timm

from okdbench.core.errors import LONGEST, MOST_LISTED, NEAREST, one_line, unknown


@pytest.mark.parametrize(
    ("error", "line", "with_kind"),
    [
        (ValueError("too small\nbecause"), "too small", "ValueError: too small"),
        (ValueError("\n  too small  \n"), "too small", "ValueError: too small"),
        (ValueError(), "ValueError", "ValueError"),
        (ValueError("\n"), "ValueError", "ValueError"),
        (KeyError("name"), "'name'", "KeyError: 'name'"),
        (SyntaxError("invalid syntax", ("mine.py", 3, 1, "x")), "invalid syntax", "SyntaxError: invalid syntax"),
        (SystemExit(), "SystemExit", "SystemExit"),
    ],
)
def test_an_error_is_quoted_by_its_first_line(error: BaseException, line: str, with_kind: str) -> None:
    assert one_line(error) == line
    assert one_line(error, kind=True) == with_kind


def test_a_long_message_is_cut() -> None:
    assert one_line(ValueError("x" * 999)) == "x" * LONGEST
    assert len(one_line(ValueError("x" * 999), kind=True)) == LONGEST


def test_of_many_names_the_nearest_are_listed() -> None:
    message = str(unknown("network", "resnet19", timm.list_models()))
    start, _, listed = message.partition("; the nearest: ")
    assert start == "unknown network 'resnet19'"
    names = listed.split(", ")
    assert names[0] == "resnet18"
    assert len(names) == len(set(names)) == NEAREST
    assert set(names) <= set(timm.list_models())


def test_longer_forms_of_a_name_are_nearest_in_any_case() -> None:
    listed = str(unknown("network", "ViT_Base", timm.list_models())).partition("; the nearest: ")[2]
    assert all(name.startswith("vit_base") for name in listed.split(", "))


def test_few_names_are_listed_or_one_is_suggested() -> None:
    names = [f"name{number}" for number in range(MOST_LISTED)]
    assert str(unknown("thing", "", names)) == f"unknown thing ''; known: {', '.join(sorted(names))}"
    assert "the nearest: " in str(unknown("thing", "", [*names, "one more"]))
    assert str(unknown("method", "AUGK", ["augkd", "kd"])) == "unknown method 'AUGK'; did you mean 'augkd'?"
    assert str(unknown("method", "kd", [])) == "unknown method 'kd'; known: none"
