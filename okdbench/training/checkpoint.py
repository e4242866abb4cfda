"""The state of a run on disk: plain types only, written atomically, read without executing code."""

from __future__ import annotations

import io
import random
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from okdbench.core.files import write_atomic

#: name of the file in the folder of a run or a teacher
CHECKPOINT = "checkpoint.pt"


def save(path: Path, state: dict[str, Any]) -> None:
    """Replace the checkpoint at ``path`` by ``state``: tensors, numbers, strings and containers of them."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    write_atomic(path, buffer.getvalue())


def load(path: Path) -> dict[str, Any] | None:
    """The state at ``path``, on the CPU; None when there is none that can be read, and the run then starts over."""
    # Left behind by a process that was killed while it wrote. The folder is locked, so no other process writes here.
    for leftover in path.parent.glob("*.tmp"):
        leftover.unlink()
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        state: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except Exception as error:  # a truncated or overwritten file fails in many ways, an OSError among them
        warnings.warn(f"{path} cannot be read ({type(error).__name__}); the run starts over", stacklevel=2)
        return None
    return state


def on_device(state: Any, device: torch.device) -> Any:
    """A part of a state with its tensors on the device: what no network holds would stay where it was read."""
    if isinstance(state, torch.Tensor):
        return state.to(device)
    if isinstance(state, dict):
        return {name: on_device(part, device) for name, part in state.items()}
    return [on_device(part, device) for part in state] if isinstance(state, list) else state


def random_state(rng: torch.Generator) -> dict[str, Any]:
    """The state of every random generator that a step may draw from."""
    kind, keys, *rest = np.random.get_state(legacy=True)
    return {
        "run": rng.get_state(),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": random.getstate(),
        # a list, because a checkpoint is read with ``weights_only``, which refuses arrays
        "numpy": [kind, np.asarray(keys).tolist(), *rest],
    }


def restore_random_state(state: dict[str, Any], rng: torch.Generator) -> None:
    """Restore every generator to the state that :func:`random_state` returned."""
    rng.set_state(state["run"])
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    random.setstate(state["python"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
