"""Print the ratios and throughputs below pytest-benchmark's table of times."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    for measured in config._benchmarksession.benchmarks:
        figures = ", ".join(f"{name} {value}" for name, value in measured.extra_info.items())
        terminalreporter.write_line(f"{measured.name}: {figures}")
