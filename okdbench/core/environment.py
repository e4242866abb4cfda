"""The part of a record that describes the machine and the software of a run.

Nothing here is part of a key: the same run on another machine has the same key. What code a result depends on is in
the key; see :mod:`okdbench.core.code_digest`.
"""

from __future__ import annotations

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

import torch

#: libraries whose version may change a result
LIBRARIES = ("torch", "torchvision", "timm", "numpy", "pillow")


def environment(device: torch.device) -> dict[str, str]:
    """Versions, processor and device: name -> text."""
    gpu = torch.cuda.get_device_name(device) if device.type == "cuda" else ""
    return {
        "python": platform.python_version(),
        **{library: version(library) for library in LIBRARIES},
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        # processors of one name may have others, and then other last bits
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": str(os.cpu_count()),
        "threads": str(torch.get_num_threads()),
        "device": gpu or device.type,
        "tf32": "on" if torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32 else "off",
    }


@cache
def processor() -> str:
    """The model of the processor, on which the last bits of sums depend; its kind where nothing more is known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def commit() -> str:
    """The commit of the source tree, with ``-dirty`` if it has uncommitted changes; empty outside a git checkout."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    # --match "" excludes all tags, so the text is always an abbreviated commit
    words = ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=10", "--match", ""]
    result = subprocess.run(words, capture_output=True, text=True, check=False)
    return result.stdout.strip()
