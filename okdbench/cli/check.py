"""``okdbench check``: a line for each rule that a method must keep, and what its author needs to fix it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from okdbench.cli import completion
from okdbench.cli.options import DataRoot, examples

if TYPE_CHECKING:
    from okdbench.checks.checks import Check
    from okdbench.checks.finding import Finding
    from okdbench.checks.sandbox import Sandbox

app = typer.Typer()


@app.command(epilog=examples("check ./mine.py"))
def check(
    method: Annotated[
        str, typer.Argument(help="A method's name, or the path of its file.", autocompletion=completion.methods)
    ],
    data_root: DataRoot = None,
) -> None:
    """Check that a method keeps the rules, on a tiny task; about a minute. Ends with exit code 1 if it does not."""
    if not examine(method, data_root):
        raise typer.Exit(1)


def examine(method: str, data_root: Path | None) -> bool:
    """Print one line per check of the method of this name or path, and every finding; False when there are any.

    Raises:
        UserError: there is no such method.
    """
    from rich.console import Console

    from okdbench.checks.checks import CHECKS
    from okdbench.checks.sandbox import Sandbox
    from okdbench.core.plugins import name_of

    began, name = time.monotonic(), name_of(method)
    # The status line is on standard error, so that a pipe gets the findings alone.
    progress = Console(stderr=True, highlight=False)
    # A folder of its own: these runs must not be found among the user's.
    with TemporaryDirectory(prefix="okdbench-") as folder:
        sandbox = Sandbox(method, Path(folder), data_root)
        reports = []
        # Printed one by one, because a check that needs runs takes seconds.
        for each in CHECKS:
            with progress.status(f"{name}: {each.title} ..."):
                found = _find(sandbox, each)
            reports.append(found)
            _print(each, found)
    bad, seconds = sum(bool(found) for found in reports), time.monotonic() - began
    result = f"does not keep {bad} of {len(CHECKS)} rules" if bad else f"keeps all {len(CHECKS)} rules"
    print(f"{name} {result} ({seconds:.0f} s)", flush=True)
    return not bad


def _find(sandbox: Sandbox, check: Check) -> Sequence[Finding] | None:
    """What the check found; None when a finding before it leaves nothing to look at."""
    from okdbench.checks.metadata import card_gaps

    # Without cases there is nothing to run; what is wrong with the card is the first check's finding.
    if check.find is not card_gaps and not _has_cases(sandbox):
        return None
    # That a run fails is the finding of the check of the runs; the others have no result to examine.
    if check.needs_runs and any(sandbox.run(case).result is None for case in sandbox.cases):
        return None
    return check.find(sandbox)


def _has_cases(sandbox: Sandbox) -> bool:
    from okdbench.core.protocol import Track
    from okdbench.core.settings import TaskKind

    # The card may be missing, or hold anything: it is what the first check examines.
    card = getattr(sandbox.method, "card", None)
    tasks, tracks = getattr(card, "tasks", ()), getattr(card, "tracks", ())
    return set(tasks) <= set(TaskKind) and set(tracks) <= set(Track) and bool(sandbox.cases)


def _print(check: Check, found: Sequence[Finding] | None) -> None:
    if found is None:
        print(f"--  {check.title}: not checked, because of what is bad above", flush=True)
        return
    print(f"{'bad' if found else 'ok '} {check.title}", flush=True)
    for finding in found:
        print(f"    found: {finding.found}\n    means: {finding.means}\n    fix:   {finding.cure}", flush=True)
