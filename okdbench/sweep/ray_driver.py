"""Starts the jobs of a sweep as tasks on a Ray cluster.

Ray places the tasks and detects dead workers and nodes. In a task, each run is a child process of its own, as on one
machine: it ends with the worker that started it, and a killed run does not affect others. Ray retries nothing; the
scheduler does.
"""

from __future__ import annotations

import os
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from okdbench.core.errors import UserError
from okdbench.core.locks import Lock
from okdbench.sweep.ray_handle import RayHandle
from okdbench.sweep.ray_nodes import RayNodes, connect
from okdbench.sweep.ray_worker import WorkerTask, run_task, source_digest
from okdbench.sweep.scheduler import Child, Job

#: how many teachers are kept in the cluster's object store
CACHED_TEACHERS = 8
#: folder of runs below the temporary folder of a task, when storage is not shared
TASK_RUNS = "runs"


class RayDriver:
    """An executor that submits jobs to a Ray cluster; a context manager that disconnects at the end."""

    def __init__(self, address: str, runs: Path, shared: bool, cpus: int, gpus: float | None) -> None:
        """Connect to the cluster and check its nodes.

        Args:
            address: ``auto`` for the cluster of this machine, or ``HOST:PORT``.
            runs: folder of runs.
            shared: whether all nodes see the current folder and ``runs`` under the same paths.
            cpus: cores that one run reserves.
            gpus: GPUs, or a share of one, that one run reserves; None for one if any node has one.

        Raises:
            UserError: Ray is not installed, there is no such cluster, no node has the resources of a run, or a node
                has another okdbench.
        """
        self._runs, self._shared = runs.absolute(), shared
        self._source = source_digest()
        self._ray = connect(address)
        try:
            self._nodes = RayNodes(self._ray, cpus, gpus)
            self._nodes.check()
        # no __exit__ follows when __init__ raises
        except UserError:
            self._ray.shutdown()
            raise
        # a streaming generator sends its log while it runs
        options = {"num_cpus": cpus, "num_gpus": self._nodes.gpus, "num_returns": "streaming", "max_retries": 0}
        self._task = self._ray.remote(run_task).options(**options)
        # Runs of one teacher follow each other, so few teachers are in use at a time; all might fill the nodes' memory.
        self._put = lru_cache(CACHED_TEACHERS)(lambda file: self._ray.put(file.read_bytes()))

    def __enter__(self) -> RayDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def slots(self) -> int:
        """How many runs fit on the cluster now; one if all nodes are lost, because Ray queues it for a new node."""
        return max(1, self._nodes.slots)

    def start(self, job: Job) -> Child:
        """Submit a job; the handle starts the Ray task when it is polled for the first time."""
        folder = job.log.absolute().parent
        lock = None if self._shared else Lock(folder / "lock")
        return RayHandle(self._ray, job, partial(self._submit, job, folder), lock)

    def _submit(self, job: Job, folder: Path) -> Any:
        """Start the Ray task and return the generator of its messages."""
        below_task = TASK_RUNS / folder.relative_to(self._runs)
        task = WorkerTask(
            # the last --runs counts
            arguments=(*job.arguments, *(() if self._shared else ("--runs", TASK_RUNS))),
            working_folder=os.getcwd() if self._shared else "",
            folder=str(folder if self._shared else below_task),
            threads=self._nodes.cpus,
            source=self._source,
        )
        # without a file the child trains the teacher itself, or names what is missing
        files = [] if self._shared else [file for file in job.inputs if file.exists()]
        return self._task.remote(task, [self._path_in_task(file) for file in files], *map(self._put, files))

    def _path_in_task(self, file: Path) -> str:
        """The path of an input file relative to the working folder of the task."""
        return str(TASK_RUNS / file.relative_to(self._runs) if file.is_absolute() else file)
