"""A run's state on disk: plain types only, written atomically, read without executing code."""

from __future__ import annotations

import io
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from okdbench.core.files import write_atomic

#: what the file is called, in the folder of a run or teacher
CHECKPOINT = "checkpoint.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` by ``state``: tensors, numbers, strings and containers of them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """The state at ``path``, on the CPU, or None when there is none that can be read; then the run starts over."""
    for leftover in path.parent.glob("*.tmp"):
        leftover.unlink()  # of a process that was killed while it wrote; the folder's lock is ours
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a file that is cut off or overwritten fails in many ways, an OSError among them
        warnings.warn(f"{path} cannot be read ({type(error).__name__}); the run starts over", stacklevel=2)
        return None
    return state


def random_state(rng: torch.Generator) -> dict[str, Any]:
    """The state of every random generator that a step may draw from."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "run": rng.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
    }


def restore_random_state(state: dict[str, Any], rng: torch.Generator) -> None:
    """Put every generator where :func:`random_state` found it."""
    rng.set_state(state["run"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
