"""The log of loss terms: one JSON line per logged step. It also detects losses that are NaN or infinite."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch

from okdbench.core.errors import NonFiniteLossError
from okdbench.distill.method import Losses

#: about how many lines of a stage are written
ROWS_PER_STAGE = 200
#: losses are read back after this many steps or seconds, whichever comes first
FLUSH_STEPS = 20
FLUSH_SECONDS = 1.0

Listener = Callable[[int, dict[str, float]], None]


class LossLog:
    """Collects the losses of each step and copies them to the CPU a few steps at a time.

    The losses of every step are checked, also those that are not written, so the error names the first bad step.

    Args:
        path: the file.
        listener: is given each step that is written, and its losses.
    """

    def __init__(self, path: Path, listener: Listener = lambda _step, _losses: None) -> None:
        self._path, self._listener = path, listener
        self._pending: list[tuple[int, Losses]] = []
        self._stage, self._stride = "", 1
        self._flushed = time.monotonic()
        self.latest: dict[str, float] = {}

    def begin(self, stage: str, steps: int) -> None:
        """Log ``stage`` from now on, with about 200 lines if it is long."""
        self._stage, self._stride = stage, max(1, steps // ROWS_PER_STAGE)

    def add(self, step: int, losses: Losses) -> bool:
        """Add the losses of ``step``; True when they were flushed, so that ``latest`` is up to date.

        Raises:
            NonFiniteLossError: a term is NaN or infinite.
        """
        # Reading a value waits for the GPU, so the tensors are kept and read in one transfer.
        self._pending.append((step, {name: loss.detach() for name, loss in losses.items()}))
        if len(self._pending) < FLUSH_STEPS and time.monotonic() - self._flushed < FLUSH_SECONDS:
            return False
        self.flush()
        return True

    def flush(self) -> None:
        """Check and write the pending losses.

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
                self._listener(step, self.latest)
        if rows:
            with self._path.open("a") as file:
                file.writelines(rows)
                file.flush()
                # A checkpoint stores the size of this file, which must not exceed what is on disk after a power cut.
                os.fsync(file.fileno())

    def size(self) -> int:
        """Bytes written so far."""
        return self._path.stat().st_size if self._path.exists() else 0

    def rewind(self, size: int) -> None:
        """Keep the first ``size`` bytes only; steps after the checkpoint had written the rest."""
        if self._path.exists():
            with self._path.open("r+b") as file:
                file.truncate(size)
