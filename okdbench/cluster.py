"""Children on the nodes of a Ray cluster; what they leave comes back as bytes, or lies on shared storage.

Ray places the work and notices what dies. Each run is still a child process of its own, as on one machine: it ends with
the worker that started it, and a run that is killed takes nothing else along.
"""

from __future__ import annotations

import hashlib
import importlib
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from okdbench import node, pool
from okdbench.errors import UserError
from okdbench.records import write_atomic

#: how long to look for the log of a run whose worker was killed
LOG_SECONDS = 10.0


class Cluster:
    """Starts jobs on the nodes of a Ray cluster; a context manager that leaves the cluster as it was."""

    def __init__(self, address: str, runs: Path, shared: bool, cpus: float, gpus: float) -> None:
        """Connect.

        Args:
            address: ``auto`` for the cluster that this machine belongs to, or ``HOST:PORT``.
            runs: where records and students go.
            shared: whether all nodes see ``runs`` under the same path.
            cpus, gpus: what one run takes; a share of a GPU is possible.

        Raises:
            UserError: Ray is not installed, or there is no such cluster.
        """
        self._ray = _import_ray()
        self._runs, self._shared, self._cpus, self._gpus = runs.absolute(), shared, cpus, gpus
        owner = f"{socket.gethostname()} {self._runs}"
        self._owner = hashlib.sha256(owner.encode()).hexdigest()[:12]
        self._inputs: dict[Path, Any] = {}
        try:
            self._ray.init(address=address, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise UserError(
                f"no Ray cluster at {address}; start one with ray start --head, or name its --address"
            ) from error

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    @property
    def places(self) -> int:
        """How many runs the cluster has room for.

        Raises:
            UserError: for none.
        """
        there = self._ray.cluster_resources()
        rooms = [int(there.get("CPU", 0) / self._cpus)] if self._cpus else []
        rooms += [int(there.get("GPU", 0) / self._gpus)] if self._gpus else []
        if not rooms or min(rooms) < 1:
            have = f"{there.get('CPU', 0):.0f} CPUs and {there.get('GPU', 0):.0f} GPUs"
            raise UserError(
                f"the cluster has {have}, too few for --cpus-per-run {self._cpus} --gpus-per-run {self._gpus}"
            )
        return min(rooms)

    def start(self, job: pool.Job) -> pool.Child:
        """Hand a job to Ray."""
        order = node.Order(
            words=_without_runs(job.words),
            folder=str(job.log.absolute().parent.relative_to(self._runs)),
            runs=str(self._runs) if self._shared else "",
            owner=self._owner,
            threads=max(1, int(self._cpus)),
            source=node.source(),
        )
        inputs = {} if self._shared else {str(p.absolute().relative_to(self._runs)): self._sent(p) for p in job.inputs}
        task = self._ray.remote(node.carry_out).options(num_cpus=self._cpus, num_gpus=self._gpus, max_retries=0)
        return Remote(self._ray, task.remote(order, list(inputs), *inputs.values()), order, self._runs)

    def _sent(self, file: Path) -> Any:
        """The file's bytes in the cluster's store, put there once."""
        if file not in self._inputs:
            self._inputs[file] = self._ray.put(file.read_bytes())
        return self._inputs[file]


class Remote:
    """A child on some node, as the pool sees one."""

    def __init__(self, ray: Any, task: Any, order: node.Order, runs: Path) -> None:
        self._ray, self._task, self._order, self._folder = ray, task, order, runs / order.folder
        self._code: int | None = None
        #: whether it ended because its node went away, which is no fault of the run
        self.lost = False

    def poll(self) -> int | None:
        """The exit code once it has ended and its files are here; -9 when its worker was killed."""
        if self._code is None and self._ray.wait([self._task], timeout=0)[0]:
            self._code = self._collect()
        return self._code

    def send_signal(self, number: int) -> None:  # noqa: ARG002 - a cancelled task interrupts its child
        """Ask the child to save its state and end."""
        self._ray.cancel(self._task)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code.

        Raises:
            subprocess.TimeoutExpired: it has not ended after ``timeout`` seconds.
        """
        ready, _ = self._ray.wait([self._task], timeout=timeout)
        code = self.poll() if ready else None
        if code is None:
            raise subprocess.TimeoutExpired(self._order.folder, timeout or 0)
        return code

    def kill(self) -> None:
        """End its worker, and the child with it."""
        if self._code is None:
            self._ray.cancel(self._task, force=True)

    def _collect(self) -> int:
        errors = self._ray.exceptions
        try:
            ended = self._ray.get(self._task)
        except errors.TaskCancelledError:
            return -2
        except (errors.NodeDiedError, errors.LocalRayletDiedError):
            self.lost = True
            return -9
        except errors.RayTaskError as error:  # what the node refused
            self._note(f"{error.cause}\n".encode())
            return 1
        except errors.RayError:  # the worker was killed, perhaps for want of memory
            self._fetch_log()
            return -9
        for name in node.OUTPUTS:  # these names alone, whatever the node says
            if name in ended.files:
                write_atomic(self._folder / name, ended.files[name])
        return int(ended.code)

    def _fetch_log(self) -> None:
        """Look for the log on the nodes that are left."""
        if self._order.runs:
            return
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy as On

        task = self._ray.remote(node.read_log).options(num_cpus=0)
        alive = [found["NodeID"] for found in self._ray.nodes() if found["Alive"]]
        logs = [task.options(scheduling_strategy=On(name, soft=False)).remote(self._order) for name in alive]
        for log in self._ray.wait(logs, num_returns=len(logs), timeout=LOG_SECONDS)[0]:
            try:
                content = self._ray.get(log)
            except self._ray.exceptions.RayError:
                continue
            if content:
                write_atomic(self._folder / "log.txt", content)

    def _note(self, line: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log.txt").open("ab") as log:
            log.write(line)


def _without_runs(words: Sequence[str]) -> tuple[str, ...]:
    at = list(words).index("--runs")
    return (*words[:at], *words[at + 2 :])


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ImportError as error:
        raise UserError("Ray is not installed; pip install 'okdbench[ray]'") from error
