"""A method of one's own: a path as the way in, the file to start from, and the commands that help."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dataset_trees import grow, official
from support.fake_records import rows
from support.fork_server import Command
from support.sweep_process import Sweep

from okdbench import registry
from okdbench.cli import new as newfile
from okdbench.core import plugin_files
from okdbench.core.errors import UserError
from okdbench.core.syntax import parse_method
from okdbench.results.grouping import method_name
from okdbench.results.store import read_records
from okdbench.sweep.grid import Grid
from okdbench.training.plan import Plan

ROOT = Path(__file__).parents[2]
TINY = "--budget smoke --teacher lenet5_bn --student lenet5_half_bn --device cpu"
CELL = f"--dataset digits --setting MO-P {TINY}"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that `okdbench new method mine` writes, in the folder in which the test works."""
    monkeypatch.chdir(tmp_path)
    newfile.write_file("method", "mine", Path())
    return tmp_path / "mine.py"


def test_check_prints_a_line_for_each_rule_and_ends_with_1(mine: Path, data_root: Path) -> None:
    text = mine.read_text().replace('"kl": loss}', '"kl": loss / 0}')
    text = text.replace("(TaskKind.ADAPT, TaskKind.TRANSFER)", "(TaskKind.ADAPT,)")
    mine.write_text(text.replace("(Track.LABELLED, Track.LABEL_FREE)", "(Track.LABELLED,)"))
    result = Command(["check", "./mine.py"], mine.parent, data_root).wait()
    assert result.returncode == 1, result.stderr
    assert re.findall(r"^(ok|bad|--) ", result.stdout, re.MULTILINE).count("bad") == 1
    assert (
        "bad its loss terms are finite\n    found: stage 'distil', step 0: the loss term 'kl' is inf" in result.stdout
    )
    assert "mine does not keep 1 of 12 rules" in result.stdout
    assert result.stdout.count("not checked") == 3


# a path


def test_a_path_may_carry_hyperparameters() -> None:
    assert parse_method("./lab/mine.py[lr=0.1]") == ("./lab/mine.py", {"lr": 0.1})
    assert parse_method("mine.py") == ("mine.py", {})


def test_a_file_is_loaded_once_and_again_when_it_was_edited(mine: Path) -> None:
    first = registry.load_method("./mine.py")
    assert registry.load_method(str(mine)) is first
    digest = registry.source_digest(first)
    mine.write_text(mine.read_text().replace("lr=1e-3", "lr=2e-3"))
    second = registry.load_method("mine.py")
    assert second is not first
    assert (registry.source_digest(first), registry.source_digest(second) != digest) == (digest, True)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("class Mine(:\n", "./mine.py:1: SyntaxError: invalid syntax"),
        ("import sys\nsys.exit()\n", "./mine.py:2: SystemExit"),
        ("\nimport no_such_library\n", "./mine.py:2: ModuleNotFoundError: No module named 'no_such_library'"),
        ("from okdbench.api import Methd\n", "./mine.py:1: ImportError: cannot import name 'Methd'"),
        ("def f():\n    raise ValueError('a\\nb')\nf()\n", "./mine.py:2: ValueError: a"),
        ("import helper\n", "./mine.py:1: it imports helper from the file's folder, which is not supported"),
        ("def f():\n    from . import x\n", "./mine.py:2: it imports .x from the file's folder"),
        ("x = 1\n", "mine.py: expected exactly one subclass of Method, found none"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_in_one_line(mine: Path, text: str, complaint: str) -> None:
    mine.write_text(text)
    mine.with_name("helper.py").touch()
    with pytest.raises(UserError) as caught:
        registry.load_method("./mine.py")
    assert complaint in str(caught.value)
    assert "\n" not in str(caught.value)


def test_names_are_not_shared(mine: Path) -> None:
    with pytest.raises(UserError, match="'kd' is bundled with okdbench; give the file another name"):
        registry.load_method("./kd.py")
    with pytest.raises(UserError, match="may have letters, digits, blanks"):
        registry.load_method("./mine[2].py")
    with pytest.raises(UserError, match="no such file"):
        registry.load_method("./yours.py")
    (mine.parent / "b").mkdir()
    (mine.parent / "b" / "mine.py").write_text(mine.read_text())
    with pytest.raises(UserError, match="two methods of one name; give one of the files another name"):
        Grid(["./mine.py", "mine.py[noise=0.2]", "b/mine.py"], ["digits"])


def test_where_the_file_lies_does_not_matter_to_the_key(mine: Path, plan: Callable[..., Plan]) -> None:
    (mine.parent / "b").mkdir()
    (mine.parent / "b" / "mine.py").write_text(mine.read_text())
    here, there, other = plan("./mine.py"), plan("b/mine.py"), plan("./mine.py", hyperparameters={"noise": 0.2})
    assert here.key == there.key != other.key
    assert here.command.startswith("okdbench run --method ./mine.py ")
    assert other.title == "mine[noise=0.2] digits MO-P seed 0"


def test_a_local_method_has_rows_of_its_own_that_rank(mine: Path, data_root: Path) -> None:
    (mine.parent / "c.yaml").write_text("method: ./mine.py[noise=0.2]\ndataset: digits\n")
    runs = [f"run --method ./mine.py --method kd {CELL}", f"run --config c.yaml {CELL}"]
    for line in runs:
        result = Command(shlex.split(line), mine.parent, data_root).wait()
        assert result.returncode == 0, result.stderr
    records = list(read_records(mine.parent / "runs"))
    assert {(record.method, record.origin) for record in records} == {("mine", "local"), ("kd", "")}
    ranked = [record.model_copy(update={"budget": "quick", "default_settings": ("MO-P",)}) for record in records]
    ranks = {method: row.rank for (method, setting), row in rows(*ranked).items() if setting == "all"}
    name = method_name("mine", "local", plugin_files.read(str(mine)).digest)
    assert ranks.keys() == {"kd", name, f"{name}[noise=0.2]"}
    assert ranks.pop("kd") is None, "a reference row"
    assert sorted(ranks.values()) in ([1, 2], [1, 1])
    command = next(record.command for record in records if record.variant)
    before = sorted((mine.parent / "runs").glob("*/record.json"))
    assert Command(shlex.split(command)[1:], mine.parent, data_root).wait().returncode == 0
    assert sorted((mine.parent / "runs").glob("*/record.json")) == before, "the same keys, so nothing was run"
    page = Command(["show", "./mine.py"], mine.parent, data_root).wait().stdout
    assert "Mine: distillation on noisy images" in page


def test_the_children_of_a_sweep_find_the_file(mine: Path, data_root: Path) -> None:
    code, _, stderr = Sweep("--methods ./mine.py --jobs 1", mine.parent, data_root).end()
    assert code == 0, stderr
    assert "[1/1] mine digits MO-P seed 0: " in stderr
    assert [record.origin for record in read_records(mine.parent / "runs")] == ["local"]


@pytest.mark.slow
def test_so_do_children_that_are_processes_of_their_own(mine: Path, data_root: Path) -> None:
    line = f"sweep --methods ./mine.py --datasets digits --settings MO-P {TINY} --jobs 1"
    result = Command(shlex.split(line), mine.parent, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert [record.origin for record in read_records(mine.parent / "runs")] == ["local"]


# data sets


def test_a_data_set_in_a_file_of_ones_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, plan: Callable[..., Plan]
) -> None:
    monkeypatch.chdir(tmp_path)
    newfile.write_file("dataset", "shop", Path())
    file = tmp_path / "shop.py"
    with pytest.raises(UserError, match=r"there is no folder .*shop/studio/cup; put the images of cup there"):
        registry.load_dataset("./shop.py").find("studio", tmp_path)
    grow(tmp_path / "shop", official({name: {"cup": 12, "lamp": 10} for name in ("studio", "phone")}))
    made = plan("kd", dataset="./shop.py", setting=None)
    assert (made.dataset.name, made.setting.name, made.title) == ("shop", "S-P", "kd shop S-P seed 0")
    assert "--dataset ./shop.py" in made.command
    file.write_text(file.read_text().replace('title = "Shop"', 'title = "Shop"\n    augmentation = ()'))
    other = plan("kd", dataset="./shop.py", setting=None)
    assert made.key != other.key
    assert made.splits.teacher_train.digest != other.splits.teacher_train.digest, "the teacher is another one, too"


# the file to start from


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("my-method", "'my-method' is no name for a method; it takes letters, digits and _, such as noisy_kd"),
        ("2fast", "is no name"),
        ("class", "is no name"),
        ("_mine", "is no name"),
        ("kd", "a method called 'kd' exists; choose another name"),
        ("stage", "the class would be called Stage, which means something else"),
        ("none", "the class would be called None, which means something else"),
    ],
)
def test_a_name_that_will_not_do_is_refused(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(UserError, match=complaint):
        newfile.write_file("method", name, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    newfile.write_file("method", "noisy_kd", tmp_path / "new")
    written = (tmp_path / "new" / "noisy_kd.py").read_text()
    assert "class NoisyKd(Method):" in written
    assert "Mine" not in written
    with pytest.raises(UserError, match=r"noisy_kd\.py exists; choose another name or another --output"):
        newfile.write_file("method", "noisy_kd", tmp_path / "new")


# the worked example


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("extra", ["", f" --setting MO-P {TINY}"])
def test_the_worked_example_of_contributing_does_what_it_says(tmp_path: Path, data_root: Path, extra: str) -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    (block,) = (b for b in re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL) if "new method mine" in b)
    commands = [line for line in block.splitlines() if line]
    assert len(commands) == 4
    for command in commands:
        words = shlex.split(command + extra * command.startswith("okdbench run"))
        result = Command(words[1:], tmp_path, data_root).wait(600)
        assert result.returncode == 0, result.stderr + result.stdout
    assert "mine (local, " in result.stdout
    assert f"```python\n{(tmp_path / 'mine.py').read_text()}```" in text


@pytest.mark.parametrize("command", ["check", "new method", "new dataset"])
def test_commands_explain_themselves(command: str, tmp_path: Path, data_root: Path) -> None:
    result = Command([*command.split(), "--help"], tmp_path, data_root).wait()
    assert f"Example: okdbench {command}" in result.stdout
