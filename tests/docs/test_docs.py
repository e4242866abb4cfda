"""What README and CONTRIBUTING tell people to type works as written."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

import okdbench.methods
from okdbench.cli.app import app
from okdbench.core import syntax
from okdbench.results.leaderboard import leaderboard
from okdbench.results.rendering import to_csv, to_markdown
from okdbench.results.store import read_records
from okdbench.training import plan as plans
from okdbench.training import runner
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
CLUSTER = (ROOT / "docs" / "cluster.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for name, body in found if name == language]


COMMANDS = [
    line for block in blocks(README + CLUSTER, "") for line in block.splitlines() if line.startswith("okdbench ")
]
RUNS = [
    line
    for line in COMMANDS
    if line.startswith("okdbench run") and "--dataset digits" in line and "my.yaml" not in line
]


def test_the_readme_shows_runs() -> None:
    assert len(RUNS) >= 3


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_of_the_readme_exist_with_their_options(command: str) -> None:
    words = shlex.split(command)[1:]
    options = {word for word in words if word.startswith("--")}
    name = words[:2] if words[0] in ("data", "new", "runs") else words[:1]
    page = CliRunner().invoke(app, [*name, "--help"], terminal_width=200)
    assert page.exit_code == 0
    assert all(option in page.output for option in options)


@pytest.mark.parametrize("command", RUNS)
def test_runs_of_the_readme_can_be_planned(command: str, data_root: Path) -> None:
    words = shlex.split(command)[2:]
    given = dict(zip(words[::2], words[1::2], strict=True))
    assignments = [value for flag, value in zip(words[::2], words[1::2], strict=True) if flag == "--set"]
    names = {"--method", "--dataset", "--setting", "--budget", "--teacher", "--student"}
    options = {flag[2:]: value for flag, value in given.items() if flag in names}
    options["hyperparameters"] = syntax.parse_assignments(assignments)
    assert plans.make_plan(options, data_root=data_root).config.method == given["--method"]


def test_python_of_the_readme_runs(data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OKDBENCH_DATA", str(data_root))
    monkeypatch.chdir(tmp_path)
    (code,) = blocks(README, "python")
    exec(compile(code.replace('"smoke"', '"smoke", teacher="test_resnet", student="test_resnet"'), "README.md", "exec"))
    assert list((tmp_path / "runs").glob("*/record.json"))


def test_the_committed_leaderboards_are_those_of_the_committed_records() -> None:
    archives = sorted((ROOT / "leaderboards" / "records").glob("*.jsonl.gz"))
    assert {path.name.split(".")[0] for path in archives} == {
        path.stem for path in (ROOT / "leaderboards").glob("*.csv")
    }
    for archive in archives:
        ((dataset, rows),) = leaderboard(read_records(archive)).items()
        assert (ROOT / "leaderboards" / f"{dataset}.csv").read_text() == to_csv(rows)


@pytest.mark.parametrize("dataset", ["digits", "office10"])
def test_the_tables_of_the_readme_are_the_committed_leaderboards(dataset: str) -> None:
    rows = leaderboard(read_records(ROOT / "leaderboards" / "records" / f"{dataset}.jsonl.gz"))[dataset]
    for track in {row.track for row in rows}:
        assert to_markdown(dataset, [row for row in rows if (row.setting, row.track) == ("all", track)]) in README


def test_every_switch_of_released_code_has_its_measured_line() -> None:
    spec = importlib.util.spec_from_file_location("released_code", ROOT / "docs" / "released_code.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = (ROOT / "docs" / "released-code.md").read_text()
    assert [method for method, table in module.tables().items() if table not in page] == []


@pytest.fixture
def example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (code,) = blocks(CONTRIBUTING, "python")
    (tmp_path / "noisekd.py").write_text(code)
    monkeypatch.setattr(okdbench.methods, "__path__", [*okdbench.methods.__path__, str(tmp_path)])
    return "noisekd"


def test_the_method_of_contributing_runs_as_written(example: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    record = runner.execute(plan(example), tmp_path / "runs", quiet)
    assert record.status == "done", record.traceback
    assert record.cost.traffic["student"].learned == 640
