"""A progress counter: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

#: seconds between two lines where there is no terminal, such as in the log of a cluster job
LINE_SECONDS = 10.0


@contextmanager
def counter(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show on standard error how many of ``total`` items are done.

    The value of the context is a function; call it with the number of items that were done since the last call.
    """
    console = Console(stderr=True, highlight=False)
    done, printed = 0, time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(title, total=total)

    def advance(count: int) -> None:
        nonlocal done, printed
        done += count
        bar.update(task, completed=done)
        # without a terminal a bar would fill the log with its intermediate states
        if not console.is_terminal and time.monotonic() - printed >= LINE_SECONDS:
            printed = time.monotonic()
            console.print(f"{title} {done}/{total}", soft_wrap=True, markup=False)

    with bar if console.is_terminal else nullcontext():
        yield advance
