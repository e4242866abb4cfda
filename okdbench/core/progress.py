"""A counter: a bar on a terminal, a plain line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    pass


LINE_SECONDS = 10.0


@contextmanager
def counter(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show how many of ``total`` are done: the context's value is called with the number of new ones."""
    console = Console(stderr=True, highlight=False)
    done, printed = 0, time.monotonic()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True)
    task = bar.add_task(title, total=total)

    def advance(count: int) -> None:
        nonlocal done, printed
        done += count
        bar.update(task, completed=done)
        if not console.is_terminal and time.monotonic() - printed >= LINE_SECONDS:
            printed = time.monotonic()
            console.print(f"{title} {done}/{total}", soft_wrap=True, markup=False)

    with bar if console.is_terminal else nullcontext():
        yield advance
