"""The options of run and sweep: fields of a run's configuration under the same names, repeatable and with commas."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
import torch
from support.dataset_trees import grow, official
from support.fork_server import Command
from test_app import page

from okdbench.cli import app as cli
from okdbench.cli import completion, new
from okdbench.cli.run import run
from okdbench.cli.run_options import GRID_FIELDS
from okdbench.cli.sweep import sweep
from okdbench.core.command import flag
from okdbench.core.config import RunConfig, choices_of
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.frames import comparison_groups
from okdbench.results.store import read_records

TINY = "--teacher lenet5_bn --student lenet5_half_bn --budget smoke --device cpu"


@pytest.mark.parametrize("command", ["run", "sweep"])
@pytest.mark.parametrize("name", RunConfig.model_fields)
def test_help_shows_each_field_with_description_default_and_choices(command: str, name: str) -> None:
    text, field = page(f"{command} --help"), RunConfig.model_fields[name]
    assert ("--set" if name == "hyperparameters" else flag(name)) in text
    assert (field.description or "?") in text
    if choices := choices_of(field):
        assert f"[{'|'.join(choices)}]" in text
    if (
        isinstance(field.default, (str, int))
        and field.default != ""
        and name not in ("pretrained", "setting", "image_size")
    ):
        assert f"[default: {field.default}]" in text


def test_both_commands_have_all_options_of_a_run() -> None:
    for command in (run, sweep):
        assert set(RunConfig.model_fields) <= set(inspect.signature(command).parameters)
    for command in ("run -h", "sweep -h"):
        assert all(f"{flag(name)},{flag(name)}s" in page(command) for name in GRID_FIELDS)


def test_the_options_of_sweep_are_in_panels() -> None:
    text = page("sweep --help")
    panels = ("What to run", "Networks", "Training", "Where it runs", "Folders and limits", "Instead of running")
    places = [text.index(f"─ {panel}") for panel in panels]
    assert places == sorted(places)


def test_choices_and_names_are_completed_where_there_are_any() -> None:
    for name, field in RunConfig.model_fields.items():
        complete = completion.of_field(name, choices_of(field))
        assert (complete is not None) == bool(choices_of(field) or name in ("method", "dataset", "setting"))


#: one grid, written in several ways
SPELLINGS = (
    "--method teacher,finetune --dataset digits --setting MO-P --seed 0-1",
    "--methods teacher --methods finetune --datasets digits --settings mo-p --seeds 0,1",
    "--method teacher --methods finetune --dataset digits --setting MO-P,MO-P --seed 0 --seeds 1",
)

#: commands with numbers of spellings; the others are slow
USUAL = {("run", 1), ("sweep", 2)}


@pytest.mark.parametrize(
    ("command", "spelling"),
    [
        pytest.param(command, spelling, marks=() if (command, place) in USUAL else pytest.mark.slow)
        for command in ("run", "sweep")
        for place, spelling in enumerate(SPELLINGS)
    ],
)
def test_one_grid_can_be_written_in_several_ways(command: str, spelling: str, made: Path, data_root: Path) -> None:
    """The keys are the same, so nothing is run again."""
    before = {file: file.stat().st_mtime_ns for file in made.rglob("record.json")}
    result = Command([command, *spelling.split(), *TINY.split()], made, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert {file: file.stat().st_mtime_ns for file in made.rglob("record.json")} == before


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    folder = tmp_path_factory.mktemp("made")
    result = Command(["run", *SPELLINGS[0].split(), *TINY.split()], folder, data_root).wait()
    assert result.returncode == 0, result.stderr
    return folder


def test_runs_are_done_setting_by_setting_and_seed_by_seed(made: Path) -> None:
    records = {made / "runs" / record.key / "record.json": record for record in read_records(made / "runs")}
    files = sorted(records, key=lambda file: file.stat().st_mtime_ns)
    assert [(records[file].method, records[file].seed) for file in files] == [
        ("teacher", 0), ("finetune", 0), ("teacher", 1), ("finetune", 1),
    ]  # fmt: skip


def test_several_tracks_leave_a_method_out_of_those_that_it_lacks(tmp_path: Path, data_root: Path) -> None:
    line = f"run --method finetune,teacher --dataset digits --setting MO-P --tracks labelled,label-free {TINY}"
    result = Command(line.split(), tmp_path, data_root).wait()
    assert result.returncode == 0, result.stderr
    assert sorted((record.method, record.track) for record in read_records(tmp_path / "runs")) == [
        ("finetune", "labelled"), ("teacher", "label-free"), ("teacher", "labelled"),
    ]  # fmt: skip


def test_a_task_runs_in_the_default_settings_of_the_data_set(tmp_path: Path, data_root: Path) -> None:
    line = f"run --method teacher --dataset digits --task data-free {TINY}"
    result = Command(line.split(), tmp_path, data_root).wait()
    assert result.returncode == 0, result.stderr
    records = list(read_records(tmp_path / "runs"))
    assert {(record.task, record.track, record.setting) for record in records} == {
        ("data-free", "label-free", setting) for setting in ("MP", "MO", "OP")
    }
    assert all(record.default_settings == ("MP", "MO", "OP") for record in records), "so the row over all is complete"


def test_labels_are_counted_per_class_and_have_a_table_of_their_own(tmp_path: Path, data_root: Path) -> None:
    line = f"run --method finetune --dataset digits --setting MO-P {TINY}"
    for labels in ("--shots 3", "--shots 3 --track semi"):
        result = Command([*line.split(), *labels.split()], tmp_path, data_root).wait()
        assert result.returncode == 0, result.stderr
    found = {(record.track, record.shots) for record in read_records(tmp_path / "runs")}
    assert found == {("labelled", 3), ("semi", 3)}
    table = Command(["leaderboard"], tmp_path, data_root).wait().stdout
    for track in ("labelled", "semi"):
        assert f"digits, {track}, 3 shots, smoke, lenet5_bn -> lenet5_half_bn\n" in table


def test_a_failed_run_ends_with_exit_code_1(tmp_path: Path, data_root: Path) -> None:
    source = (Path(__file__).parents[2] / "methods" / "finetune.py").read_text()
    (tmp_path / "broken.py").write_text(source.replace("self.tuning = ", "self.tuning = 1 / 0 or "))
    line = f"run --method ./broken.py,teacher --dataset digits --setting MO-P {TINY}"
    result = Command(line.split(), tmp_path, data_root).wait()
    assert result.returncode == 1, result.stderr
    assert "broken digits MO-P seed 0: failed: ZeroDivisionError" in result.stderr
    statuses = {record.method: record.status for record in read_records(tmp_path / "runs")}
    assert statuses == {"broken": "failed", "teacher": "done"}, "the others are done"


def test_all_is_checked_before_the_first_one_trains(tmp_path: Path, data_root: Path) -> None:
    line = f"run --method teacher,kd[temperature=-1] --dataset digits --setting MO-P {TINY}"
    result = Command(line.split(), tmp_path, data_root).wait()
    assert (result.returncode, result.stderr.count("\n")) == (2, 1)
    assert not (tmp_path / "runs").exists()


def test_the_home_is_expanded_where_a_shell_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    typed = ["run", "~/a b.yaml", "--runs=~/runs", "--set", "a=~b", "--tuned=x ~/y"]
    monkeypatch.setattr(sys, "argv", ["okdbench", *typed])
    expanded = {"~/a b.yaml": "/home/me/a b.yaml", "--runs=~/runs": "--runs=/home/me/runs"}
    assert cli._words() == [expanded.get(word, word) for word in typed]


def test_files_with_commas_and_blanks_in_their_names(tmp_path: Path, data_root: Path) -> None:
    folder = tmp_path / "my photos, new"
    grow(folder / "images", official({"phone": dict.fromkeys(("cup", "pen"), 10)}))
    (folder / "shop.yaml").write_text("domains: {phone: images/phone}")
    (tmp_path / "a,b.py").write_text((Path(new.__file__).parent / "templates" / "method.py").read_text())
    net = build_classifier("test_resnet", 2, 32, pretrained=False)
    torch.save(net.state_dict(), folder / "best, really.pt")
    (folder / "run.yaml").write_text("{dataset: shop.yaml, teacher_weights: 'best, really.pt', student: test_resnet}")
    files = ["--dataset", "./my photos, new/shop.yaml", "--teacher-weights", "my photos, new/best, really.pt"]
    common = ["--teacher", "test_resnet", "--budget", "smoke", "--device", "cpu", "--runs", "runs"]
    for words in (
        ["--method", "./a,b.py,kd", *files, "--student", "test_resnet"],
        ["--method", "./a,b.py", "--config", "my photos, new/run.yaml"],
    ):
        result = Command(["run", *words, *common], tmp_path, data_root).wait()
        assert result.returncode == 0, result.stderr
    records = list(read_records(tmp_path / "runs"))
    assert sorted((made.method, made.origin, made.dataset) for made in records) == [
        ("a,b", "local", "shop"),
        ("kd", "", "shop"),
    ]
    assert {group.teacher for group in comparison_groups(records)} == {"test_resnet[teacher_weights=best, really.pt]"}
