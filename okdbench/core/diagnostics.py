"""Checks of the machine: does it compute, can the folders be written, is there room on the disk?"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch

from okdbench.core import devices
from okdbench.core.environment import environment
from okdbench.core.errors import UserError

ENOUGH_GB = 2.0


class Diagnosis(NamedTuple):
    """One check; ``problem`` says what is wrong and how to fix it, and is empty when nothing is."""

    check: str
    problem: str


def describe_machine() -> dict[str, str]:
    """Versions, processor and device, as names and texts."""
    return environment(devices.choose("auto"))


def diagnose(runs: Path, data_root: Path) -> Iterator[Diagnosis]:
    """The result of each check, as soon as it is known."""
    yield _diagnosis("a convolution and its gradient", _convolve)
    for folder in (runs, data_root):
        yield _diagnosis(f"{folder} can be written", partial(_write, folder))
        yield _diagnosis(f"{folder} has {ENOUGH_GB:.0f} GB free", partial(_find_space, folder))


def _diagnosis(name: str, check: Callable[[], None]) -> Diagnosis:
    try:
        check()
    except (UserError, OSError, RuntimeError) as error:
        # RuntimeError is torch's, for a driver or library that fails. The other checks still follow.
        return Diagnosis(name, str(error))
    return Diagnosis(name, "")


def _convolve() -> None:
    # A broken driver or library often shows only in the backward pass.
    device = devices.choose("auto")
    layer = torch.nn.Conv2d(3, 4, 3).to(device)
    layer(torch.rand(2, 3, 8, 8, device=device)).sum().backward()


def _existing(folder: Path) -> Path:
    """The folder, or the nearest above it that exists."""
    # The folder need not exist yet, and a check of the machine creates none.
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def _write(folder: Path) -> None:
    if not _existing(folder).is_dir() or not os.access(_existing(folder), os.W_OK):
        raise UserError(f"no permission in {_existing(folder)}; choose another folder with --runs or --data-root")
    # The permission bits are not everything: a file system may be mounted read-only.
    with tempfile.TemporaryFile(dir=_existing(folder)):
        pass


def _find_space(folder: Path) -> None:
    free = shutil.disk_usage(_existing(folder)).free / 1e9
    if free < ENOUGH_GB:
        raise UserError(f"only {free:.1f} GB; free some, or choose another folder with --runs or --data-root")
