"""Child processes, a few at a time: started, tried once more when they die, and never left behind."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from okdbench.core import signals as interrupt
from okdbench.sweep.process import tail

#: how often a job may be started before it is given up
TRIES = 2
#: stands for the exit code of a child whose machine went away, which is no fault of the job, unless it always happens
LOST = 1000
LOSSES = 5
#: how long interrupted children may take to save their state
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1

State = Literal["waiting", "running", "done", "failed"]


@dataclass(eq=False)
class Job:
    """One command in a child process; a subclass knows what the command leaves behind.

    Attributes:
        title: the job in a few words.
        words: what follows ``okdbench`` on the command line.
        log: the file that takes the child's output.
        needs: the job that must be done before this one starts.
        inputs: files that the command reads and that a machine of its own would lack.
        began: when the latest child was started, by the monotonic clock, in seconds.
    """

    title: str
    words: list[str]
    log: Path
    needs: Job | None = None
    inputs: tuple[Path, ...] = ()
    state: State = "waiting"
    deaths: int = 0
    losses: int = 0
    began: float = 0.0
    error: str = ""

    def begin(self) -> bool:
        """Get ready for a child; called before each start. False when somebody else has done the job meanwhile."""
        return True

    def verdict(self) -> State | None:
        """What the child that has just ended left behind, ``done`` or ``failed``; None when it left nothing."""
        raise NotImplementedError

    def outcome(self) -> str:
        """What became of the job that has ended, in a few words."""
        return f"failed: {self.error.splitlines()[0]} ({self.log})" if self.state == "failed" else self.state

    def give_up(self, error: str) -> None:
        """Take note that there will be no further try."""
        self.error = error


class Child(Protocol):
    """A started job, here or elsewhere; its methods do what those of :class:`subprocess.Popen` do."""

    def poll(self) -> int | None: ...  # noqa: D102
    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102
    def send_signal(self, sig: int, /) -> None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


class Scheduler:
    """Runs ``jobs`` in their order; ``limit`` tells how many at a time, and ``start`` starts the child of one.

    ``report`` is called with each job that has come to its end, ``show`` several times a second, and ``ended`` after
    each child that has ended, whether its job is over or will be tried again.
    """

    def __init__(
        self,
        jobs: Sequence[Job],
        limit: Callable[[], int],
        start: Callable[[Job], Child],
        report: Callable[[Job], None],
        show: Callable[[], None] = lambda: None,
        ended: Callable[[], None] = lambda: None,
    ) -> None:
        self._jobs, self._limit, self._launch = jobs, limit, start
        self._report, self._show, self._ended = report, show, ended
        self._children: dict[Job, Child] = {}

    def run(self) -> None:
        """Bring every job to its end.

        Raises:
            KeyboardInterrupt: interrupted or asked to terminate; the children have ended, too.
        """
        with interrupt.deferred() as interrupted:
            try:
                while any(job.state in ("waiting", "running") for job in self._jobs):
                    if interrupted():
                        raise KeyboardInterrupt
                    self._reap()
                    self._start()
                    self._show()
                    time.sleep(POLL_SECONDS)
            finally:
                self._stop()

    def _start(self) -> None:
        limit = self._limit()
        for job in sorted(self._jobs, key=lambda job: job.losses):  # a bad machine shall not use up one job's tries
            if job.state != "waiting" or (job.needs and job.needs.state in ("waiting", "running")):
                continue
            if job.needs and job.needs.state == "failed":
                self._fail(job, f"{job.needs.title} failed: {job.needs.error}")
            elif len(self._children) < limit:
                if job.begin():
                    job.state, job.began = "running", time.monotonic()
                    self._children[job] = self._launch(job)
                else:
                    job.state = "done"
                    self._report(job)

    def _reap(self) -> None:
        for job, child in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[job]
            job.state = job.verdict() or "waiting"
            if job.state == "waiting":
                self._count(job, code)
            else:
                self._report(job)
            self._ended()

    def _count(self, job: Job, code: int) -> None:
        """Take note of a child that has left nothing; the job fails when it was one too many."""
        job.losses += code == LOST
        job.deaths += code != LOST
        if job.deaths == TRIES or job.losses == LOSSES:
            times = job.deaths + job.losses
            self._fail(job, f"ended early {times} times, at last {_how(code)}; its log:\n{tail(job.log)}")

    def _fail(self, job: Job, error: str) -> None:
        job.give_up(error)
        job.state = "failed"
        self._report(job)

    def _stop(self) -> None:
        """End the children that are left: a chance to save their state, then, or at a second Ctrl-C, no mercy."""
        for child in self._children.values():
            child.send_signal(signal.SIGINT)
        until = time.monotonic() + STOP_SECONDS
        try:
            for child in self._children.values():
                child.wait(max(0.0, until - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            pass
        finally:
            for child in self._children.values():
                child.kill()
                child.wait()


def _how(code: int) -> str:
    if code == LOST:
        return "with its machine"
    return f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
