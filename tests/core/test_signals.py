"""The training loop when it is interrupted: hooks, signals, truncated checkpoints, and resuming from intact ones."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
import torch
from support.toy_model import Tiny, folder, loop, rows

from okdbench.api import Losses
from okdbench.core import signals as interrupt
from okdbench.distill.optim import clone_state
from okdbench.training.checkpoint import load, save
from okdbench.training.history import History
from okdbench.training.weights_hash import fingerprint


class Interrupted(Tiny):
    """Gets Ctrl-C in the middle of one step."""

    def __init__(self, at: int, **steps: int) -> None:
        super().__init__(**steps)
        self.at = at

    def step(self) -> Losses:
        if self.clock.step == self.at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().step()


def test_hooks_frame_each_stage(tmp_path: Path) -> None:
    tiny = Tiny(one=2, two=1)
    loop(tiny, tmp_path).run()
    assert tiny.calls == ["begin one", "step 0", "step 1", "finish one", "begin two", "step 0", "finish two"]


def test_an_interrupted_stage_resumes_where_it_stopped_and_finishes_once(tmp_path: Path) -> None:
    first, second, whole = Interrupted(at=1, only=4), Tiny(only=4), Tiny(only=4)
    with pytest.raises(KeyboardInterrupt):
        loop(first, tmp_path, [1, 2], evaluations=2).run()
    assert first.calls == ["begin only", "step 0", "step 1"]
    history = loop(second, tmp_path, [2], evaluations=2).run()
    assert second.calls == ["begin only", "step 2", "step 3", "finish only"]
    other = loop(whole, folder(tmp_path / "whole"), [1, 2], evaluations=2).run()
    assert fingerprint(clone_state(second.net)) == fingerprint(clone_state(whole.net))
    assert fingerprint(history.selected_state) == fingerprint(other.selected_state)
    assert history.evaluations == other.evaluations
    assert second.meter.traffic() == whole.meter.traffic()
    assert (tmp_path / "metrics.jsonl").read_bytes() == (tmp_path / "whole" / "metrics.jsonl").read_bytes()


def test_an_interrupt_at_the_very_end_is_noticed_and_loses_nothing(tmp_path: Path) -> None:
    tiny = Tiny(only=2)
    made = loop(tiny, tmp_path, [5], retention=lambda: os.kill(os.getpid(), signal.SIGINT) or 0.0)
    with pytest.raises(KeyboardInterrupt):
        made.run()
    again = Tiny(only=2)
    assert len(loop(again, tmp_path, [99]).run().evaluations) == 1
    assert again.calls == []


def test_a_run_that_is_over_is_not_trained_again(tmp_path: Path) -> None:
    first, second = Tiny(one=2), Tiny(one=2)
    one = loop(first, tmp_path, [5]).run()
    two = loop(second, tmp_path, [99]).run()
    assert second.calls == []
    assert two.evaluations == one.evaluations
    assert fingerprint(clone_state(first.net)) == fingerprint(clone_state(second.net))


def test_log_rows_after_the_checkpoint_are_dropped(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        loop(Interrupted(at=1, only=4), tmp_path).run()
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "only", "step": 2, "lo')
    loop(Tiny(only=4), tmp_path).run()
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
    history = loop(Tiny(one=4), tmp_path, [1, 2], evaluations=2).run()
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
    loop(Tiny(one=4), tmp_path).run()
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert load(path) is None
    tiny = Tiny(one=4)
    loop(tiny, tmp_path).run()
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
    loop(Tiny(one=1), tmp_path).run()
    assert not list(tmp_path.glob("*.tmp"))
