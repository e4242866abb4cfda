"""Where the children of a sweep run: on this machine, on its GPUs, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from okdbench import pool
from okdbench.errors import UserError, unknown

ENGINES = ("local", "ray")


class Host(Protocol):
    """Starts children, ``places`` of them at a time."""

    @property
    def places(self) -> int:
        """How many children there is room for."""

    def start(self, job: pool.Job) -> pool.Child:
        """Start the child of a job."""


@dataclass(frozen=True)
class Engine:
    """The options that say where a sweep runs; None where nothing was said."""

    name: str = "local"
    jobs: int | None = None
    jobs_per_gpu: int | None = None
    address: str = "auto"
    cpus_per_run: float = 1.0
    gpus_per_run: float = 0.0
    shared: bool = False


@dataclass(frozen=True)
class Cores:
    """This machine's cores, shared among ``places`` children."""

    places: int

    def start(self, job: pool.Job) -> pool.Child:
        """Start the child with its part of the cores."""
        return pool.launch(job.words, job.log, max(1, cores() // self.places))


@dataclass
class Gpus:
    """This machine's GPUs, each with room for ``jobs_per_gpu`` children, which see no other."""

    names: list[str]
    jobs_per_gpu: int
    _children: list[tuple[str, pool.Child]] = field(default_factory=list)

    @property
    def places(self) -> int:
        """All GPUs' together."""
        return len(self.names) * self.jobs_per_gpu

    def start(self, job: pool.Job) -> pool.Child:
        """Start the child on the GPU that has the fewest."""
        self._children = [(gpu, child) for gpu, child in self._children if child.poll() is None]
        busy = [gpu for gpu, _ in self._children]
        gpu = min(self.names, key=busy.count)
        child = pool.launch(job.words, job.log, max(1, cores() // self.places), {"CUDA_VISIBLE_DEVICES": gpu})
        self._children.append((gpu, child))
        return child


@contextmanager
def open_host(engine: Engine, runs: Path) -> Iterator[Host]:
    """The host that the options ask for.

    Raises:
        UserError: they ask for what is not there.
    """
    if engine.name not in ENGINES:
        raise unknown("engine", engine.name, ENGINES)
    for option, value in (("--jobs", engine.jobs), ("--jobs-per-gpu", engine.jobs_per_gpu)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value}: out of range; allowed at least 1")
    if engine.name == "ray":
        from okdbench.cluster import Cluster

        with Cluster(engine.address, runs, engine.shared, engine.cpus_per_run, engine.gpus_per_run) as cluster:
            yield cluster
    elif engine.jobs_per_gpu is not None:
        yield Gpus(_gpus(), engine.jobs_per_gpu)
    else:
        yield Cores(engine.jobs or max(1, cores() // 2))


def _gpus() -> list[str]:
    """The GPUs that this process may use, as its children must name them."""
    import torch

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = visible.split(",") if visible else [str(index) for index in range(torch.cuda.device_count())]
    if not torch.cuda.is_available():
        raise UserError("--jobs-per-gpu needs a GPU and there is none here; use --jobs")
    return names


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
