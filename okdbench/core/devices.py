"""Where the tensors live, how precisely they are computed and how much memory that took."""

from __future__ import annotations

import os
import re
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from okdbench.core.errors import UserError


def choose(name: str) -> torch.device:
    """The device called ``name``; ``auto`` is the first GPU, or the CPU without one.

    Raises:
        UserError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here; try --device cpu") from error
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    return device


def autocast(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """A factory of contexts in which forwards run in ``precision`` (``float32`` or ``bfloat16``)."""
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with ``number`` threads on the CPU, for the last bits of a sum depend on it; 0 changes nothing."""
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fits(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes take at most half of what is free on a GPU, or a quarter of the main memory."""
    if device.type == "cuda":
        return size <= torch.cuda.mem_get_info(device)[0] / 2
    return size <= _main_memory() / 4


def _main_memory() -> int:
    """Bytes that the machine has, or that its container may use."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # absent, or the word max
            limits.append(int(Path(file).read_text()))
    return min(limits)


def forget_peak_memory(device: torch.device) -> None:
    """Let :func:`peak_memory_mb` count from here; on the CPU that takes Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")


def peak_memory_mb(device: torch.device) -> float:
    """Most memory held since :func:`forget_peak_memory`, in MiB: the allocator's on a GPU, else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
