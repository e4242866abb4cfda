"""The training loop: runs the stages of a method, logs, evaluates, checkpoints, and resumes bit-identically.

A step is one call of a stage's step function. The batches of a step are a pure function of the seed and the step's
number, so a checkpoint stores no data order: only networks, optimisers, random generators and the history.

Read :meth:`TrainingLoop.run` from top to bottom; everything else is a detail of one of its phases.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from okdbench.core import signals
from okdbench.core.protocol import Track, select
from okdbench.data.loader import Stream
from okdbench.distill.accounting import Meter
from okdbench.distill.method import Clock, Stage, Trainable
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.distill.optim import clone_state
from okdbench.results.records import Evaluation
from okdbench.training import checkpoint
from okdbench.training.history import History
from okdbench.training.loss_log import LossLog
from okdbench.training.progress import ProgressCallback


@dataclass(frozen=True)
class LoopConfig:
    """What the loop needs besides the stages and the network.

    Attributes:
        folder: where the loss log and the checkpoint are written.
        stream: stage -> its stream of batches.
        rng: the run's random generator, on the device.
        meter: counts the images that pass through each network.
        progress: called every few steps.
        autocast: makes the context that sets the precision of a step; float32 by default.
        evaluate: (stage, step, images learned from) -> evaluation of the network; None for training without one.
        retention: accuracy on the teacher's domains in percent, measured at the end of each stage.
        evaluations: evaluations per stage, the one at its end included.
        track: decides which evaluation is selected.
        log: is given numbers by name, with the step over all stages that they are of.
        checkpoint_seconds: seconds between two checkpoints inside a stage.
    """

    folder: Path
    stream: Callable[[Stage], Stream]
    rng: torch.Generator
    meter: Meter
    progress: ProgressCallback
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
    evaluate: Callable[[str, int, int], Evaluation] | None = None
    retention: Callable[[], float | None] = lambda: None
    evaluations: int = 0
    track: Track = Track.LABELLED
    log: Callable[[Mapping[str, float], int], None] = lambda _numbers, _step: None
    checkpoint_seconds: float = 20.0


class TrainingLoop:
    """Runs every stage of ``trainable``; ``network`` is the one that is evaluated and selected."""

    def __init__(self, trainable: Trainable, network: ClassifierWrapper, config: LoopConfig) -> None:
        self._trainable, self._network, self._config = trainable, network, config
        self._stages = trainable.stages()
        self._stage_index, self._step = 0, 0
        self.history = History()
        self._loss_log = LossLog(config.folder / "metrics.jsonl", self._log_losses)
        self._checkpoint = config.folder / checkpoint.CHECKPOINT
        self._timed_until = self._saved_at = time.monotonic()

    def run(self) -> History:
        """Train, from the last checkpoint if there is one, to the end of the last stage.

        Raises:
            NonFiniteLossError: a loss term is NaN or infinite.
            KeyboardInterrupt: interrupted; the state after the last complete step has been saved.
        """
        config = self._config

        # --- 1. resume: restore networks, optimisers, random generators and position from the checkpoint
        self._resume()

        # An interrupt only sets a flag, so that it never cuts a step in half.
        with signals.deferred() as interrupted:
            while self._stage_index < len(self._stages):
                stage = self._stages[self._stage_index]

                # --- 2. begin the stage, also when it is resumed in the middle
                self._network.train()
                if stage.begin:
                    stage.begin()
                self._loss_log.begin(stage.name, stage.steps)
                stream = config.stream(stage) if stage.data else None
                learned_before = config.meter.total_learned()
                evaluate_after = evaluation_steps(stage.steps, config.evaluations)

                while self._step < stage.steps:
                    # --- 3. step: the method computes its losses and updates its networks
                    self._trainable.set_clock(Clock(self._step, stage.steps))
                    with config.autocast():
                        numbers = range(self._step * stage.batches, (self._step + 1) * stage.batches)
                        batches = [stream.batch(number) for number in numbers] if stream else []
                        losses = stage.step(*batches)

                    # --- 4. log the losses
                    if self._loss_log.add(self._step, losses):
                        learned = config.meter.total_learned() - learned_before
                        config.progress(stage, self._step, self._loss_log.latest, learned)
                    self._step += 1

                    # --- 5. evaluate and select
                    if self._step in evaluate_after:
                        self._evaluate(stage)

                    # --- 6. checkpoint
                    if interrupted():
                        self._save()
                        raise KeyboardInterrupt
                    if time.monotonic() - self._saved_at > config.checkpoint_seconds:
                        self._save()

                # --- 7. end the stage: evaluate in any case, then move on to the next one
                self._end(stage)

            # The last stage is on disk; an interrupt that arrived while it ended must still be reported.
            if interrupted():
                raise KeyboardInterrupt
        return self.history

    def _evaluate(self, stage: Stage, always: bool = False) -> None:
        """Evaluate the network, unless it has learned from no image since its last evaluation."""
        evaluations = self.history.evaluations
        learned = self._config.meter.learned("student")
        unchanged = bool(evaluations) and evaluations[-1].images == learned
        if self._config.evaluate is None or (unchanged and not always):
            return
        # First, so that a loss that is NaN ends the run before the network is evaluated.
        self._loss_log.flush()
        evaluations.append(self._config.evaluate(stage.name, self._step, learned))
        self._config.log(_numbers_of(evaluations[-1]), self._steps_before() + self._step)
        # Selection sees validation accuracies only; test accuracies are recorded and never looked at here.
        newest = len(evaluations) - 1
        if select([evaluation.val_acc for evaluation in evaluations], self._config.track) == newest:
            self.history.selected = newest
            # A copy, because training goes on in the same tensors.
            self.history.selected_state = clone_state(self._network)

    def _log_losses(self, step: int, losses: dict[str, float]) -> None:
        stage = self._stages[self._stage_index].name
        self._config.log({f"loss/{stage}/{term}": value for term, value in losses.items()}, self._steps_before() + step)

    def _steps_before(self) -> int:
        """Steps of all earlier stages."""
        return sum(stage.steps for stage in self._stages[: self._stage_index])

    def _end(self, stage: Stage) -> None:
        self._loss_log.flush()
        if stage.finish:
            stage.finish()
        self._evaluate(stage, always=True)
        if self._config.evaluate:
            self.history.stage_ends[stage.name] = len(self.history.evaluations) - 1
            self.history.retention[stage.name] = self._config.retention()
        self._add_seconds(stage)
        self._stage_index, self._step = self._stage_index + 1, 0
        self._save()

    def _add_seconds(self, stage: Stage) -> None:
        """Add the time since the last call to the stage's."""
        now = time.monotonic()
        seconds = self.history.stage_seconds
        seconds[stage.name] = seconds.get(stage.name, 0.0) + now - self._timed_until
        self._timed_until = now

    def _save(self) -> None:
        # Flushing checks the losses first, so a checkpoint never stores a network that has become NaN.
        self._loss_log.flush()
        if self._stage_index < len(self._stages):
            self._add_seconds(self._stages[self._stage_index])
        state = {
            "position": [self._stage_index, self._step],
            "trace": self._loss_log.size(),
            "answer": self._network.state_dict(),
            "trainable": {name: part.state_dict() for name, part in self._trainable.state.items()},
            "history": self.history.state_dict(),
            "meter": self._config.meter.state_dict(),
            "random": checkpoint.random_state(self._config.rng),
        }
        checkpoint.save(self._checkpoint, state)
        # Read after the write, so that a slow disk leaves time for training between two checkpoints.
        self._saved_at = time.monotonic()

    def _resume(self) -> None:
        state = checkpoint.load(self._checkpoint)
        # Steps after the checkpoint are repeated, so their lines in the log are removed.
        self._loss_log.rewind(state["trace"] if state else 0)
        if state is None:
            return
        self._stage_index, self._step = state["position"]
        self._network.load_state_dict(state["answer"])
        for name, part in self._trainable.state.items():
            part.load_state_dict(checkpoint.on_device(state["trainable"][name], self._config.rng.device))
        self.history = History.from_state(state["history"])
        self._config.meter.load_state_dict(state["meter"])
        checkpoint.restore_random_state(state["random"], self._config.rng)


def _numbers_of(evaluation: Evaluation) -> dict[str, float]:
    """The numbers of an evaluation, in percent, and the images learned from."""
    numbers = {f"test/{name}": value for name, value in evaluation.test.model_dump().items()}
    known = {} if evaluation.val_acc is None else {"val/acc": evaluation.val_acc}
    return {**numbers, **known, "images": float(evaluation.images)}


def evaluation_steps(steps: int, evaluations: int) -> frozenset[int]:
    """The steps, of 1 .. ``steps`` - 1, after which a stage is evaluated; its end is evaluated in any case.

    >>> sorted(evaluation_steps(10, 5))
    [2, 4, 6, 8]
    """
    # In a short stage some steps round to 0 or to its end.
    return frozenset(round(steps * k / evaluations) for k in range(1, evaluations)) - {0, steps}
