"""Children on the nodes of a Ray cluster; what they leave comes back as bytes, or lies on shared storage.

Ray places the work and notices what dies. Each run is still a child process of its own, as on one machine: it ends with
the worker that started it, and a run that is killed takes nothing else along. Ray tries nothing again; the pool does.
"""

from __future__ import annotations

import importlib
import logging
import os
import socket
from pathlib import Path
from typing import Any

from okdbench import node, pool
from okdbench.errors import UserError, one_line
from okdbench.remote import Remote

#: Ray itself would look for a cluster at an address for minutes
CONNECT_SECONDS = 10.0
#: the folder of runs where a child has a folder of its own
RUNS = "runs"


class Cluster:
    """Starts jobs on the nodes of a Ray cluster; a context manager that leaves the cluster as it was."""

    def __init__(self, address: str, runs: Path, shared: bool, cpus: int, gpus: float) -> None:
        """Connect.

        Args:
            address: ``auto`` for the cluster that this machine belongs to, or ``HOST:PORT``.
            runs: where records and students go.
            shared: whether all nodes see this folder and ``runs`` under the same paths.
            cpus, gpus: what one run takes; a share of a GPU is possible.

        Raises:
            UserError: Ray is not installed, there is no such cluster, or it has no room for a run.
        """
        self._runs, self._shared, self._cpus, self._gpus = runs.absolute(), shared, cpus, gpus
        self._inputs: dict[Path, Any] = {}
        self._ray = _connect(address)
        needs = {"num_cpus": cpus, "num_gpus": gpus}
        self._task = self._ray.remote(node.carry_out).options(**needs, num_returns="streaming", max_retries=0)
        if not self._room():
            self._ray.shutdown()
            raise UserError(f"no node has room for --cpus-per-run {cpus} --gpus-per-run {gpus}; ask for less")

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def places(self) -> int:
        """How many runs the cluster has room for just now; one when all nodes are gone, for there may be new ones."""
        return max(1, self._room())

    def _room(self) -> int:
        alive = [found["Resources"] for found in self._ray.nodes() if found["Alive"]]
        needs = [(kind, need) for kind, need in (("CPU", self._cpus), ("GPU", self._gpus)) if need]
        return sum(min(int(has.get(kind, 0) / need) for kind, need in needs) for has in alive)

    def start(self, job: pool.Job) -> pool.Child:
        """Hand a job to Ray."""
        folder = job.log.absolute().parent
        own = RUNS / folder.relative_to(self._runs)
        order = node.Order(
            words=(*job.words, *(() if self._shared else ("--runs", RUNS))),  # the later --runs counts
            place=os.getcwd() if self._shared else "",
            folder=str(folder if self._shared else own),
            threads=self._cpus,
            source=node.source(),
        )
        inputs = {} if self._shared else {self._name(file): self._sent(file) for file in job.inputs}
        return Remote(self._ray, self._task.remote(order, list(inputs), *inputs.values()), folder)

    def _name(self, file: Path) -> str:
        """Where the child finds the file, from the folder where it is started."""
        absolute = file.absolute()
        return str(RUNS / absolute.relative_to(self._runs) if absolute.is_relative_to(self._runs) else file)

    def _sent(self, file: Path) -> Any:
        """The file's bytes in the cluster's store, put there once."""
        if file not in self._inputs:
            self._inputs[file] = self._ray.put(file.read_bytes())
        return self._inputs[file]


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
        raise UserError(
            f"no Ray cluster at {address} ({one_line(error)}); start one with ray start --head, or name its --address"
        ) from error
    return ray
