"""A Ray cluster on this machine's loopback interface: a head node and one more, each with one core for runs."""

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

# read when Ray is imported: on loopback as on a laptop, quiet, and with patience for a busy machine
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


def _patient(get_node: Callable[..., Any]) -> Callable[..., Any]:
    """Ray gives a node half a minute to start, which is not enough when the cores are busy."""

    def wait(*words: Any) -> Any:
        until = time.monotonic() + SECONDS
        while True:
            try:
                return get_node(*words)
            except RuntimeError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.2)

    return wait


def _at_once(start: Callable[..., Any]) -> Callable[..., Any]:
    """A node gives its helpers 15 seconds to tell their ports; ours are known, so it need not wait for them."""

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
    """All processes."""
    return [int(process.name) for process in Path("/proc").glob("[0-9]*")]


def parent(pid: int) -> int:
    """The process that started this one; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return 0


class Nodes:
    """The cluster; ``second`` is the node that may be killed."""

    def __init__(self) -> None:
        self._cluster = ray.cluster_utils.RayDriver(initialize_head=True, head_node_args=_node())
        self.address = str(self._cluster.address)
        self.add_second()

    def add_second(self) -> None:
        self.second = self._cluster.add_node(**_node())

    @property
    def second_pid(self) -> int:
        """Of the process that starts the second node's workers."""
        return int(self.second.all_processes["raylet"][0].process.pid)

    def kill_second(self) -> None:
        """Kill every process of the node, as a power cut would."""
        workers = [pid for pid in pids() if parent(pid) == self.second_pid]
        for pid in (self.second_pid, *workers):
            os.kill(pid, signal.SIGKILL)
        self._cluster.remove_node(self.second, allow_graceful=False)

    def shutdown(self) -> None:
        self._cluster.shutdown()


@contextmanager
def started() -> Iterator[Nodes]:
    """The cluster, without a dashboard."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(services, "get_node", _patient(services.get_node))
        patch.setattr(services, "start_raylet", _at_once(services.start_raylet))
        patch.setattr(services, "start_api_server", lambda *_words, **_named: (None, None))
        nodes = Nodes()
        try:
            yield nodes
        finally:
            nodes.shutdown()
