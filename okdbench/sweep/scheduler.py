"""Schedules jobs: starts a limited number of children, collects results, retries jobs and stops all on an interrupt."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol

from okdbench.core import signals
from okdbench.sweep.child_process import tail
from okdbench.sweep.retries import Attempts, describe_exit

#: time for interrupted children to save their state, in seconds
STOP_SECONDS = 15.0
POLL_SECONDS = 0.1
#: an exception may have an empty message
NO_MESSAGE = "no error message"

State = Literal["waiting", "running", "done", "failed"]


@dataclass(eq=False)
class Job:
    """One ``okdbench`` command in a child process; a subclass knows which files the command leaves.

    Attributes:
        title: a short description.
        arguments: the command line after ``okdbench``.
        log: the file that receives the child's output.
        depends_on: the job that must be done before this one starts.
        inputs: files that the command reads and that another machine may lack.
        state: ``waiting`` for its first or next start, ``running``, ``done`` or ``failed``.
        attempts: the children that ended without a result.
        started: when the latest child was started, by the monotonic clock, in seconds.
        error: why the job failed; may have several lines, or none.
    """

    title: str
    arguments: list[str]
    log: Path
    depends_on: Job | None = None
    inputs: tuple[Path, ...] = ()
    state: State = "waiting"
    attempts: Attempts = field(default_factory=Attempts)
    started: float = 0.0
    error: str = ""

    def prepare(self) -> bool:
        """Get ready for a child; called before each start. False when another process has done the job meanwhile."""
        return True

    def result(self) -> State | None:
        """``done`` or ``failed`` according to the files of the child that has just ended; None if it left none."""
        raise NotImplementedError

    def summary(self) -> str:
        """The result of a finished job in a few words."""
        if self.state != "failed":
            return self.state
        reason = next(iter(self.error.strip().splitlines()), NO_MESSAGE)
        return f"failed: {reason} ({self.log})"

    def give_up(self, error: str) -> None:
        """Store the reason why the job will not be started again."""
        self.error = error


class Child(Protocol):
    """A started job, here or on another machine; a subset of :class:`subprocess.Popen`."""

    def poll(self) -> int | None: ...  # noqa: D102
    def wait(self, timeout: float | None = None) -> int: ...  # noqa: D102
    def send_signal(self, sig: int, /) -> None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102


class Scheduler:
    """Runs jobs in their order, several at a time."""

    def __init__(
        self,
        jobs: Sequence[Job],
        limit: Callable[[], int],
        start: Callable[[Job], Child],
        report: Callable[[Job], None],
        refresh: Callable[[], None] = lambda: None,
        child_ended: Callable[[], None] = lambda: None,
    ) -> None:
        """Prepare the jobs without starting any.

        Args:
            jobs: what to run; a job may depend on an earlier one.
            limit: returns how many children may run at a time; asked before each start, so it may change.
            start: starts the child of a job.
            report: is called with each job that is done or has failed.
            refresh: is called several times a second.
            child_ended: is called after each child that has ended, whether its job is finished or will be retried.
        """
        self._jobs, self._limit, self._start_child = jobs, limit, start
        self._report, self._refresh, self._child_ended = report, refresh, child_ended
        self._children: dict[Job, Child] = {}

    def run(self) -> None:
        """Run every job until it is done or has failed.

        Raises:
            KeyboardInterrupt: interrupted or asked to terminate; all children have ended.
        """
        with signals.deferred() as interrupted:
            try:
                while any(job.state in ("waiting", "running") for job in self._jobs):
                    if interrupted():
                        raise KeyboardInterrupt
                    self._collect_ended()
                    self._start_ready()
                    self._refresh()
                    time.sleep(POLL_SECONDS)
            finally:
                # after an error too, such as a full disk: no child must train on without a scheduler
                self._stop_children()

    def _start_ready(self) -> None:
        """Start waiting jobs whose dependency is done, up to the limit."""
        # once for all jobs of a round, because on a cluster each question is a request to Ray
        limit = self._limit()
        # a job that met a failing node goes last, so that it does not use up its attempts on that node
        for job in sorted(self._jobs, key=lambda job: job.attempts.lost_nodes):
            needed = job.depends_on
            if job.state != "waiting" or (needed and needed.state in ("waiting", "running")):
                continue
            if needed and needed.state == "failed":
                self._fail(job, f"{needed.title} failed: {needed.error.strip() or NO_MESSAGE}")
            elif len(self._children) < limit:
                if job.prepare():
                    job.state, job.started = "running", time.monotonic()
                    self._children[job] = self._start_child(job)
                else:
                    job.state = "done"
                    self._report(job)

    def _collect_ended(self) -> None:
        """Update the jobs whose children have ended."""
        for job, child in list(self._children.items()):
            code = child.poll()
            if code is None:
                continue
            del self._children[job]
            # The files decide and not the exit code: a child may die after its last file is complete.
            job.state = job.result() or "waiting"
            if job.state == "waiting":
                self._retry_or_fail(job, code)
            else:
                self._report(job)
            # last, because the quota counts jobs by their new state
            self._child_ended()

    def _retry_or_fail(self, job: Job, exit_code: int) -> None:
        """Leave the job waiting for another start, unless the retry policy forbids one."""
        job.attempts.count(exit_code)
        if job.attempts.exhausted:
            how = f"ended early {job.attempts.total} times, the last time {describe_exit(exit_code)}"
            self._fail(job, f"{how}; its log:\n{tail(job.log)}")

    def _fail(self, job: Job, error: str) -> None:
        job.give_up(error)
        job.state = "failed"
        self._report(job)

    def _stop_children(self) -> None:
        """Interrupt the remaining children, which lets them save their state; kill them later or at a second Ctrl-C."""
        # all before the first wait, so that they save at the same time
        for child in self._children.values():
            child.send_signal(signal.SIGINT)
        deadline = time.monotonic() + STOP_SECONDS
        try:
            for child in self._children.values():
                child.wait(max(0.0, deadline - time.monotonic()))
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            # those that still run are killed below
            pass
        finally:
            for child in self._children.values():
                child.kill()
                child.wait()
