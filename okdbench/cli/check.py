"""What ``okdbench check`` prints: a line for each check, and what its author needs to mend a method."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from okdbench.checks.checks import CHECKS, Check
from okdbench.checks.finding import Finding
from okdbench.checks.metadata import card_gaps
from okdbench.checks.sandbox import Sandbox
from okdbench.core.plugins import name_of
from okdbench.core.protocol import Track


def examine(method: str, data_root: Path | None) -> bool:
    """Print one line per check of this name or path, and every finding; False when there are any.

    Raises:
        UserError: there is no such method.
    """
    began, name = time.monotonic(), name_of(method)
    progress = Console(stderr=True, highlight=False)
    with TemporaryDirectory(prefix="okdbench-") as folder:
        bench = Sandbox(method, Path(folder), data_root)
        reports = []
        for check in CHECKS:
            with progress.status(f"{name}: {check.title} ..."):
                found = _look(bench, check)
            reports.append(found)
            _print(check, found)
    bad, seconds = sum(bool(found) for found in reports), time.monotonic() - began
    verdict = f"does not keep {bad} of {len(CHECKS)} rules" if bad else f"keeps all {len(CHECKS)} rules"
    print(f"{name} {verdict} ({seconds:.0f} s)", flush=True)
    return not bad


def _look(bench: Sandbox, check: Check) -> Sequence[Finding] | None:
    """What the check found; None when it cannot look."""
    if check.find is not card_gaps and not _has_tracks(bench):
        return None
    if check.needs_runs and any(bench.run(track).result is None for track in bench.tracks):
        return None
    return check.find(bench)


def _has_tracks(bench: Sandbox) -> bool:
    tracks = getattr(getattr(bench.method, "card", None), "tracks", ())
    return bool(tracks) and set(tracks) <= set(Track)


def _print(check: Check, found: Sequence[Finding] | None) -> None:
    if found is None:
        print(f"--  {check.title}: not looked at, for what is bad above comes first", flush=True)
        return
    print(f"{'bad' if found else 'ok '} {check.title}", flush=True)
    for finding in found:
        print(f"    found: {finding.found}\n    means: {finding.means}\n    mend:  {finding.cure}", flush=True)
