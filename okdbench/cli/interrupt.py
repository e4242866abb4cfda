"""What becomes of Ctrl-C."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from okdbench.core.notices import say


@contextmanager
def interruptible(cure: str = "the same command goes on from where it stopped") -> Iterator[None]:
    """Say how to go on after Ctrl-C; caught here, because typer would end without a word."""
    try:
        yield
    except KeyboardInterrupt:
        say(f"interrupted; {cure}")
        # 128 + SIGINT, the exit code that shells give to an interrupted program.
        raise typer.Exit(130) from None
