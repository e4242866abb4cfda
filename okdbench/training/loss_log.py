"""The log of loss terms, one JSON line per logged step, and the guard against losses that are no numbers."""

from __future__ import annotations

import json
import math
import os
import time
from pathlib import Path

import torch

from okdbench.core.errors import NonFiniteLossError
from okdbench.distill.method import Losses

ROWS_PER_STAGE = 200
FLUSH_STEPS = 20
FLUSH_SECONDS = 1.0


class LossLog:
    """Collects the losses of each step and moves them to the CPU a few steps at a time.

    Every step's losses are checked, also those that are not logged, so the error names the first bad step.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pending: list[tuple[int, Losses]] = []
        self._stage, self._stride = "", 1
        self._flushed = time.monotonic()
        self.latest: dict[str, float] = {}

    def begin(self, stage: str, steps: int) -> None:
        """Log ``stage`` from now on, at most about 200 rows of it."""
        self._stage, self._stride = stage, max(1, steps // ROWS_PER_STAGE)

    def add(self, step: int, losses: Losses) -> bool:
        """Take the losses of ``step``; True when they were flushed and ``latest`` is fresh."""
        self._pending.append((step, {name: loss.detach() for name, loss in losses.items()}))
        if len(self._pending) < FLUSH_STEPS and time.monotonic() - self._flushed < FLUSH_SECONDS:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Check and write what is pending.

        Raises:
            NonFiniteLossError: a term is NaN or infinite.
        """
        pending, self._pending = self._pending, []
        self._flushed = time.monotonic()
        terms = [loss.float() for _, losses in pending for loss in losses.values()]
        values = iter(torch.stack(terms).tolist() if terms else [])
        rows = []
        for step, losses in pending:
            self.latest = {name: next(values) for name in losses}
            for name, value in self.latest.items():
                if not math.isfinite(value):
                    raise NonFiniteLossError(f"stage {self._stage}, step {step}: the loss term {name!r} is {value}")
            if step % self._stride == 0:
                rows.append(json.dumps({"stage": self._stage, "step": step, "losses": self.latest}) + "\n")
        if rows:
            with self._path.open("a") as file:
                file.writelines(rows)
                file.flush()
                os.fsync(file.fileno())  # a checkpoint must never know of more lines than the disk

    def size(self) -> int:
        """Bytes written so far."""
        return self._path.stat().st_size if self._path.exists() else 0

    def rewind(self, size: int) -> None:
        """Forget everything after the first ``size`` bytes, which steps after the checkpoint had written."""
        if self._path.exists():
            with self._path.open("r+b") as file:
                file.truncate(size)
