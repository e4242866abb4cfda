"""A Ray cluster on the loopback interface of this machine: a head node and a second node with one core each."""

from __future__ import annotations

import inspect
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

# read when Ray is imported: a local cluster, no statistics, and long timeouts because the machine may be busy
os.environ |= {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_agent_register_timeout_ms": "300000",
    "RAY_worker_register_timeout_seconds": "300",
    "RAY_worker_niceness": "0",
    "RAY_health_check_timeout_ms": "60000",
}

import ray.cluster_utils
from ray._private import services

SECONDS = 240
ADDRESS = "127.0.0.1"
PORTS = ("metrics_agent_port", "dashboard_agent_listen_port", "runtime_env_agent_port", "metrics_export_port")


def _with_long_timeout(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Extend the 30 seconds in which Ray expects a node to start, which are too few when the cores are busy."""

    def wait(*words: Any) -> Any:
        deadline = time.monotonic() + SECONDS
        while True:
            try:
                return get_node(*words)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    return wait


def _with_known_ports(start: Callable[..., Any]) -> Callable[..., Any]:
    """Write the ports of a node's helpers in advance, because Ray waits only 15 seconds for them to report."""

    def begin(*words: Any, **named: Any) -> Any:
        given = inspect.signature(start).bind(*words, **named).arguments
        for name in PORTS:
            Path(given["session_dir"], f"{name}_{given['node_id']}").write_text(str(given[name]))
        return start(*words, **named)

    return begin


def _node() -> dict[str, Any]:
    fixed = {"num_cpus": 1, "node_ip_address": ADDRESS, "include_dashboard": False, "object_store_memory": 100 * 2**20}
    return {**fixed, **{name: _free_port() for name in PORTS}}


def _free_port() -> int:
    with closing(socket.socket()) as made:
        made.bind((ADDRESS, 0))
        return int(made.getsockname()[1])


def pids() -> list[int]:
    """The ids of all processes."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def parent(pid: int) -> int:
    """The id of the process that started this one; 0 if this one has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Nodes:
    """The cluster; ``second`` is the node that a test may kill."""

    def __init__(self) -> None:
        self._cluster = ray.cluster_utils.Cluster(initialize_head=True, head_node_args=_node())
        self.address = str(self._cluster.address)
        self.add_second()

    def add_second(self) -> None:
        """Start the second node, for the first time or again."""
        self.second = self._cluster.add_node(**_node())

    @property
    def second_pid(self) -> int:
        """Id of the process that starts the workers of the second node."""
        return int(self.second.all_processes["raylet"][0].process.pid)

    def kill_second(self) -> None:
        """Kill every process of the node at once, like a power failure."""
        workers = [pid for pid in pids() if parent(pid) == self.second_pid]
        for pid in (self.second_pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(self.second, allow_graceful=False)

    def shutdown(self) -> None:
        """Stop all nodes."""
        self._cluster.shutdown()


@contextmanager
def started() -> Iterator[Nodes]:
    """The cluster, without a dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", _with_long_timeout(services.get_node))
        patch.setattr(services, "start_raylet", _with_known_ports(services.start_raylet))
        patch.setattr(services, "start_api_server", lambda *_words, **_named: (None, None))
        nodes = Nodes()
        try:
            yield nodes
        finally:
            nodes.shutdown()
