"""The loop: what is evaluated, selected, logged, refused and counted, on a network of 26 parameters."""

from __future__ import annotations

import gc
import io
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from rich.console import Console
from support.toy_model import BATCH, Tiny, folder, loop, rows
from torch import nn

from okdbench import registry
from okdbench.api import Losses, Stage
from okdbench.core.errors import NonFiniteLossError
from okdbench.core.protocol import Track
from okdbench.distill.accounting import Meter
from okdbench.distill.optim import clone_state
from okdbench.training import progress_display, runner
from okdbench.training.checkpoint import load
from okdbench.training.initial_networks import forget_initial_networks
from okdbench.training.loop import evaluation_steps
from okdbench.training.loss_log import ROWS_PER_STAGE, LossLog
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.weights_hash import fingerprint

# --- evaluation and selection

KINDS = ("forward", "backward", "learned")


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [(10, 5, {2, 4, 6, 8}), (3, 10, {1, 2}), (7, 2, {4}), (10, 1, set()), (10, 0, set()), (0, 5, set()), (1, 9, set())],
)
def test_evaluations_are_spread_evenly_over_a_stage(steps: int, evaluations: int, expected: set[int]) -> None:
    assert evaluation_steps(steps, evaluations) == expected


def test_the_best_validation_accuracy_is_selected_and_the_earliest_of_equals(tmp_path: Path) -> None:
    tiny = Tiny(only=8)
    history = loop(tiny, tmp_path, [50, 70, 70, 60], evaluations=4).run()
    assert [(e.step, e.images) for e in history.evaluations] == [(2, 8), (4, 16), (6, 24), (8, 32)]
    assert history.selected == 1
    half = Tiny(only=4)
    loop(half, folder(tmp_path / "half")).run()
    assert fingerprint(history.selected_state) == fingerprint(clone_state(half.net))
    assert fingerprint(history.selected_state) != fingerprint(clone_state(tiny.net))


def test_in_the_label_free_track_the_last_state_is_selected(tmp_path: Path) -> None:
    tiny = Tiny(only=8)
    history = loop(tiny, tmp_path, [50, 70, 70, 60], evaluations=4, track=Track.LABEL_FREE).run()
    assert history.selected == 3
    assert fingerprint(history.selected_state) == fingerprint(clone_state(tiny.net))


def test_an_unchanged_student_is_evaluated_at_the_end_of_a_stage_alone(tmp_path: Path) -> None:
    history = loop(Tiny(one=4, idle=4, two=4), tmp_path, [1, 2, 3, 4, 5], evaluations=2).run()
    assert [(e.stage, e.step) for e in history.evaluations] == [
        ("one", 2),
        ("one", 4),
        ("idle", 4),
        ("two", 2),
        ("two", 4),
    ]
    assert history.stage_ends == {"one": 1, "idle": 2, "two": 4}


def test_a_stage_without_steps_is_evaluated_once(tmp_path: Path) -> None:
    history = loop(Tiny(idle=0), tmp_path, [7], evaluations=5).run()
    assert [(e.stage, e.step, e.images) for e in history.evaluations] == [("idle", 0, 0)]
    assert history.selected == 0


def test_retention_is_measured_after_each_stage(tmp_path: Path) -> None:
    accuracies = iter([30.0, 20.0])
    history = loop(Tiny(one=1, two=1), tmp_path, [1, 2], retention=lambda: next(accuracies)).run()
    assert history.retention == {"one": 30.0, "two": 20.0}


# --- the loss log


def test_every_step_of_a_short_stage_is_logged(tmp_path: Path) -> None:
    loop(Tiny(one=5, two=3), tmp_path).run()
    found = rows(tmp_path)
    assert [(row["stage"], row["step"]) for row in found] == [("one", n) for n in range(5)] + [
        ("two", n) for n in range(3)
    ]
    assert all(row["losses"].keys() == {"gap", "size"} for row in found)
    assert len({row["losses"]["gap"] for row in found}) == 8


@pytest.mark.parametrize(("steps", "count"), [(200, 200), (399, 399), (400, 200), (1000, 200), (1001, 201)])
def test_a_long_stage_is_logged_with_about_200_rows(tmp_path: Path, steps: int, count: int) -> None:
    log = LossLog(tmp_path / "metrics.jsonl")
    log.begin("long", steps)
    for step in range(steps):
        log.add(step, {"loss": torch.tensor(float(step))})
    log.flush()
    found = rows(tmp_path)
    assert len(found) == count < 2 * ROWS_PER_STAGE
    assert all(row["losses"]["loss"] == row["step"] for row in found)


def test_steps_without_losses_are_logged_with_none(tmp_path: Path) -> None:
    loop(Tiny(idle=2), tmp_path).run()
    assert rows(tmp_path) == [{"stage": "idle", "step": step, "losses": {}} for step in range(2)]


def test_progress_gets_stage_step_losses_and_images_learned_from(tmp_path: Path) -> None:
    reports: list[tuple[str, int, set[str], int]] = []

    def progress(stage: Stage, step: int, losses: dict[str, float], learned: int) -> None:
        reports.append((stage.name, step, set(losses), learned))

    loop(Tiny(one=40, two=20), tmp_path, progress=progress).run()
    assert {("one", 39), ("two", 19)} <= {(stage, step) for stage, step, _, _ in reports}
    assert all(losses == {"gap", "size"} and n == BATCH * (step + 1) for _, step, losses, n in reports)


def test_away_from_a_terminal_progress_is_a_line_every_ten_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([100.0, 110.0, 115.0])
    monkeypatch.setattr(progress_display, "time", SimpleNamespace(monotonic=lambda: next(times)))
    console = Console(file=io.StringIO(), force_terminal=False)
    stage = Stage("distil", 40, lambda: {})
    with progress_display.ProgressDisplay("kd digits MO-P seed 0", console) as display:
        display(stage, 0, {"kl": 0.5}, 64)
        display(stage, 10, {"kl": 0.4}, 704)
        display(stage, 20, {"kl": 0.3}, 1344)
    assert console.file.getvalue() == (  # type: ignore[attr-defined]
        "kd digits MO-P seed 0 | distil 11/40 | kl 0.4 | 64 images/s | 29 s left in stage\n"
    )


# --- losses that are NaN or infinite


class Diverging(Tiny):
    """Its loss becomes ``value`` at step 3."""

    value = math.nan

    def step(self) -> Losses:
        return super().step() | ({"kl": torch.tensor(self.value)} if self.clock.step == 3 else {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_not_finite_ends_the_run_and_is_named(tmp_path: Path, value: float) -> None:
    tiny = Diverging(calm=2, storm=30)
    tiny.value = value
    with pytest.raises(NonFiniteLossError, match=rf"stage storm, step 3: the loss term 'kl' is {value}"):
        loop(tiny, tmp_path).run()


def test_a_bad_loss_is_named_before_the_network_is_evaluated(tmp_path: Path) -> None:
    diverging = loop(Diverging(storm=8), tmp_path, [50.0], evaluations=2)
    with pytest.raises(NonFiniteLossError, match="step 3: the loss term 'kl' is nan"):
        diverging.run()
    assert not diverging.history.evaluations


def test_no_checkpoint_contains_a_state_after_a_bad_loss(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError):
        loop(Diverging(storm=30), tmp_path, checkpoint_seconds=0).run()
    state = load(tmp_path / "checkpoint.pt")
    assert state is not None
    assert state["position"] == [0, 3]
    assert [row["step"] for row in rows(tmp_path)] == [0, 1, 2]


def test_a_failed_run_is_recorded_with_its_reason_and_tried_again(
    light_plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = light_plan("kd")
    step = healthy.method.step

    def broken(self: Any, batch: Any) -> Losses:
        return step(self, batch) | ({"gap": torch.tensor(math.nan)} if self.clock.step == 3 else {})

    with monkeypatch.context() as patch:
        patch.setattr(healthy.method, "step", broken)
        failed = runner.execute(healthy, tmp_path / "runs", quiet)
    assert failed.status == "failed"
    assert failed.error == "NonFiniteLossError: stage distil, step 3: the loss term 'gap' is nan"
    assert "Traceback" in str(failed.traceback)
    assert failed.selected is None
    again = runner.execute(healthy, tmp_path / "runs", quiet)
    assert (again.key, again.status, again.error, again.traceback) == (failed.key, "done", None, None)
    assert again.comparable() == runner.execute(healthy, tmp_path / "other", quiet).comparable()


def test_an_error_of_the_method_is_a_record_too(plan: Callable[..., Plan], tmp_path: Path) -> None:
    class Broken(registry.load_method("kd")):  # type: ignore[misc]
        def setup(self) -> None:
            raise ZeroDivisionError("by the method")

    failed = runner.execute(replace(plan("finetune"), method=Broken), tmp_path, quiet)
    assert (failed.status, failed.error) == ("failed", "ZeroDivisionError: by the method")


# --- the meter and memory


def test_only_what_updates_a_networks_weights_counts_as_learned() -> None:
    meter = Meter()
    generator, student = nn.Linear(2, 3), nn.Linear(3, 2)
    meter.watch("generator", generator)
    meter.watch("student", student)
    with torch.no_grad():
        student(torch.rand(5, 3))
    with meter.learning(generator):
        student(generator(torch.rand(7, 2))).sum().backward()
    with meter.learning(student):
        student(torch.rand(11, 3)).sum().backward()
    traffic = {role: tuple(counts[kind] for kind in KINDS) for role, counts in meter.traffic().items()}
    assert traffic == {"generator": (7, 7, 7), "student": (23, 18, 11)}
    assert (meter.learned("student"), meter.total_learned(), meter.learned("nobody")) == (11, 18, 0)


def test_the_traffic_of_a_stage_is_its_steps_times_the_batch(tmp_path: Path) -> None:
    tiny = Tiny(one=5, idle=3, two=2)
    loop(tiny, tmp_path).run()
    counts = tiny.meter.traffic()["student"]
    assert tuple(counts[kind] for kind in KINDS) == (7 * BATCH,) * 3


def test_a_run_leaves_no_network_in_memory(plan: Callable[..., Plan], tmp_path: Path) -> None:
    forget_initial_networks()
    gc.collect()
    before = {id(thing) for thing in gc.get_objects()}
    assert runner.execute(plan("kd"), tmp_path, quiet).status == "done"
    left = [thing for thing in gc.get_objects() if type(thing) is nn.Conv2d and id(thing) not in before]
    assert not left
