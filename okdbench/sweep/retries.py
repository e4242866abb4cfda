"""Retry policy: how often a job is started again after its child process has died."""

from __future__ import annotations

import signal
from dataclasses import dataclass

#: a job fails when so many of its children have died on their own
MAX_DEATHS = 2
#: stands for the exit code of a child whose node was lost; no process can return it
NODE_LOST = 1000
#: a lost node is not the job's fault, but a job that is on a lost node every time may be its cause
MAX_LOST_NODES = 5


@dataclass
class Attempts:
    """Counts the children of one job that ended without a result."""

    deaths: int = 0
    lost_nodes: int = 0

    def count(self, exit_code: int) -> None:
        """Add a child that ended without a result, with its exit code or :data:`NODE_LOST`."""
        if exit_code == NODE_LOST:
            self.lost_nodes += 1
        else:
            self.deaths += 1

    @property
    def total(self) -> int:
        """Number of children that ended without a result."""
        return self.deaths + self.lost_nodes

    @property
    def exhausted(self) -> bool:
        """Whether the job must not be started again."""
        return self.deaths >= MAX_DEATHS or self.lost_nodes >= MAX_LOST_NODES


def describe_exit(exit_code: int) -> str:
    """How a child ended.

    >>> describe_exit(-9), describe_exit(3), describe_exit(NODE_LOST)
    ('by SIGKILL', 'with exit code 3', 'because its node was lost')
    """
    if exit_code == NODE_LOST:
        return "because its node was lost"
    # like subprocess.Popen: a negative code is the number of a signal
    return f"by {signal.Signals(-exit_code).name}" if exit_code < 0 else f"with exit code {exit_code}"
