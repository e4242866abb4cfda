"""Children on the nodes of a Ray cluster; what they leave comes back as bytes, or lies on shared storage.

Ray places the work and notices what dies. Each run is still a child process of its own, as on one machine: it ends with
the worker that started it, and a run that is killed takes nothing else along. Ray tries nothing again; the pool does.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from filelock import FileLock

import okdbench
from okdbench.core.errors import UserError, one_line
from okdbench.sweep import ray_worker as node
from okdbench.sweep import scheduler as pool
from okdbench.sweep.ray_handle import RayHandle

#: Ray itself would look for a cluster at an address for minutes
CONNECT_SECONDS = 10.0
#: a node may have to start a worker before it answers
ASK_SECONDS = 120.0
#: how many teachers' bytes are kept in the cluster's store
KEPT = 8
#: the folder of runs where a child has a folder of its own
RUNS = "runs"


class RayDriver:
    """Starts jobs on the nodes of a Ray cluster; a context manager that leaves the cluster as it was."""

    def __init__(self, address: str, runs: Path, shared: bool, cpus: int, gpus: float | None) -> None:
        """Connect.

        Args:
            address: ``auto`` for the cluster that this machine belongs to, or ``HOST:PORT``.
            runs: where records and students go.
            shared: whether all nodes see this folder and ``runs`` under the same paths.
            cpus, gpus: what one run takes; a share of a GPU is possible, None is one if any node has one.

        Raises:
            UserError: Ray is not installed, there is no such cluster, it has no room for a run, or a node has another
                okdbench.
        """
        self._runs, self._shared, self._cpus = runs.absolute(), shared, cpus
        self._source = node.source()
        self._ray = _connect(address)
        try:
            self._gpus = float(self._has("GPU")) if gpus is None else gpus
            self._compare_nodes()
            if not self._room():
                what = f"--cpus-per-run {cpus} --gpus-per-run {self._gpus:g}"
                raise UserError(f"no node has room for {what}; ask for less")
        except UserError:
            self._ray.shutdown()
            raise
        needs = {"num_cpus": cpus, "num_gpus": self._gpus}
        self._task = self._ray.remote(node.carry_out).options(**needs, num_returns="streaming", max_retries=0)
        #: of the last teachers only, for all together may fill the nodes' memory; one after the other is in use
        self._sent = lru_cache(KEPT)(lambda file: self._ray.put(file.read_bytes()))

    def __enter__(self) -> RayDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def places(self) -> int:
        """How many runs the cluster has room for just now; one when all nodes are gone, for there may be new ones."""
        return max(1, self._room())

    def _room(self) -> int:
        return sum(map(self._places_on, self._alive()))

    def _places_on(self, found: dict[str, Any]) -> int:
        needs = [(kind, need) for kind, need in (("CPU", self._cpus), ("GPU", self._gpus)) if need]
        return min(int(found["Resources"].get(kind, 0) / need) for kind, need in needs)

    def _has(self, kind: str) -> bool:
        return any(found["Resources"].get(kind) for found in self._alive())

    def _alive(self) -> list[dict[str, Any]]:
        return [found for found in self._ray.nodes() if found["Alive"]]

    def _compare_nodes(self) -> None:
        """Ask each node that a run may get to for its okdbench, before a wrong one spoils the grid."""
        on = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        ask = self._ray.remote(node.source).options
        nodes = [found for found in self._alive() if self._places_on(found)]
        there = [(found["NodeManagerAddress"], on(found["NodeID"], soft=False)) for found in nodes]
        asked = [(name, ask(num_cpus=0, scheduling_strategy=place).remote()) for name, place in there]
        for name, answer in asked:
            try:
                same = self._ray.get(answer, timeout=ASK_SECONDS) == self._source
            except self._ray.exceptions.RayError:
                same = False
            if not same:
                what = f"has another okdbench than this one ({okdbench.__version__}), or none, or does not answer"
                raise UserError(f"node {name} {what}; install this one there, or take it out of the cluster")

    def start(self, job: pool.Job) -> pool.Child:
        """Hand a job to Ray."""
        folder = job.log.absolute().parent
        lock = None if self._shared else FileLock(folder / "lock")
        return RayHandle(self._ray, job, partial(self._submit, job, folder), lock)

    def _submit(self, job: pool.Job, folder: Path) -> Any:
        own = RUNS / folder.relative_to(self._runs)
        order = node.WorkerTask(
            words=(*job.words, *(() if self._shared else ("--runs", RUNS))),  # the later --runs counts
            place=os.getcwd() if self._shared else "",
            folder=str(folder if self._shared else own),
            threads=self._cpus,
            source=self._source,
        )
        here = [] if self._shared else [file for file in job.inputs if file.exists()]
        return self._task.remote(order, [self._name(file) for file in here], *map(self._sent, here))

    def _name(self, file: Path) -> str:
        """Where the child finds the file, from the folder where it is started."""
        return str(RUNS / file.relative_to(self._runs) if file.is_absolute() else file)


def _connect(address: str) -> Any:
    # Ray's daemons would speak on our standard output, which is for the table; what matters is in the runs' logs
    os.environ.setdefault("RAY_DEDUP_LOGS_SKIP_REGEX", ".*")
    try:
        ray = importlib.import_module("ray")
    except ImportError as error:
        raise UserError("Ray is not installed; pip install 'okdbench[ray]'") from error
    try:
        if address != "auto":
            host, _, port = address.rpartition(":")
            socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        where = "here" if address == "auto" else f"at {address} ({one_line(error)})"
        raise UserError(
            f"there is no Ray cluster {where}; start one with ray start --head, or name its --address"
        ) from error
    return ray
