"""What ``okdbench doctor`` checks, each with its cure."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from okdbench.core import devices as devices
from okdbench.core import environment as machine
from okdbench.core.errors import UserError
from okdbench.core.files import default_data_root

ENOUGH_GB = 2.0


def examine(runs: Path, data_root: Path | None) -> bool:
    """Print one line per check; False when one of them found something to mend."""
    device = devices.choose("auto")
    for name, value in machine.environment(device).items():
        print(f"   {name}: {value}")
    checks = _checks(runs, data_root or default_data_root(), device)
    reports = [_report(name, check) for name, check in checks]
    return all(reports)


def _checks(runs: Path, data_root: Path, device: torch.device) -> Iterator[tuple[str, Callable[[], None]]]:
    yield "a convolution and its gradient", lambda: _convolve(device)
    for folder in (runs, data_root):
        yield f"{folder} can be written", partial(_write, folder)
        yield f"{folder} has {ENOUGH_GB:.0f} GB free", partial(_room, folder)


def _report(name: str, check: Callable[[], None]) -> bool:
    try:
        check()
    except (UserError, OSError, RuntimeError) as error:
        print(f"bad {name}: {error}")
        return False
    print(f"ok {name}")
    return True


def _convolve(device: torch.device) -> None:
    layer = torch.nn.Conv2d(3, 4, 3).to(device)
    layer(torch.rand(2, 3, 8, 8, device=device)).sum().backward()


def _existing(folder: Path) -> Path:
    return next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())


def _write(folder: Path) -> None:
    if not _existing(folder).is_dir() or not os.access(_existing(folder), os.W_OK):
        raise UserError(f"no permission in {_existing(folder)}; choose another folder with --runs or --data-root")
    with tempfile.TemporaryFile(dir=_existing(folder)):
        pass


def _room(folder: Path) -> None:
    free = shutil.disk_usage(_existing(folder)).free / 1e9
    if free < ENOUGH_GB:
        raise UserError(f"only {free:.1f} GB; free some, or choose another folder with --runs or --data-root")
