"""Files from elsewhere are read and never executed, and their names lead nowhere outside of their folder."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save as to_safetensors
from support.fake_records import put, record
from support.pickle_bomb import Bomb
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.data.dataset import IMAGENET_MEAN
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.results.records import Record, TeacherScore
from okdbench.results.samples import read_samples
from okdbench.training import checkpoint
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student_lookup import load
from okdbench.training.teacher import teacher_file


@pytest.fixture
def bomb(tmp_path: Path) -> Callable[[Path], None]:
    """Plants files that would run code when they are unpickled."""

    def plant(file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix == ".npz":
            np.savez(file, generated=np.array([Bomb(tmp_path / "exploded")], dtype=object))
        elif file.suffix == ".pt":
            torch.save({"position": [0, 0], "random": Bomb(tmp_path / "exploded")}, file)
        else:
            file.write_bytes(pickle.dumps(Bomb(tmp_path / "exploded")))

    return plant


def test_the_bomb_is_one(tmp_path: Path, bomb: Callable[[Path], None]) -> None:
    bomb(tmp_path / "checkpoint.pt")
    torch.load(tmp_path / "checkpoint.pt", weights_only=False)
    assert (tmp_path / "exploded").exists()


def test_a_checkpoint_from_elsewhere_is_not_executed_and_the_run_starts_over(
    tmp_path: Path, bomb: Callable[[Path], None], plan: Callable[..., Plan]
) -> None:
    made = plan("finetune")
    clean = execute(made, tmp_path / "clean", quiet)
    shutil.copytree(tmp_path / "clean" / "teachers", tmp_path / "runs" / "teachers")
    bomb(tmp_path / "runs" / made.key / checkpoint.CHECKPOINT)
    with pytest.warns(UserWarning, match="the run starts over"):
        found = execute(made, tmp_path / "runs", quiet)
    assert found.comparable() == clean.comparable()
    assert not (tmp_path / "exploded").exists()


def test_a_teacher_and_images_from_elsewhere_are_not_executed(
    tmp_path: Path, bomb: Callable[[Path], None], plan: Callable[..., Plan]
) -> None:
    made = plan("finetune")
    weights = teacher_file(tmp_path / "runs" / "teachers", made)
    bomb(weights)
    with pytest.raises(UserError, match="holds no weights"):
        execute(made, tmp_path / "runs", quiet)
    bomb(tmp_path / "samples.npz")
    assert read_samples(tmp_path) == {}
    assert not (tmp_path / "exploded").exists()


#: fields of a record that end up in names of files, or on a terminal
FIELDS = ("method", "variant", "setting", "track", "budget", "teacher", "student", "command", "version", "error")
HOSTILE = ("../../escaped", "/escaped", "<script>", "-rf", "x" * 190)
COMMANDS = (
    "runs ls", "runs show {key}", "runs prune --max-gb 0", "export {key}", "predict {key} x.png",
    "leaderboard --output out", "plot bars --output out", "report --output out",
)  # fmt: skip


def spoilt(text: str) -> Record:
    made = record("kd", "A-C", 0, 60)
    score = TeacherScore(key=text, own_acc=90.0, student_domain_acc=50.0)
    return made.model_copy(update={**dict.fromkeys(FIELDS, text), "teacher_score": score, "config": {"dataset": text}})


def call(line: str) -> str:
    """What the command prints; it succeeds, or fails with an error that the user can fix."""
    result = CliRunner().invoke(app, line.split())
    assert result.exception is None or isinstance(result.exception, (SystemExit, UserError)), (line, result.exception)
    return result.output


@pytest.mark.parametrize("text", HOSTILE)
def test_names_in_a_record_lead_nowhere(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "very" / "deep" / "home"
    made = spoilt(text)
    put(home / "runs", made, 1)
    monkeypatch.chdir(home)
    for line in COMMANDS:
        # The slow commands once, for the text that could do harm.
        if text == HOSTILE[0] or not line.startswith(("plot", "report", "export", "predict")):
            call(line.format(key=made.key))
    assert [path.name for path in tmp_path.iterdir()] == ["very"]
    assert {path.name for path in home.iterdir()} <= {"runs", "out"}
    assert not Path("/escaped").exists()
    assert [path.name for path in (home / "runs").iterdir()] == [made.key]


def test_a_record_cannot_send_escape_codes_to_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path / "runs", spoilt("a\x1b[2Jb"), 1)
    monkeypatch.chdir(tmp_path)
    for line in ("runs ls", "leaderboard"):
        assert "\x1b[2J" not in call(line)


def test_a_data_set_in_a_record_is_not_executed(tmp_path: Path) -> None:
    """A student without a card, whose classes would be looked up in a Python file that is bundled with it."""
    made = record("kd", "A-C", 0, 60)
    evil = tmp_path / "runs" / made.key / "evil.py"
    put(tmp_path / "runs", made.model_copy(update={"config": {"dataset": str(evil)}}), 1)
    evil.write_text(f"from pathlib import Path\nPath({str(tmp_path / 'exploded')!r}).touch()\n")
    (evil.parent / "student.safetensors").write_bytes(to_safetensors({"a": torch.zeros(1)}))
    with pytest.raises(UserError, match="is code, which is not run because a record names it"):
        load(made.key, tmp_path / "runs")
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize(("statistics", "mean"), [((), IMAGENET_MEAN), ((0.1, 0.2, 0.3), (0.1, 0.2, 0.3))])
def test_a_student_without_a_card_has_the_statistics_of_its_record(
    statistics: tuple[float, ...], mean: tuple[float, ...], tmp_path: Path
) -> None:
    made = record("kd", "MO-P", 0, 60, student="test_resnet", mean=statistics, std=statistics)
    made = made.model_copy(update={"config": {"dataset": "digits", "image_size": 32}})
    put(tmp_path / "runs", made, 1)
    weights = {n: w.contiguous() for n, w in build_classifier("test_resnet", 10, 32).state_dict().items()}
    (tmp_path / "runs" / made.key / "student.safetensors").write_bytes(to_safetensors(weights))
    assert load(made.key, tmp_path / "runs").card.mean == mean
