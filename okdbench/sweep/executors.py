"""Where the children of a sweep run: on this machine, on its GPUs, or on a cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from okdbench.core.errors import UserError, unknown
from okdbench.sweep import process
from okdbench.sweep import scheduler as pool

ENGINES = ("local", "ray")


class Executor(Protocol):
    """Starts children, ``places`` of them at a time."""

    @property
    def places(self) -> int:
        """How many children there is room for."""

    def start(self, job: pool.Job) -> pool.Child:
        """Start the child of a job."""


@dataclass(frozen=True)
class ExecutorOptions:
    """The options that say where a sweep runs; ``jobs`` and ``jobs_per_gpu`` are None where nothing was said.

    Raises:
        UserError: they do not go together.
    """

    name: str = "local"
    jobs: int | None = None
    jobs_per_gpu: int | None = None
    address: str = "auto"
    cpus_per_run: int = 1
    gpus_per_run: float | None = None
    shared: bool = False

    def __post_init__(self) -> None:
        if self.name not in ENGINES:
            raise unknown("engine", self.name, ENGINES)
        for name in ("jobs", "jobs_per_gpu", "cpus_per_run"):
            if (value := getattr(self, name)) is not None and value < 1:
                raise UserError(f"{_option(name)} {value}: out of range; allowed at least 1")
        gpus = self.gpus_per_run or 0.0
        if not (gpus >= 0 and (gpus <= 1 or gpus % 1 == 0)):
            raise UserError(f"--gpus-per-run {self.gpus_per_run}: out of range; allowed a part of one, or whole ones")
        if self.name == "ray" and self.jobs_per_gpu is not None:
            raise UserError("--jobs-per-gpu is for this machine; with --engine ray, use --gpus-per-run, such as 0.25")
        for name in ("address", "cpus_per_run", "gpus_per_run", "shared"):
            if self.name != "ray" and getattr(self, name) != getattr(ExecutorOptions, name):
                raise UserError(f"{_option(name)} is for a cluster; add --engine ray, or leave it out")


@dataclass(frozen=True)
class Cores:
    """This machine's cores, shared among ``places`` children."""

    places: int

    def start(self, job: pool.Job) -> pool.Child:
        """Start the child with its part of the cores."""
        return process.launch(job.words, job.log, max(1, cores() // self.places))


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
        child = process.launch(job.words, job.log, max(1, cores() // self.places), {"CUDA_VISIBLE_DEVICES": gpu})
        self._children.append((gpu, child))
        return child


@contextmanager
def open_executor(engine: ExecutorOptions, runs: Path, devices: set[str]) -> Iterator[Executor]:
    """The host that the options ask for; ``devices`` are what the runs say to ``--device``.

    Raises:
        UserError: they ask for what is not there.
    """
    if engine.name == "ray":
        from okdbench.sweep.ray_driver import RayDriver

        share = engine.gpus_per_run
        if share is None and not devices & {"auto", "cuda"}:
            share = 0.0
        with RayDriver(engine.address, runs, engine.shared, engine.cpus_per_run, share) as cluster:
            yield cluster
    elif gpus := _gpus(devices):
        yield Gpus(gpus, engine.jobs_per_gpu or -(-(engine.jobs or 1) // len(gpus)))
    elif engine.jobs_per_gpu:
        raise UserError("--jobs-per-gpu needs a GPU and there is none for these runs; use --jobs")
    else:
        yield Cores(engine.jobs or max(1, cores() // 2))


def limit(engine: ExecutorOptions, host: Executor) -> int:
    """How many children at a time: as many as there is room for, or fewer if the options say so."""
    return min(host.places, engine.jobs or host.places)


def _gpus(devices: set[str]) -> list[str]:
    """The GPUs among which the runs can be divided, as children must name them; none if a run names its own device."""
    import torch

    from okdbench.core.devices import choose

    for device in devices - {"auto"}:
        choose(device)
    if not devices <= {"auto", "cuda"}:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [str(index) for index in range(torch.cuda.device_count())]
    return visible.split(",")[: len(found)] if visible else found


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
