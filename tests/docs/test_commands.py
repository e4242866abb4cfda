"""What the pages tell people to type works as written."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import typer
from support.pages import PAGES, ROOT, Command, blocks, commands, text_of
from typer.testing import CliRunner

import okdbench.methods
from okdbench.cli.app import app
from okdbench.core.plugins import name_of
from okdbench.core.syntax import parse_method, split_methods
from okdbench.training import runner
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.step_time import StepTimer

COMMANDS = commands("okdbench")
#: options that say what to compute, without an s at their end; all others say where and how
WHAT = ("method", "dataset", "setting", "task", "seed", "track", "shot", "budget", "teacher", "student", "set")
RUNS = [
    command
    for command in COMMANDS
    if re.match(r"okdbench (run|sweep) .*--datasets? digits\b", command.line) and "--config" not in command.line
]


def label(command: Command) -> str:
    return f"{command.page}: {command.line[:60]}"


def parse(line: str) -> Any:
    """What the command line program understands of an ``okdbench`` line; a mistake in it is an exception."""
    words = shlex.split(line, comments=True)[1:]
    command: Any = typer.main.get_command(app)
    if words[0].startswith("-"):  # an option of the program itself, such as --install-completion
        assert words[0] in {option for parameter in command.params for option in parameter.opts}
        return None
    name = "okdbench"
    while hasattr(command, "commands"):
        name, *words = words
        command = command.commands[name]
    return command.make_context(name, words)


def test_the_pages_show_commands() -> None:
    assert len(COMMANDS) > 40
    assert len(RUNS) > 15
    assert {command.page for command in COMMANDS} >= {"README.md", "CONTRIBUTING.md", "docs/data.md", "docs/results.md"}


@pytest.mark.parametrize("command", COMMANDS, ids=label)
def test_commands_are_understood(command: Command) -> None:
    parse(command.line)


def test_a_wrong_option_is_not_understood() -> None:
    with pytest.raises(Exception, match="No such option"):
        parse("okdbench run --methd kd")


@pytest.mark.parametrize("command", RUNS, ids=label)
def test_runs_on_the_digits_can_be_planned(
    command: Command, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    # how long they take is not asked here
    monkeypatch.setattr(StepTimer, "_once", lambda *_: 0.0)
    (tmp_path / "mine.py").write_text(*blocks("CONTRIBUTING.md", "python"))
    (tmp_path / "net.py").write_text(blocks("docs/methods.md", "python")[-1])
    words = shlex.split(command.line, comments=True)[2:]
    # `run` and `sweep` take the same names, so a dry sweep can plan both
    given = [(flag, value) for flag, value in pairwise(words) if flag.removeprefix("--").removesuffix("s") in WHAT]
    # every seed is planned as the first one is
    options = [word for flag, value in given for word in (flag, "0" if flag == "--seeds" else value)]
    folders = ["--runs", str(tmp_path / "runs"), "--data-root", str(data_root)]
    result = CliRunner().invoke(app, ["sweep", *options, *folders, "--dry-run"])
    assert result.exit_code == 0, result.output
    methods = [method for flag, value in given if "--method" in flag for method in split_methods(value)]
    assert methods
    assert all(name_of(parse_method(method)[0]) in result.output for method in methods)
    assert not (tmp_path / "runs").exists()


#: pages whose blocks have tests of their own
OTHERS = {"CONTRIBUTING.md", "docs/using-a-student.md", "docs/whole-way.md"}
PYTHON = [(page, code) for page in PAGES if page not in OTHERS for code in blocks(page, "python")]


def test_pages_show_python() -> None:
    assert {page for page, _ in PYTHON} >= {"README.md", "docs/methods.md", "docs/results.md"}


@pytest.mark.parametrize(("page", "code"), PYTHON, ids=[page for page, _ in PYTHON])
def test_python_of_the_pages_runs(
    page: str, code: str, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OKDBENCH_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "leaderboards").symlink_to(ROOT / "leaderboards")
    tiny = code.replace('"smoke"', '"smoke", teacher="test_resnet", student="test_resnet"')
    exec(compile(tiny, page, "exec"), {})
    assert ("okdbench.run(" in code) == bool(list((tmp_path / "runs").glob("*/record.json")))


@pytest.mark.parametrize("command", commands("make"), ids=label)
def test_targets_of_make_exist(command: Command) -> None:
    target = command.line.split()[1]
    assert re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE)


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (code,) = blocks("CONTRIBUTING.md", "python")
    (tmp_path / "noisekd.py").write_text(code)
    monkeypatch.setattr(okdbench.methods, "__path__", [*okdbench.methods.__path__, str(tmp_path)])
    return "noisekd"


def test_the_method_of_contributing_runs_as_written(example: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    record = runner.execute(plan(example), tmp_path / "runs", quiet)
    assert record.status == "done", record.traceback
    assert record.cost.traffic["student"].learned == 640
