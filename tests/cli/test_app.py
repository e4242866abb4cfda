"""The command line as people meet it: help, mistakes and errors in one line, and no torch before a command needs it."""

from __future__ import annotations

import os
import pickle
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.fork_server import Command
from support.pseudo_terminal import ROOT, in_pipe
from typer.testing import CliRunner

from okdbench.cli import export, leaderboard, plot, sweep
from okdbench.cli.app import app
from okdbench.core.settings import TaskKind
from okdbench.training.plan_checks import players

TINY = "--teacher lenet5_bn --student lenet5_half_bn --budget smoke --device cpu"
COMMANDS = (
    "run", "sweep", "ls", "show", "doctor", "leaderboard", "compare", "merge", "errors", "report", "export", "predict",
    "verify", "plot", "check", "runs ls", "runs show", "runs source", "runs prune", "data add", "data download",
    "data check", "data ls", "data rm", "new method", "new dataset", "tune",
)  # fmt: skip


def okdbench(line: str, folder: Path, data_root: Path) -> subprocess.CompletedProcess[str]:
    return Command(shlex.split(line), folder, data_root).wait()


def page(line: str) -> str:
    """A help page without frames, each run of blanks as one."""
    result = CliRunner().invoke(app, line.split(), env={"COLUMNS": "240"})
    assert result.exit_code == 0, result.output
    return " ".join(result.output.replace("│", " ").split())


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_every_command_explains_itself_with_an_example(command: str, option: str) -> None:
    assert f"Example: okdbench {command}" in page(f"{command} {option}")


def test_the_list_of_commands_is_complete() -> None:
    text = page("-h")
    assert all(f" {command.split()[0]} " in text for command in COMMANDS)


def test_help_in_a_pipe_names_the_program(tmp_path: Path) -> None:
    assert "Usage: okdbench run [OPTIONS]" in in_pipe(["run", "-h"], tmp_path), "not python -m okdbench"


def test_choices_in_help_are_those_that_are_accepted() -> None:
    """Help names them without importing what accepts them, which would load torch or matplotlib."""
    from okdbench.results import plots, rendering
    from okdbench.sweep import executors
    from okdbench.training import export as exporting

    assert sweep.ENGINES == executors.ENGINES
    assert tuple(exporting.EXPORT_FORMATS) == export.FORMATS
    assert tuple(rendering.TABLE_FORMATS) == leaderboard.FORMATS
    assert ((*plots.KINDS, *plots.OVER_LABELS, plot.ALL), tuple(plots.FIGURE_FORMATS)) == (plot.KINDS, plot.FORMATS)


@pytest.mark.parametrize(
    ("line", "unwanted"),
    [
        ("--help", {"torch", "numpy", "pandas", "scipy", "matplotlib", "rich.live"}),
        ("run --help", {"torch", "numpy"}),
        ("ls methods", {"torch", "numpy"}),
        ("ls settings --dataset digits", {"torch"}),
        ("leaderboard --runs none", {"torch"}),
        ("run --method kd --dataset digits --seed 2-0", {"torch"}),
        ("run --method kd --dataset digit", {"torch"}),
    ],
)
def test_what_a_command_does_not_need_is_not_loaded(line: str, unwanted: set[str]) -> None:
    code = f"""
import sys
from okdbench.cli.app import main
sys.argv = ["okdbench", *{line.split()!r}]
try:
    main()
except SystemExit:
    pass
found = {unwanted!r} & set(sys.modules)
assert not found, found
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)


MISTAKES = {
    "run --method augk --dataset digits": "did you mean 'augkd'",
    "run --method kd --dataset digit": "did you mean 'digits'",
    "run --method kd": "no dataset is named; give one with --dataset",
    "run --dataset digits": "no method is named; give one with --method",
    "run --method kd --dataset digits --setting MX-O": "no domain has the letter 'X'",
    "run --method kd --dataset digits --budget quik": "did you mean 'quick'",
    "run --method kd --dataset digits --track labeled": "did you mean 'labelled'",
    "run --method kd --dataset digits --precision half": "allowed 'float32', 'bfloat16-targets' or 'bfloat16'",
    "run --method kd --dataset digits --set temprature=2": "did you mean 'temperature'",
    "run --method kd --dataset digits --set temperature=-1": "out of range",
    "run --method kd --dataset digits --set temperature": "key=value",
    "run --method kd --dataset digits --seed -1": "not of the form 0-2",
    "run --method kd --dataset digits --image-size big": "run --help",
    "run --method kd --dataset digits --config bad.yaml": "did you mean 'seed'",
    "run --method kd --dataset digits --setting MP-O --teacher resnet81 --budget smoke": "the nearest: resnet18",
    "run --method kd --dataset digits --teacher-weights none.pt": "does not exist",
    "run --method augkd --dataset digits --track label-free": "does not run in the label-free track",
    "run --method kd,augkd --dataset digits --track label-free": "'augkd' does not run in the label-free track",
    "run --method kd --dataset digits --device cuda:9": "--device cpu",
    "run --method kd --dataset digits --task transfr": "did you mean 'transfer'",
    "run --method kd --dataset digits --task transfer --setting MP-O": "'MP-O' is of task adapt, not transfer",
    "run --method kd --dataset digits --setting M@M": "names a domain twice",
    "run --method kd --dataset digits --setting @O": "is not of the form AB-C (adapt), AB@C (transfer) or AB",
    "run --method kd --dataset digits --setting MP": "'kd' does not play task data-free (MP), only adapt, transfer; "
    f"these do: {', '.join(players(TaskKind.DATA_FREE))}",
    "run --method kd,augkd --dataset digits --task transfer": "'augkd' does not play task transfer (MP@O), only adapt; "
    f"these do: {', '.join(players(TaskKind.TRANSFER))}",
    "run --method scratch --dataset digits": "'scratch' does not play task adapt (MP-O), only transfer, data-free",
    "run --method kd --dataset digits --setting MP@O --track labelled": "task transfer (MP@O) has no labelled track",
    "run --method dafl --dataset digits --task data-free --track semi": "task data-free (MP) has no semi track",
    "run --method kd --dataset digits --track semi": "the semi track needs --shots N, the number of labels per class",
    "run --method kd --dataset digits --track label-free --shots 5": "--shots 5 counts labels, which the label-free "
    "track withholds; leave it out",
    "run --method dafl --dataset digits --setting MP --shots 5": "--shots 5 counts labels",
    "sweep --method augkd --dataset digits --task data-free": "these are: cmi",
    "run --method kd --dataset digits --task transfer,data-free --tracks labelled,semi": "no task that was named",
    "run --method dafl --dataset digits --setting MP --set data_free_share=0.2": "counts only where a fine-",
    "run --method kd --dataset digits --shots ten": "shots='ten'",
    "run --method kd --dataset digits --shots 0": "shots='0': out of range; allowed at least 1",
    "run --method kd --dataset digits --setting MP-O --shots 9999": "give at most --shots 121",
    "run --method kd --dataset digits --test-split official": "no official test split; leave out --test-split",
    "run --method kd --dataset digits --test-split protocol": "allowed 'folds' or 'official'",
    "run --methd kd": "no such option: --methd",
    "rum --method kd": "mean 'run'",
    "ls method": "did you mean 'methods'",
    "ls": "ls --help",
    "ls runs": "okdbench runs ls",
    "ls runs --runs /nonexist": "okdbench runs ls",
    "ls methods --dataset digits": "ls settings",
    "ls methods --format jsn": "did you mean 'json'",
    "runs ls --runs /nonexist": "there is no folder /nonexist",
    "runs show none": "there is no run 'none'",
    "show augk": "did you mean 'augkd'",
    "leaderboard --runs none": "no records",
    "leaderboard --format cvs": "did you mean 'csv'",
    "leaderboard --format json --output x": "leave out --output",
    "report --runs none": "no records",
    "export none": "there is no run 'none'",
    "export none --format onx": "did you mean 'onnx'",
    "predict none image.jpg": "there is no run 'none'",
    "verify leaderboard.csv:2": "cannot be read as a leaderboard",
    "plot bars --runs none": "no records",
    "plot bar": "did you mean 'bars'",
    "plot bars --format pgn": "did you mean 'png'",
    "sweep --methods kd --datasets digits --dry-run --slurm a.sh": "--dry-run writes nothing",
    "sweep --methods kd --datasets digits --tasks data-free": "kd: not for task data-free, label-free",
    "sweep --methods kd --datasets digits --engine rays": "did you mean 'ray'",
}


@pytest.mark.parametrize("line", MISTAKES)
def test_a_mistake_ends_in_one_line_that_names_the_cure(line: str, tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "bad.yaml").write_text("sed: 3\n")
    result = okdbench(line, tmp_path, data_root)
    assert result.returncode == 2, result.stderr
    assert result.stderr.startswith("okdbench: ")
    assert result.stderr.count("\n") == 1
    assert MISTAKES[line] in result.stderr
    assert result.stdout == ""
    assert not list(tmp_path.glob("runs/*/record.json"))


def test_without_a_command_there_is_help(tmp_path: Path, data_root: Path) -> None:
    for line in ("", "runs"):
        result = okdbench(line, tmp_path, data_root)
        assert (result.returncode, result.stderr) == (2, "")
        assert "Commands" in result.stdout


class Bomb:
    """Runs code when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


def test_foreign_weights_are_refused_and_never_executed(tmp_path: Path, data_root: Path) -> None:
    with (tmp_path / "bomb.pt").open("wb") as file:
        pickle.dump({"weight": Bomb(tmp_path / "exploded")}, file)
    torch.save({"fc.weight": torch.zeros(10, 4)}, tmp_path / "other.pt")
    for name, reason in (
        ("bomb.pt", "holds tensors or arrays of a class that is not read"),
        ("other.pt", "is not a weights file of"),
    ):
        result = okdbench(
            f"run --method kd --dataset digits --setting MO-P {TINY} --teacher-weights {name}", tmp_path, data_root
        )
        assert (result.returncode, result.stderr.count("\n")) == (2, 1), result.stderr
        assert reason in result.stderr
    assert not (tmp_path / "exploded").exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, data_root: Path) -> None:
    (tmp_path / "file").touch()
    result = okdbench(
        f"run --method teacher --dataset digits --setting MO-P {TINY} --runs file/runs", tmp_path, data_root
    )
    assert result.returncode == 2, result.stderr
    assert "--runs" in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_full_disk_loses_nothing(tmp_path: Path, data_root: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(small)], check=False, capture_output=True
    )
    if mount.returncode:
        pytest.skip("mounting a small disk needs privileges that this process does not have")
    try:
        line = f"run --method kd --dataset digits --setting MO-P {TINY} --runs small/runs"
        (small / "ballast").write_bytes(b"0" * 2_500_000)
        result = okdbench(line, tmp_path, data_root)
        assert result.returncode == 2, result.stderr
        assert "the disk is full; free some space" in result.stderr.replace("\n", " ")
        assert not list(small.rglob("record.json"))
        assert not list(small.rglob("*.tmp"))
        (small / "ballast").unlink()
        subprocess.run(["mount", "-o", "remount,size=64m", str(small)], check=True)
        assert okdbench(line, tmp_path, data_root).returncode == 0
    finally:
        subprocess.run(["umount", str(small)], check=True)
