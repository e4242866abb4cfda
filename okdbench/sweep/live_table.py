"""What a person sees of many jobs at once: a live table on a terminal, a plain line for each finished job elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from okdbench.core.units import spell_seconds
from okdbench.sweep.process import tail
from okdbench.sweep.scheduler import Job


class LiveTable:
    """Shows ``cells``, which are counted, and the ``helpers`` that come before them.

    A context manager; outside of it nothing stays on the terminal but the lines of finished jobs.
    """

    def __init__(self, helpers: Sequence[Job], cells: Sequence[Job], console: Console) -> None:
        self._helpers, self._cells, self._console = helpers, cells, console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        done = sum(job.state == "done" for job in self._cells)
        if done:
            self.say(f"{done} of {len(self._cells)} cells are done already")
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def report(self, job: Job) -> None:
        """Print what became of ``job``."""
        ended = sum(cell.state in ("done", "failed") for cell in self._cells)
        place = "" if job in self._helpers else f"[{ended}/{len(self._cells)}] "
        self.say(f"{place}{job.title}: {job.outcome()}")

    def show(self) -> None:
        """Bring the live table up to date."""
        if self._console.is_terminal:
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """How many cells are in which state, and each running job with its time and its last words."""
        states = Counter(cell.state for cell in self._cells)
        title = ", ".join(f"{states[state]} {state}" for state in ("done", "running", "failed", "waiting"))
        table = Table("running", "for", "last line", title=title, box=SIMPLE_HEAD, expand=True, title_justify="left")
        table.columns[2].ratio = 1
        for job in (*self._helpers, *self._cells):
            if job.state == "running":
                words = Text(tail(job.log, 1), no_wrap=True, overflow="ellipsis")
                table.add_row(Text(job.title), spell_seconds(time.monotonic() - job.began), words)
        return table

    def say(self, line: str) -> None:
        """Print a line above the table."""
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
