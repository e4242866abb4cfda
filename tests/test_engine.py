"""The loop: what is evaluated, selected, logged, refused and resumed, on a network of fourteen weights."""

from __future__ import annotations

import gc
import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from okdbench import interrupt, registry, runner
from okdbench.api import Losses, Stage, Trainable, adam
from okdbench.checkpoint import load, save
from okdbench.engine import Engine, Equipment, History, evaluation_steps
from okdbench.errors import NonFiniteLossError
from okdbench.learners import clone_state
from okdbench.meter import Meter
from okdbench.nets.probe import Normaliser, Probe
from okdbench.plan import Plan
from okdbench.progress import quiet
from okdbench.protocol import Track
from okdbench.records import Evaluation, Score
from okdbench.runner import fingerprint
from okdbench.trace import ROWS_PER_STAGE, Trace

CPU = torch.device("cpu")
BATCH = 4


class Tiny(Trainable):
    """Pushes two logits apart on random pictures; writes down what is called and when."""

    def __init__(self, **steps: int) -> None:
        super().__init__(CPU, Meter())
        torch.manual_seed(0)
        self.meter = self._meter
        self.rng = torch.Generator().manual_seed(0)
        self.net = Probe(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), Normaliser((0.0,) * 3, (1.0,) * 3))
        self.learner = self.own("student", self.net, adam(self.net, 0.1))
        self.lengths = steps
        self.calls: list[str] = []

    def stages(self) -> Sequence[Stage]:
        return [
            Stage(
                name,
                steps,
                self.idle if name == "idle" else self.step,
                begin=lambda name=name: self.calls.append(f"begin {name}"),
                finish=lambda name=name: self.calls.append(f"finish {name}"),
            )
            for name, steps in self.lengths.items()
        ]

    def idle(self) -> Losses:
        return {}

    def step(self) -> Losses:
        self.calls.append(f"step {self.clock.step}")
        logits = self.net(torch.rand(BATCH, 3, 2, 2, generator=self.rng))
        loss = (logits[:, 0] - logits[:, 1]).mean()
        self.learner.update(loss)
        return {"gap": loss, "size": logits.norm()}


class Interrupted(Tiny):
    """Gets Ctrl-C in the middle of one step."""

    def __init__(self, at: int, **steps: int) -> None:
        super().__init__(**steps)
        self.at = at

    def step(self) -> Losses:
        if self.clock.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step()


def judge(val_acc: Iterator[float]) -> Callable[[str, int, int], Evaluation]:
    zero = Score(acc=0, top3=0, top5=0, macro_f1=0, ece=0, agreement=0)
    return lambda stage, step, images: Evaluation(
        stage=stage, step=step, images=images, val_acc=next(val_acc), test=zero
    )


def engine(tiny: Tiny, folder: Path, val_acc: Sequence[float] = (), **options: Any) -> Engine:
    kit = Equipment(
        folder=folder,
        stream=lambda stage: pytest.fail(f"{stage.name} wants no data"),
        rng=tiny.rng,
        meter=tiny.meter,
        progress=quiet,
        autocast=lambda: torch.autocast("cpu", enabled=False),
        evaluate=judge(iter(val_acc)) if val_acc else None,
        **options,
    )
    return Engine(tiny, tiny.net, kit)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


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
    trace = Trace(tmp_path / "metrics.jsonl")
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


# Interrupts, hooks and going on


def test_hooks_frame_each_stage(tmp_path: Path) -> None:
    tiny = Tiny(one=2, two=1)
    engine(tiny, tmp_path).run()
    assert tiny.calls == ["begin one", "step 0", "step 1", "finish one", "begin two", "step 0", "finish two"]


def test_an_interrupted_stage_begins_again_where_it_stopped_and_finishes_once(tmp_path: Path) -> None:
    first, second, whole = Interrupted(at=1, only=4), Tiny(only=4), Tiny(only=4)
    with pytest.raises(KeyboardInterrupt):
        engine(first, tmp_path, [1, 2], evaluations=2).run()
    assert first.calls == ["begin only", "step 0", "step 1"]
    history = engine(second, tmp_path, [2], evaluations=2).run()
    assert second.calls == ["begin only", "step 2", "step 3", "finish only"]
    other = engine(whole, folder(tmp_path / "whole"), [1, 2], evaluations=2).run()
    assert fingerprint(clone_state(second.net)) == fingerprint(clone_state(whole.net))
    assert fingerprint(history.selected_state) == fingerprint(other.selected_state)
    assert history.evaluations == other.evaluations
    assert second.meter.traffic() == whole.meter.traffic()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_an_interrupt_at_the_very_end_is_heard_and_loses_nothing(tmp_path: Path) -> None:
    tiny = Tiny(only=2)
    made = engine(tiny, tmp_path, [5], retention=lambda: os.kill(os.getpid(), signal.SIGINT) or 0.0)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    again = Tiny(only=2)
    assert len(engine(again, tmp_path, [99]).run().evaluations) == 1
    assert again.calls == []


def test_a_run_that_is_over_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Tiny(one=2), Tiny(one=2)
    one = engine(first, tmp_path, [5]).run()
    two = engine(second, tmp_path, [99]).run()
    assert second.calls == []
    assert two.evaluations == one.evaluations
    assert fingerprint(clone_state(first.net)) == fingerprint(clone_state(second.net))


def test_rows_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        engine(Interrupted(at=1, only=4), tmp_path).run()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "only", "step": 2, "lo')
    engine(Tiny(only=4), tmp_path).run()
    assert [row["step"] for row in rows(tmp_path)] == [0, 1, 2, 3]


@pytest.mark.parametrize("number", interrupt.SIGNALS)
def test_the_first_interrupt_waits_for_the_step_and_the_second_strikes(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with interrupt.deferred() as interrupted:
        assert not interrupted()
        os.kill(os.getpid(), number)
        assert interrupted()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_history_survives_its_checkpoint(tmp_path: Path) -> None:
    history = engine(Tiny(one=4), tmp_path, [1, 2], evaluations=2).run()
    save(tmp_path / "history.pt", history.state_dict())
    state = load(tmp_path / "history.pt")
    assert state is not None
    back = History.from_state(state)
    assert back.evaluations == history.evaluations
    assert (back.selected, back.stage_ends, back.retention) == (history.selected, history.stage_ends, history.retention)
    assert fingerprint(back.selected_state) == fingerprint(history.selected_state)


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.3, 0.5, 0.7, 0.9, 0.99, 0.999])
@pytest.mark.filterwarnings("ignore:.*the run starts over")
def test_a_checkpoint_that_is_cut_off_counts_as_none(tmp_path: Path, share: float) -> None:
    path = tmp_path / "checkpoint.pt"
    engine(Tiny(one=4), tmp_path).run()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert load(path) is None
    tiny = Tiny(one=4)
    engine(tiny, tmp_path).run()
    assert tiny.calls[1] == "step 0"
    assert len(rows(tmp_path)) == 4


@pytest.mark.filterwarnings("ignore:.*the run starts over")
def test_a_checkpoint_with_code_in_it_counts_as_none_and_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (tmp_path / "exploded",)

    torch.save({"position": Bomb()}, tmp_path / "checkpoint.pt")
    assert load(tmp_path / "checkpoint.pt") is None
    assert not (tmp_path / "exploded").exists()


def test_what_a_killed_process_left_behind_is_removed(tmp_path: Path) -> None:
    for name in ("checkpoint.pt.17.tmp", "record.json.17.tmp", "student.safetensors.17.tmp"):
        (tmp_path / name).touch()
    engine(Tiny(one=1), tmp_path).run()
    assert not list(tmp_path.glob("*.tmp"))


# The meter


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
    traffic = {role: (bill.forward, bill.backward, bill.learned) for role, bill in meter.traffic().items()}
    assert traffic == {"generator": (7, 7, 7), "student": (23, 18, 11)}
    assert (meter.learned("student"), meter.total_learned(), meter.learned("nobody")) == (11, 18, 0)


def test_the_bill_of_a_stage_is_its_steps_times_the_batch(tmp_path: Path) -> None:
    tiny = Tiny(one=5, idle=3, two=2)
    engine(tiny, tmp_path).run()
    bill = tiny.meter.traffic()["student"]
    assert (bill.forward, bill.backward, bill.learned) == (7 * BATCH,) * 3


def test_a_run_leaves_no_network_in_memory(plan: Callable[..., Plan], tmp_path: Path) -> None:
    gc.collect()
    before = {id(thing) for thing in gc.get_objects()}
    assert runner.execute(plan("kd"), tmp_path, quiet).status == "done"
    left = [thing for thing in gc.get_objects() if type(thing) is Probe and id(thing) not in before]
    assert not left
