"""Connects to a Ray cluster, counts the slots of its nodes and checks that they have the same okdbench."""

from __future__ import annotations

import importlib
import logging
import os
import socket
from typing import Any

import okdbench
from okdbench.core.errors import UserError, one_line
from okdbench.sweep.ray_worker import source_digest

#: Ray itself searches for a cluster at an address for minutes
CONNECT_SECONDS = 10.0
#: a node may have to start a worker process before it answers
ANSWER_SECONDS = 120.0


def connect(address: str) -> Any:
    """Connect to a cluster and return the module ``ray``.

    Args:
        address: ``auto`` for the cluster of this machine, or ``HOST:PORT``.

    Raises:
        UserError: Ray is not installed, or there is no such cluster.
    """
    # Ray would print messages of its daemons into the live table; what matters is in the logs of the runs
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


class RayNodes:
    """The living nodes of a cluster, and how many runs fit on them."""

    def __init__(self, ray: Any, cpus: int, gpus: float | None) -> None:
        """Fix what one run reserves.

        Args:
            ray: the connected module.
            cpus: cores of one run.
            gpus: GPUs, or a share of one; None for one GPU if any node has one, else none.
        """
        self._ray = ray
        self.cpus = cpus
        self.gpus = float(self._any_has("GPU")) if gpus is None else gpus

    @property
    def slots(self) -> int:
        """How many runs fit on all living nodes."""
        return sum(map(self._slots_of, self._alive()))

    def check(self) -> None:
        """Check that runs fit and that all nodes run the same source, before a wrong node makes runs fail.

        Raises:
            UserError: no node has enough resources for a run, or a node has another okdbench or does not answer.
        """
        self._compare_sources()
        if not self.slots:
            needs = f"--cpus-per-run {self.cpus} --gpus-per-run {self.gpus:g}"
            raise UserError(f"no node has the resources of a run, {needs}; request less")

    def _compare_sources(self) -> None:
        """Run a small task on each node that has slots; all tasks run at the same time."""
        affinity = importlib.import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        task = self._ray.remote(source_digest)
        answers = []
        for node in self._alive():
            # a node without slots, such as a pure head, runs nothing, so its source does not matter
            if self._slots_of(node):
                # without a core, so that a busy node answers; not soft, so that no other node answers in its place
                pinned = task.options(num_cpus=0, scheduling_strategy=affinity(node["NodeID"], soft=False))
                answers.append((node["NodeManagerAddress"], pinned.remote()))
        expected = source_digest()
        for address, answer in answers:
            try:
                same = self._ray.get(answer, timeout=ANSWER_SECONDS) == expected
            except self._ray.exceptions.RayError:
                same = False
            if not same:
                what = f"has another okdbench than this one ({okdbench.__version__}), or none, or does not answer"
                raise UserError(f"node {address} {what}; install this version there, or remove it from the cluster")

    def _slots_of(self, node: dict[str, Any]) -> int:
        # a need of 0 limits nothing; a run needs at least one core, so the list is never empty
        needs = [(kind, need) for kind, need in (("CPU", self.cpus), ("GPU", self.gpus)) if need]
        return min(int(node["Resources"].get(kind, 0) / need) for kind, need in needs)

    def _any_has(self, kind: str) -> bool:
        return any(node["Resources"].get(kind) for node in self._alive())

    def _alive(self) -> list[dict[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]
