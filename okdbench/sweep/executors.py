"""Executors start the children of a sweep: on this machine's cores, on its GPUs, or on a Ray cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from okdbench.core.command import flag
from okdbench.core.errors import UserError, unknown
from okdbench.sweep import child_process
from okdbench.sweep.scheduler import Child, Job

ENGINES = ("local", "ray")


class Executor(Protocol):
    """Starts children, up to ``slots`` at a time."""

    @property
    def slots(self) -> int:
        """How many children fit at the moment."""

    def start(self, job: Job) -> Child:
        """Start the child of a job."""


@dataclass(frozen=True)
class ExecutorOptions:
    """Where a sweep runs, as given on the command line.

    Attributes:
        name: ``local`` or ``ray``.
        jobs: children at a time; None for the default.
        jobs_per_gpu: children at a time on each GPU of this machine; None for the default.
        address: Ray only: ``auto`` for the cluster of this machine, or ``HOST:PORT``.
        cpus_per_run: Ray only: cores that one run reserves.
        gpus_per_run: Ray only: GPUs, or a share of one, that one run reserves; None for one if any node has one.
        shared: Ray only: all nodes see the working directory and the folder of runs.

    Raises:
        UserError: a value is out of range, or two options exclude each other.
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
                raise UserError(f"{flag(name)} {value}: out of range; allowed at least 1")
        # Ray shares one GPU among tasks, but a task cannot have one and a half
        gpus = self.gpus_per_run or 0.0
        if not (gpus >= 0 and (gpus <= 1 or gpus % 1 == 0)):
            raise UserError(f"--gpus-per-run {self.gpus_per_run}: out of range; allowed 0 to 1, or a whole number")
        if self.name == "ray" and self.jobs_per_gpu is not None:
            raise UserError("--jobs-per-gpu is for this machine; with --engine ray, use --gpus-per-run, such as 0.25")
        for name in ("address", "cpus_per_run", "gpus_per_run", "shared"):
            # a dataclass keeps the defaults as class attributes; an option that is given with its default does no harm
            if self.name != "ray" and getattr(self, name) != getattr(ExecutorOptions, name):
                raise UserError(f"{flag(name)} is for a cluster; add --engine ray, or leave it out")


@dataclass(frozen=True)
class CpuExecutor:
    """Divides this machine's cores among its children."""

    slots: int

    def start(self, job: Job) -> Child:
        """Start the child with its share of the cores."""
        # a share, because children that use all cores each would wait for each other; --jobs may exceed the cores
        return child_process.launch(job.arguments, job.log, max(1, available_cores() // self.slots))


@dataclass
class GpuExecutor:
    """Divides this machine's GPUs among its children; each child sees one GPU.

    Attributes:
        gpus: as ``CUDA_VISIBLE_DEVICES`` names them.
        jobs_per_gpu: children at a time on each GPU.
    """

    gpus: list[str]
    jobs_per_gpu: int
    _children: list[tuple[str, Child]] = field(default_factory=list)

    @property
    def slots(self) -> int:
        """Slots of all GPUs together."""
        return len(self.gpus) * self.jobs_per_gpu

    def start(self, job: Job) -> Child:
        """Start the child on the GPU with the fewest children."""
        # the scheduler does not report which children have ended, and those occupy no GPU
        self._children = [(gpu, child) for gpu, child in self._children if child.poll() is None]
        busy = [gpu for gpu, _ in self._children]
        gpu = min(self.gpus, key=busy.count)
        threads = max(1, available_cores() // self.slots)
        child = child_process.launch(job.arguments, job.log, threads, {"CUDA_VISIBLE_DEVICES": gpu})
        self._children.append((gpu, child))
        return child


@contextmanager
def open_executor(options: ExecutorOptions, runs: Path, devices: set[str]) -> Iterator[Executor]:
    """Open the executor that the options name.

    Args:
        options: where the sweep runs.
        runs: folder of runs.
        devices: all values of ``--device`` among the runs.

    Raises:
        UserError: the cluster or the device does not exist.
    """
    if options.name == "ray":
        # Ray is an extra, and takes seconds to import
        from okdbench.sweep.ray_driver import RayDriver

        gpus_per_run = options.gpus_per_run
        if gpus_per_run is None and not devices & {"auto", "cuda"}:
            gpus_per_run = 0.0  # no run uses a GPU, so none is reserved
        with RayDriver(options.address, runs, options.shared, options.cpus_per_run, gpus_per_run) as driver:
            yield driver
    elif gpus := _visible_gpus(devices):
        # rounded up, so that all of --jobs fit; child_limit() takes off the rest
        yield GpuExecutor(gpus, options.jobs_per_gpu or -(-(options.jobs or 1) // len(gpus)))
    elif options.jobs_per_gpu:
        raise UserError("--jobs-per-gpu needs a GPU and there is none for these runs; use --jobs")
    else:
        yield CpuExecutor(options.jobs or max(1, available_cores() // 2))


def child_limit(options: ExecutorOptions, executor: Executor) -> int:
    """How many children may run at a time: the executor's slots, or ``--jobs`` if that is less."""
    return min(executor.slots, options.jobs or executor.slots)


def _visible_gpus(devices: set[str]) -> list[str]:
    """GPUs to divide among the runs, as ``CUDA_VISIBLE_DEVICES`` names them; none if a run names its own device."""
    # here, so that a mistake in the options is reported without waiting for torch
    import torch

    from okdbench.core.devices import choose

    # a device that is missing is one error now, and not one in every child
    for device in devices - {"auto"}:
        choose(device)
    if not devices <= {"auto", "cuda"}:
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    found = [str(index) for index in range(torch.cuda.device_count())]
    # children inherit the variable, so the names in it count and not the indices of this process
    return visible.split(",")[: len(found)] if visible else found


def available_cores() -> int:
    """The processor cores that this process may use."""
    # taskset or a cluster's scheduler may allow fewer cores than the machine has, and not every system tells
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
