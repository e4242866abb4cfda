"""Progress of many jobs: a live table on a terminal, a plain line per finished job elsewhere."""

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
from okdbench.sweep.child_process import tail
from okdbench.sweep.scheduler import Job


class LiveTable:
    """Shows the jobs of a sweep; a context manager that leaves only the lines of finished jobs on the terminal."""

    def __init__(self, teachers: Sequence[Job], runs: Sequence[Job], console: Console) -> None:
        """Prepare the table.

        Args:
            teachers: jobs that train teachers; they are shown, but not counted.
            runs: jobs of the runs, which are counted.
            console: where to print.
        """
        self._teachers, self._runs, self._console = teachers, runs, console
        # no thread of its own, because the scheduler calls refresh() several times a second
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveTable:
        done = sum(job.state == "done" for job in self._runs)
        if done:
            self.print_line(f"{done} of {len(self._runs)} runs are already done")
        # a file or a pipe gets the plain lines alone, without control codes
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def report(self, job: Job) -> None:
        """Print the result of a finished job."""
        ended = sum(run.state in ("done", "failed") for run in self._runs)
        count = "" if job in self._teachers else f"[{ended}/{len(self._runs)}] "
        self.print_line(f"{count}{job.title}: {job.summary()}")

    def refresh(self) -> None:
        """Update the table on the terminal."""
        if self._console.is_terminal:
            self._live.update(self.table(), refresh=True)

    def table(self) -> Table:
        """The number of runs in each state, and for each running job its duration and the last line of its log."""
        states = Counter(job.state for job in self._runs)
        title = ", ".join(f"{states[state]} {state}" for state in ("done", "running", "failed", "waiting"))
        table = Table("running", "for", "last line", title=title, box=SIMPLE_HEAD, expand=True, title_justify="left")
        table.columns[2].ratio = 1
        for job in (*self._teachers, *self._runs):
            if job.state == "running":
                # Text and not str: a log may contain what looks like markup
                last_line = Text(tail(job.log, 1), no_wrap=True, overflow="ellipsis")
                table.add_row(Text(job.title), spell_seconds(time.monotonic() - job.started), last_line)
        return table

    def print_line(self, line: str) -> None:
        """Print a line above the table."""
        # not wrapped, so that a tool finds each result in one line; brackets of hyper-parameters are no markup
        self._console.print(line, soft_wrap=True, highlight=False, markup=False)
