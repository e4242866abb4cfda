"""A run in TensorBoard, Weights & Biases and MLflow: what they show, resumes, and failures that lose nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from okdbench.core.config import TRACKERS, RunConfig
from okdbench.core.errors import UserError
from okdbench.results.records import Record
from okdbench.training import trackers
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute


@pytest.fixture(scope="module")
def usual(plan: Callable[..., Plan], tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of the run without a tracker."""
    return execute(plan("kd"), tmp_path_factory.mktemp("usual"), quiet)


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def shown_in_tensorboard(folder: Path) -> dict[str, list[tuple[int, float]]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return {tag: [(each.step, each.value) for each in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def test_tensorboard_shows_losses_evaluations_and_final_numbers(
    plan: Callable[..., Plan], usual: Record, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard", reason="an extra")
    made = plan("kd", log_to="tensorboard")
    record = execute(made, tmp_path, quiet)
    assert record.key == usual.key, "where it is shown is no part of a run"
    assert record.comparable() == usual.comparable()
    assert record.command == usual.command
    shown = shown_in_tensorboard(tmp_path / record.key)
    ((stage, curve),) = record.curves.items()
    for term, values in curve.losses.items():
        assert [step for step, _ in shown[f"loss/{stage}/{term}"]] == curve.steps
        assert [value for _, value in shown[f"loss/{stage}/{term}"]] == pytest.approx(values, rel=1e-4)
    tested = [(each.step, each.test.acc) for each in record.evaluations]
    assert shown["test/acc"] == [(step, pytest.approx(acc)) for step, acc in tested]
    assert record.selected
    assert shown["final/acc"][0][1] == pytest.approx(record.selected.evaluation.test.acc)


def resumed(made: Plan, runs: Path) -> Record:
    """The record of a run that is interrupted once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("okdbench.training.runner.CHECKPOINT_SECONDS", 0.0)
        patch.setattr("okdbench.training.run_record.results", interrupt)
        with pytest.raises(KeyboardInterrupt):
            execute(made, runs, quiet)
    record = execute(made, runs, quiet)
    assert record.status == "done", record.error
    return record


def test_tensorboard_goes_on_in_the_same_place_after_an_interruption(plan: Callable[..., Plan], tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="an extra")
    record = resumed(plan("kd", log_to="tensorboard"), tmp_path)
    steps = [step for step, _ in shown_in_tensorboard(tmp_path / record.key)["test/acc"]]
    assert steps == sorted(set(steps)), "no step is shown twice"


def test_mlflow_goes_on_in_the_same_run_after_an_interruption(plan: Callable[..., Plan], tmp_path: Path) -> None:
    mlflow = pytest.importorskip("mlflow", reason="an extra that is large")
    record = resumed(plan("kd", log_to="mlflow"), tmp_path)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")
    (experiment,) = [each for each in client.search_experiments() if each.name == "okdbench"]
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.status, run.data.params["method"]) == ("FINISHED", "kd")
    assert record.selected
    assert run.data.metrics["final/acc"] == pytest.approx(record.selected.evaluation.test.acc)


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_wandb_works_without_an_account(plan: Callable[..., Plan], tmp_path: Path, usual: Record) -> None:
    pytest.importorskip("wandb", reason="an extra that is large")
    record = execute(plan("kd", log_to="wandb"), tmp_path, quiet)
    assert record.comparable() == usual.comparable()
    (folder,) = (tmp_path / record.key / "wandb").glob("offline-run-*")
    assert list(folder.glob(f"run-{record.key}.wandb"))


@pytest.mark.parametrize("moment", ["__init__", "log", "close"])
def test_a_tracker_that_fails_warns_once_and_loses_nothing(
    moment: str, plan: Callable[..., Plan], usual: Record, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("no connection")

    monkeypatch.setattr(trackers.TensorBoard, moment, fail)
    with pytest.warns(UserWarning, match="--log-to tensorboard shows no more of this run, .* no connection") as warned:
        record = execute(plan("kd", log_to="tensorboard"), tmp_path, quiet)
    assert len([each for each in warned if "log-to" in str(each.message)]) == 1
    assert record.comparable() == usual.comparable()


def test_a_missing_library_is_refused_before_anything_is_written(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"pip install 'okdbench\[mlflow\]'"):
        execute(plan("kd", log_to="mlflow"), tmp_path / "runs", quiet)
    assert not (tmp_path / "runs").exists()


def test_names_are_typed_with_commas_or_one_by_one() -> None:
    fields = {"method": "kd", "dataset": "digits", "setting": "M"}
    for given in ("tensorboard, wandb,mlflow", [*TRACKERS], ["tensorboard,wandb", "mlflow"]):
        assert RunConfig(**fields, log_to=given).log_to == TRACKERS
