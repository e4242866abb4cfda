"""The progress of one run: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from okdbench.core.progress import LINE_SECONDS

if TYPE_CHECKING:
    from okdbench.distill.method import Stage


class ProgressDisplay:
    """A progress callback that shows the stage, its loss terms, the images per second and the time left in the stage.

    Use it as a context manager. On a terminal nothing remains when the context ends.

    Args:
        title: the run, in a few words.
        console: where to print; standard error by default.
    """

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._console = console or Console(file=sys.stderr)
        self._title = title
        self._stage, self._began, self._printed = "", 0.0, 0.0
        self._first_step, self._first_learned, self._task = 0, 0, TaskID(0)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[note]}"),
            TimeRemainingColumn(),
        )
        self._bar = Progress(*columns, console=self._console, transient=True)

    def __enter__(self) -> ProgressDisplay:
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        # Elsewhere the bar was never started, and stopping it would print an empty line.
        if self._console.is_terminal:
            self._bar.stop()

    def __call__(self, stage: Stage, step: int, losses: dict[str, float], learned: int) -> None:
        """Show the state after a step; the arguments are those of a ``ProgressCallback``."""
        now = time.monotonic()
        if stage.name != self._stage:
            self._enter(stage, step, learned, now)
        # A resumed stage starts at a later step, so speed and time left are measured from the first report on.
        # The first report is at the beginning itself, when no time has passed.
        speed = (learned - self._first_learned) / max(now - self._began, 1e-9)
        note = " ".join(f"{name} {value:.3g}" for name, value in losses.items()) + f" | {speed:.0f} images/s"
        if self._console.is_terminal:
            self._bar.update(self._task, completed=step + 1, note=note)
        elif now - self._printed >= LINE_SECONDS:
            self._printed = now
            left = (stage.steps - step - 1) * (now - self._began) / max(step - self._first_step, 1)
            line = f"{self._title} | {stage.name} {step + 1}/{stage.steps} | {note} | {left:.0f} s left in stage"
            self._console.print(line, soft_wrap=True, highlight=False, markup=False)

    def _enter(self, stage: Stage, step: int, learned: int, now: float) -> None:
        self._stage, self._began, self._printed = stage.name, now, now
        self._first_step, self._first_learned = step, learned
        if self._console.is_terminal:
            if self._bar.tasks:  # one bar at a time: the previous stage is over
                self._bar.update(self._task, visible=False)
            self._task = self._bar.add_task(f"{self._title} | {stage.name}", total=stage.steps, note="")
