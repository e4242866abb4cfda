"""ls, show and doctor at 60, 80 and 120 columns and in a pipe: no name is cut, no line is blank without need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from support.fork_server import Command
from support.pseudo_terminal import in_pipe, on_terminal

from okdbench import registry
from okdbench.core import plugins

#: the narrowest is the hardest
WIDTHS = (60, pytest.param(80, marks=pytest.mark.slow), pytest.param(120, marks=pytest.mark.slow))


def words_of(text: str) -> set[str]:
    return set(text.replace(",", " ").replace("(", " ").replace(")", " ").split())


def is_tidy(text: str) -> bool:
    """Whether no two lines in a row are blank, and none ends in blanks."""
    return "\n\n\n" not in text and not re.search(r"[ \t]\n", text) and not text.startswith("\n")


def longest(text: str) -> int:
    return max(map(len, text.splitlines()))


@pytest.mark.parametrize("width", WIDTHS)
def test_lists_fit_and_keep_their_names(width: int, tmp_path: Path) -> None:
    for line, names in (
        ("ls methods", plugins.method_names()),
        ("ls datasets", plugins.dataset_names()),
        ("ls settings", plugins.dataset_names()),
        ("data ls", ["art_painting", "Real_World"]),
    ):
        text = on_terminal(line.split(), width, tmp_path, OKDBENCH_DATA=str(tmp_path))
        assert is_tidy(text), text
        assert longest(text) <= width, text
        assert set(names) <= words_of(text), text
        if line == "ls methods":
            assert f"left out at {width} columns: " in text
            assert "title" in text.splitlines()[-1]


def test_a_list_has_a_line_for_each_name_which_comes_first(tmp_path: Path) -> None:
    lines = in_pipe(["ls", "methods"], tmp_path).splitlines()
    assert [line.split()[0] for line in lines[2:]] == plugins.method_names()
    augkd = next(line for line in lines if line.startswith("augkd "))
    assert "ICLR 2024" in augkd
    assert "Anchor-Based Mixup Generation" in augkd


def test_what_a_list_says_of_a_method_is_what_its_card_says(tmp_path: Path) -> None:
    """The list reads the source without importing it."""
    rows = {row["name"]: row for row in json.loads(in_pipe(["ls", "methods", "--format", "json"], tmp_path))}
    for name in plugins.method_names():
        card = registry.load_method(name).card
        found = {key: rows[name][key] for key in ("title", "venue", "year", "tasks", "tracks")}
        lists = {"tasks": list(card.tasks), "tracks": list(card.tracks)}
        assert found == {"title": card.title, "venue": card.venue, "year": card.year, **lists}


def test_settings_are_listed_by_task(tmp_path: Path) -> None:
    rows = json.loads(in_pipe(["ls", "settings", "--dataset", "digits", "--format", "json"], tmp_path))
    assert [(row["task"], row["setting"]) for row in rows] == [
        ("adapt", "MP-O"), ("adapt", "MO-P"), ("adapt", "OP-M"),
        ("transfer", "MP@O"), ("transfer", "MO@P"), ("transfer", "OP@M"),
        ("data-free", "MP"), ("data-free", "MO"), ("data-free", "OP"),
    ]  # fmt: skip
    adapt, transfer, free = ({key: row[key] for key in ("teacher", "images", "test")} for row in rows[::3])
    assert adapt == {"teacher": ["mnist", "print"], "images": "optical", "test": ["optical"]}
    assert transfer == {"teacher": ["mnist", "print"], "images": "optical", "test": ["mnist", "print"]}
    assert free == {"teacher": ["mnist", "print"], "images": None, "test": ["mnist", "print"]}


@pytest.mark.parametrize("width", [WIDTHS[0], WIDTHS[-1]])
def test_show_keeps_every_name_of_a_method_at_any_width(width: int, tmp_path: Path) -> None:
    text = on_terminal(["show", "augkd"], width, tmp_path)
    assert is_tidy(text), text
    hyperparameters = registry.load_method("augkd").Hyperparameters.model_fields
    assert set(hyperparameters) <= words_of(text), text
    # long lines of text are broken by the terminal itself; tables fit
    table = text[text.index("Hyper-parameters\n") : text.index("budget smoke")]
    assert longest(table) <= width, table


def test_show_cuts_nothing_in_a_pipe(tmp_path: Path) -> None:
    method = registry.load_method("augkd")
    text = in_pipe(["show", "augkd"], tmp_path)
    assert is_tidy(text)
    for name, field in method.Hyperparameters.model_fields.items():
        line = next(line for line in text.splitlines() if line.startswith(f"{name} "))
        assert field.description in line, "one line for each"
    for deviation in method.deviations():
        assert any(deviation.theirs in line and deviation.ours in line for line in text.splitlines())
    assert all(word in text for word in ("ICLR", "at least 0", "reads:", "released-code.md"))


def test_show_as_json_has_all_of_a_method_and_of_a_data_set(tmp_path: Path, data_root: Path) -> None:
    method = json.loads(Command(["show", "augkd", "--format", "json"], tmp_path, data_root).wait().stdout)
    fields = registry.load_method("augkd").Hyperparameters.model_fields
    assert [each["name"] for each in method["hyperparameters"]] == list(fields)
    assert {each["name"]: each["default"] for each in method["hyperparameters"]}["legacy_mask"] is False
    assert (method["kind"], method["year"]) == ("method", 2024)
    assert (method["tasks"], method["tracks"]) == (["adapt"], ["labelled"])
    dataset = json.loads(Command(["show", "digits", "--format", "json"], tmp_path, data_root).wait().stdout)
    assert dataset["kind"] == "dataset"
    assert dataset["settings"] == {
        "adapt": ["MP-O", "MO-P", "OP-M"],
        "transfer": ["MP@O", "MO@P", "OP@M"],
        "data-free": ["MP", "MO", "OP"],
    }


@pytest.mark.parametrize("width", WIDTHS)
def test_doctor_cuts_no_folder(width: int, tmp_path: Path) -> None:
    runs, data = tmp_path / "a_folder_of_runs", tmp_path / "a_folder_of_data"
    line = ["doctor", "--runs", str(runs), "--data-root", str(data)]
    text = on_terminal(line, width, tmp_path)
    assert is_tidy(text), text
    assert {str(runs), str(data)} <= words_of(text.replace("\n", "")) | words_of(text), text
    assert text.count("ok") >= 5


def test_doctor_reports_what_is_wrong_and_ends_with_1(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "file").touch()
    for form in ("text", "json"):
        result = Command(["doctor", "--runs", "file/runs", "--format", form], tmp_path, data_root).wait()
        assert (result.returncode, result.stderr) == (1, "")
        assert "choose another folder with --runs" in result.stdout
    content = json.loads(result.stdout)
    assert {"torch", "device", "threads"} <= set(content["machine"])
    results = {check["check"]: check["result"] for check in content["checks"]}
    assert results["file/runs can be written"] == "bad"
    assert results["a convolution and its gradient"] == "ok"
