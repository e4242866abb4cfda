"""What a record says of the machine and the code that made it."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow")


def environment(device: torch.device) -> dict[str, str]:
    """Versions, processor and device, as names and texts."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "system": f"{platform.system()} {platform.machine()}",
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": gpu or device.type,
    }


def commit() -> str:
    """The commit of the source tree, ``-dirty`` when it has uncommitted changes; empty outside a checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10", "--match", ""]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return result.stdout.strip()
