"""The loop: runs stages, evaluates, logs, checkpoints, and resumes bit-identically after a kill.

One step is one call of the stage's function. The batch that a step gets is a pure function of the seed and the step, so
a checkpoint holds no data order: only what is trained, the random generators and the history.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from okdbench.core import signals as interrupt
from okdbench.core.protocol import Track, select
from okdbench.data.loader import Stream
from okdbench.distill.accounting import Meter
from okdbench.distill.method import Clock, Losses, Stage, Trainable
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.results.records import Evaluation
from okdbench.training import checkpoint
from okdbench.training.loss_log import LossLog


class ProgressCallback(Protocol):
    """Shows how far a stage is; ``learned`` counts the pictures learned from since the process began the stage."""

    def __call__(self, stage: Stage, step: int, losses: dict[str, float], learned: int) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class LoopConfig:
    """What the engine needs besides the thing to train.

    ``stream`` gives a stage's batches. ``evaluate`` judges the answering network, given stage, step and learned
    pictures; the engine hands its verdicts to ``protocol.select`` and looks at nothing else in them. ``retention`` is
    the network's accuracy on the teacher's domains, asked for after each stage.
    """

    folder: Path
    stream: Callable[[Stage], Stream]
    rng: torch.Generator
    meter: Meter
    progress: ProgressCallback
    autocast: Callable[[], AbstractContextManager[Any]]
    evaluate: Callable[[str, int, int], Evaluation] | None = None
    retention: Callable[[], float | None] = lambda: None
    evaluations: int = 0
    track: Track = Track.LABELLED
    checkpoint_seconds: float = 20.0


@dataclass
class History:
    """What a run leaves behind besides weights.

    ``selected_state`` are the answering network's weights at ``evaluations[selected]``; ``stage_ends`` and
    ``retention`` hold, for each stage, the index of the evaluation after it and the accuracy on the teacher's domains.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    selected: int = -1
    selected_state: dict[str, torch.Tensor] = field(default_factory=dict)
    stage_ends: dict[str, int] = field(default_factory=dict)
    retention: dict[str, float | None] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """The history as tensors and plain types."""
        return {**vars(self), "evaluations": [evaluation.model_dump() for evaluation in self.evaluations]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> History:
        """The history that :meth:`state_dict` described."""
        return cls(**{**state, "evaluations": [Evaluation(**content) for content in state["evaluations"]]})


class TrainingLoop:
    """Runs everything that ``trainable`` declares; ``answer`` is the network that is evaluated and selected."""

    def __init__(self, trainable: Trainable, answer: ClassifierWrapper, kit: LoopConfig) -> None:
        self._trainable, self._answer, self._kit = trainable, answer, kit
        self._stages = trainable.stages()
        self._path = kit.folder / checkpoint.CHECKPOINT
        self._trace = LossLog(kit.folder / "metrics.jsonl")
        self._stage_index, self._step = 0, 0
        self._clock = self._saved = time.monotonic()
        self.history = History()

    def run(self) -> History:
        """Run, or go on running, to the end of the last stage.

        Raises:
            NonFiniteLossError: a loss term is no number.
            KeyboardInterrupt: interrupted; the state after the last whole step is on disk.
        """
        self._resume()
        with interrupt.deferred() as interrupted:
            while self._stage_index < len(self._stages):
                self._run_stage(self._stages[self._stage_index], interrupted)
            if interrupted():  # while the last stage ended, which is on disk
                raise KeyboardInterrupt
        return self.history

    def _run_stage(self, stage: Stage, interrupted: Callable[[], bool]) -> None:
        self._answer.train()
        if stage.begin:
            stage.begin()
        self._trace.begin(stage.name, stage.steps)
        learned = self._kit.meter.total_learned()
        stream = self._kit.stream(stage) if stage.data else None
        moments = evaluation_steps(stage.steps, self._kit.evaluations)
        while self._step < stage.steps:
            losses = self._do_step(stage, stream)
            if self._trace.add(self._step, losses):
                self._kit.progress(stage, self._step, self._trace.latest, self._kit.meter.total_learned() - learned)
            self._step += 1
            if self._step in moments:
                self._evaluate(stage)
            if interrupted():
                self._save()
                raise KeyboardInterrupt
            if time.monotonic() - self._saved > self._kit.checkpoint_seconds:
                self._save()
        self._end_stage(stage)

    def _do_step(self, stage: Stage, stream: Stream | None) -> Losses:
        self._trainable.set_clock(Clock(self._step, stage.steps))
        with self._kit.autocast():
            batches = [stream.batch(self._step * stage.batches + i) for i in range(stage.batches)] if stream else []
            return stage.step(*batches)

    def _end_stage(self, stage: Stage) -> None:
        self._trace.flush()
        if stage.finish:
            stage.finish()
        self._evaluate(stage, always=True)
        if self._kit.evaluate:
            self.history.stage_ends[stage.name] = len(self.history.evaluations) - 1
            self.history.retention[stage.name] = self._kit.retention()
        self._tick(stage)
        self._stage_index, self._step = self._stage_index + 1, 0
        self._save()

    def _evaluate(self, stage: Stage, always: bool = False) -> None:
        """Judge the answering network, unless it has learned nothing since it was judged last."""
        done = self.history.evaluations
        learned = self._kit.meter.learned("student")
        if self._kit.evaluate is None or (done and done[-1].images == learned and not always):
            return
        done.append(self._kit.evaluate(stage.name, self._step, learned))
        if select([evaluation.val_acc for evaluation in done], self._kit.track) == len(done) - 1:
            self.history.selected = len(done) - 1
            self.history.selected_state = clone_state(self._answer)

    def _tick(self, stage: Stage) -> None:
        now = time.monotonic()
        spent = self.history.stage_seconds
        spent[stage.name] = spent.get(stage.name, 0.0) + now - self._clock
        self._clock = now

    def _save(self) -> None:
        # Losses are checked before the state is kept, so a checkpoint never holds a network that has gone NaN.
        self._trace.flush()
        if self._stage_index < len(self._stages):
            self._tick(self._stages[self._stage_index])
        state = {
            "position": [self._stage_index, self._step],
            "trace": self._trace.size(),
            "answer": self._answer.state_dict(),
            "trainable": {name: part.state_dict() for name, part in self._trainable.state.items()},
            "history": self.history.state_dict(),
            "meter": self._kit.meter.state_dict(),
            "random": checkpoint.random_state(self._kit.rng),
        }
        checkpoint.save(self._path, state)
        self._saved = time.monotonic()

    def _resume(self) -> None:
        state = checkpoint.load(self._path)
        self._trace.rewind(state["trace"] if state else 0)
        if state is None:
            return
        self._stage_index, self._step = state["position"]
        self._answer.load_state_dict(state["answer"])
        for name, part in self._trainable.state.items():
            part.load_state_dict(state["trainable"][name])
        self.history = History.from_state(state["history"])
        self._kit.meter.load_state_dict(state["meter"])
        checkpoint.restore_random_state(state["random"], self._kit.rng)


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """The steps, of 1 .. ``steps`` - 1, after which a stage is evaluated; its end is evaluated in any case.

    >>> sorted(evaluation_steps(10, 5))
    [2, 4, 6, 8]
    """
    return frozenset(round(steps * k / evaluations) for k in range(1, evaluations)) - {0, steps}
