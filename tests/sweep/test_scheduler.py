"""Children that end in all ways: what is tried again, and what is given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from okdbench.sweep.scheduler import LOSSES, LOST, TRIES, Job, Scheduler, State


class Ended:
    """A child that has ended already."""

    def __init__(self, code: int) -> None:
        self._code = code

    def poll(self) -> int | None:
        return self._code

    def wait(self, timeout: float | None = None) -> int:  # noqa: ARG002
        return self._code

    def send_signal(self, sig: int, /) -> None:
        """Nobody is there to get it."""

    def kill(self) -> None:
        """It has ended."""


class Endings(Job):
    """A job whose children end with ``codes``, one after the other; 0 is success."""

    def __init__(self, folder: Path, codes: list[int]) -> None:
        super().__init__("job", [], folder / "log.txt")
        self._codes: Iterator[int] = iter(codes)
        self.last = LOST

    def begin(self) -> bool:
        self.last = next(self._codes)
        return True

    def verdict(self) -> State | None:
        return None if self.last else "done"


def start(job: Job) -> Ended:
    assert isinstance(job, Endings)
    return Ended(job.last)


def run(job: Endings) -> Endings:
    ended: list[Job] = []
    Scheduler([job], lambda: 1, start, ended.append).run()
    assert ended == [job]
    return job


def test_a_machine_that_goes_away_is_no_fault_of_the_job(tmp_path: Path) -> None:
    job = run(Endings(tmp_path, [LOST] * (LOSSES - 1) + [-9, 0]))
    assert (job.state, job.deaths) == ("done", 1)


def test_a_job_that_machines_never_survive_is_given_up(tmp_path: Path) -> None:
    job = run(Endings(tmp_path, [LOST] * LOSSES))
    assert job.state == "failed"
    assert job.error.startswith(f"ended early {LOSSES} times, at last with its machine")


def test_a_job_that_always_dies_is_given_up(tmp_path: Path) -> None:
    job = run(Endings(tmp_path, [3] * TRIES))
    assert job.error.startswith(f"ended early {TRIES} times, at last with exit code 3")
