"""A network of 26 parameters, and a training loop for it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from okdbench.api import Losses, Stage, Trainable, adam
from okdbench.distill.accounting import Meter
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.results.records import Evaluation, Score
from okdbench.training.loop import LoopConfig, TrainingLoop
from okdbench.training.progress import quiet

CPU = torch.device("cpu")
BATCH = 4


class Tiny(Trainable):
    """Pushes two logits apart on random images, and lists what the loop calls."""

    def __init__(self, **steps: int) -> None:
        super().__init__(CPU, Meter())
        torch.manual_seed(0)
        self.meter = self._meter
        self.rng = torch.Generator().manual_seed(0)
        self.net = ClassifierWrapper(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)), Normaliser((0.0,) * 3, (1.0,) * 3))
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


def evaluate_with(val_acc: Iterator[float]) -> Callable[[str, int, int], Evaluation]:
    zero = Score(acc=0, top3=0, top5=0, macro_f1=0, ece=0, agreement=0)
    return lambda stage, step, images: Evaluation(
        stage=stage, step=step, images=images, val_acc=next(val_acc), test=zero
    )


def loop(tiny: Tiny, folder: Path, val_acc: Sequence[float] = (), **options: Any) -> TrainingLoop:
    """A loop over the stages of ``tiny``; its evaluations have these validation accuracies, one after the other."""
    config = LoopConfig(
        folder=folder,
        stream=lambda stage: pytest.fail(f"{stage.name} declares no data"),
        rng=tiny.rng,
        meter=tiny.meter,
        autocast=lambda: torch.autocast("cpu", enabled=False),
        evaluate=evaluate_with(iter(val_acc)) if val_acc else None,
        **{"progress": quiet, **options},
    )
    return TrainingLoop(tiny, tiny.net, config)


def folder(path: Path) -> Path:
    path.mkdir()
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
