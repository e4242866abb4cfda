"""The loop: what is evaluated, selected, logged, refused and counted, on a network of fourteen weights."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from support.toy_model import BATCH, Tiny, engine, folder, rows
from torch import nn

from okdbench import registry
from okdbench.api import Losses
from okdbench.core.errors import NonFiniteLossError
from okdbench.core.protocol import Track
from okdbench.distill.accounting import Meter
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.training import runner
from okdbench.training.checkpoint import load
from okdbench.training.loop import evaluation_steps
from okdbench.training.loss_log import ROWS_PER_STAGE, LossLog
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import fingerprint

# What is evaluated and which evaluation counts


@pytest.mark.parametrize(
    ("steps", "evaluations", "expected"),
    [(10, 5, {2, 4, 6, 8}), (3, 10, {1, 2}), (7, 2, {4}), (10, 1, set()), (10, 0, set()), (0, 5, set()), (1, 9, set())],
)
def test_evaluations_are_spread_over_the_inside_of_a_stage(steps: int, evaluations: int, expected: set[int]) -> None:
    assert evaluation_steps(steps, evaluations) == expected


def test_the_best_validation_accuracy_counts_and_the_earliest_of_equals(tmp_path: Path) -> None:
    tiny = Tiny(only=8)
    history = engine(tiny, tmp_path, [50, 70, 70, 60], evaluations=4).run()
    assert [(e.step, e.images) for e in history.evaluations] == [(2, 8), (4, 16), (6, 24), (8, 32)]
    assert history.selected == 1
    half = Tiny(only=4)
    engine(half, folder(tmp_path / "half")).run()
    assert fingerprint(history.selected_state) == fingerprint(clone_state(half.net))
    assert fingerprint(history.selected_state) != fingerprint(clone_state(tiny.net))


def test_in_the_label_free_track_the_last_state_counts(tmp_path: Path) -> None:
    tiny = Tiny(only=8)
    history = engine(tiny, tmp_path, [50, 70, 70, 60], evaluations=4, track=Track.LABEL_FREE).run()
    assert history.selected == 3
    assert fingerprint(history.selected_state) == fingerprint(clone_state(tiny.net))


def test_a_student_that_learned_nothing_since_is_judged_at_the_end_of_a_stage_alone(tmp_path: Path) -> None:
    history = engine(Tiny(one=4, idle=4, two=4), tmp_path, [1, 2, 3, 4, 5], evaluations=2).run()
    assert [(e.stage, e.step) for e in history.evaluations] == [
        ("one", 2),
        ("one", 4),
        ("idle", 4),
        ("two", 2),
        ("two", 4),
    ]
    assert history.stage_ends == {"one": 1, "idle": 2, "two": 4}


def test_a_stage_of_no_steps_is_judged_once(tmp_path: Path) -> None:
    history = engine(Tiny(idle=0), tmp_path, [7], evaluations=5).run()
    assert [(e.stage, e.step, e.images) for e in history.evaluations] == [("idle", 0, 0)]
    assert history.selected == 0


def test_retention_is_asked_for_after_each_stage(tmp_path: Path) -> None:
    answers = iter([30.0, 20.0])
    history = engine(Tiny(one=1, two=1), tmp_path, [1, 2], retention=lambda: next(answers)).run()
    assert history.retention == {"one": 30.0, "two": 20.0}


# The log


def test_every_step_of_a_short_stage_is_logged(tmp_path: Path) -> None:
    engine(Tiny(one=5, two=3), tmp_path).run()
    found = rows(tmp_path)
    assert [(row["stage"], row["step"]) for row in found] == [("one", n) for n in range(5)] + [
        ("two", n) for n in range(3)
    ]
    assert all(row["losses"].keys() == {"gap", "size"} for row in found)
    assert len({row["losses"]["gap"] for row in found}) == 8


@pytest.mark.parametrize(("steps", "count"), [(200, 200), (399, 399), (400, 200), (1000, 200), (1001, 201)])
def test_a_long_stage_leaves_about_200_rows(tmp_path: Path, steps: int, count: int) -> None:
    trace = LossLog(tmp_path / "metrics.jsonl")
    trace.begin("long", steps)
    for step in range(steps):
        trace.add(step, {"loss": torch.tensor(float(step))})
    trace.flush()
    found = rows(tmp_path)
    assert len(found) == count < 2 * ROWS_PER_STAGE
    assert all(row["losses"]["loss"] == row["step"] for row in found)


def test_steps_without_losses_are_logged_as_such(tmp_path: Path) -> None:
    engine(Tiny(idle=2), tmp_path).run()
    assert rows(tmp_path) == [{"stage": "idle", "step": step, "losses": {}} for step in range(2)]


def test_progress_is_told_stage_step_losses_and_learned_pictures(tmp_path: Path) -> None:
    told: list[tuple[str, int, set[str], int]] = []
    tiny = Tiny(one=40, two=20)
    made = engine(tiny, tmp_path)
    made._kit = replace(
        made._kit, progress=lambda stage, step, losses, n: told.append((stage.name, step, set(losses), n))
    )
    made.run()
    assert {("one", 39), ("two", 19)} <= {(stage, step) for stage, step, _, _ in told}
    assert all(losses == {"gap", "size"} and n == BATCH * (step + 1) for _, step, losses, n in told)


# Losses that are no numbers


class Diverging(Tiny):
    """Its loss becomes ``value`` at step 3."""

    value = math.nan

    def step(self) -> Losses:
        return super().step() | ({"kl": torch.tensor(self.value)} if self.clock.step == 3 else {})


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_ends_the_run_and_is_named(tmp_path: Path, value: float) -> None:
    tiny = Diverging(calm=2, storm=30)
    tiny.value = value
    with pytest.raises(NonFiniteLossError, match=rf"stage storm, step 3: the loss term 'kl' is {value}"):
        engine(tiny, tmp_path).run()


def test_no_checkpoint_holds_a_state_after_a_bad_loss(tmp_path: Path) -> None:
    with pytest.raises(NonFiniteLossError):
        engine(Diverging(storm=30), tmp_path, checkpoint_seconds=0).run()
    state = load(tmp_path / "checkpoint.pt")
    assert state is not None
    assert state["position"] == [0, 3]
    assert [row["step"] for row in rows(tmp_path)] == [0, 1, 2]


def test_a_failed_run_leaves_its_reason_and_the_next_start_tries_again(
    plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    healthy = plan("kd")
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


# The meter

KINDS = ("forward", "backward", "learned")


def test_only_what_moves_a_networks_weights_counts_as_learned() -> None:
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


def test_the_bill_of_a_stage_is_its_steps_times_the_batch(tmp_path: Path) -> None:
    tiny = Tiny(one=5, idle=3, two=2)
    engine(tiny, tmp_path).run()
    counts = tiny.meter.traffic()["student"]
    assert tuple(counts[kind] for kind in KINDS) == (7 * BATCH,) * 3


def test_a_run_leaves_no_network_in_memory(plan: Callable[..., Plan], tmp_path: Path) -> None:
    gc.collect()
    before = {id(thing) for thing in gc.get_objects()}
    assert runner.execute(plan("kd"), tmp_path, quiet).status == "done"
    left = [thing for thing in gc.get_objects() if type(thing) is ClassifierWrapper and id(thing) not in before]
    assert not left
