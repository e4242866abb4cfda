"""The device of a run: choice, precision, threads and memory."""

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
    """The device called ``name``; ``auto`` is the first GPU, or the CPU if there is none.

    Raises:
        UserError: this machine has no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        # the name may be valid and the device still missing, which only its use shows
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError) as error:
        raise UserError(f"device {name!r} cannot be used here; try --device cpu") from error
    if device.type == "cuda":
        # benchmark mode may choose another convolution algorithm in the next run, with other rounding
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False
    # float32 means float32: by default, cuDNN rounds its inputs to the ten bits of TF32
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    return device


def autocast(device: torch.device, precision: str) -> Callable[[], AbstractContextManager[Any]]:
    """A factory of contexts for the steps of a run; with precision bfloat16 alone they change forward passes."""
    # The cache would keep copies of the weights until the context ends, and a step updates weights and uses them again.
    return lambda: torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """Compute with ``number`` CPU threads; 0 leaves the number as it is.

    The order of a sum, and so its last bits, depends on the number of threads.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(number or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def fits(size: int, device: torch.device) -> bool:
    """Whether ``size`` bytes are at most half of a GPU's free memory, or a quarter of the main memory."""
    # a share only, because networks, activations and other runs of a sweep need memory as well
    if device.type == "cuda":
        return size <= torch.cuda.mem_get_info(device)[0] / 2
    return size <= _main_memory() / 4


def _main_memory() -> int:
    """Bytes of main memory that this process may use."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    # limits of a container, in version 2 and version 1 of control groups
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # there is no such file, or it says "max"
            limits.append(int(Path(file).read_text()))
    return min(limits)


def forget_peak_memory(device: torch.device) -> None:
    """Restart the measurement of :func:`peak_memory_mb`; on the CPU this needs Linux."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # 5 resets VmHWM, see proc(5)


def peak_memory_mb(device: torch.device) -> float:
    """Peak memory since :func:`forget_peak_memory` in MiB: of torch's allocator on a GPU, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    with suppress(OSError):
        found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
        if found:
            return int(found[1]) / 2**10
    # other systems: the peak since the process started
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
