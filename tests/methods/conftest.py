"""Says after a session how many numbers of released code were compared; with several workers each has its own count."""

from __future__ import annotations

import pytest
from support import parity


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if parity.compared:
        terminalreporter.write_line(
            f"released code: {sum(parity.compared):,} values in {len(parity.compared):,} comparisons"
        )
