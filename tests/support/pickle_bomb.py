"""An object that runs code when it is unpickled."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor, nn


class Bomb:
    """Creates the file ``target`` when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self.target}",)


class ScriptBomb(nn.Module):
    """A network in TorchScript that creates the file ``target`` when it is loaded."""

    def __init__(self, target: Path) -> None:
        super().__init__()
        self.target = str(target)

    @torch.jit.export
    def __getstate__(self) -> tuple[str, bool]:
        """What is pickled: the target, and whether it is in training."""
        return self.target, self.training

    @torch.jit.export
    def __setstate__(self, state: tuple[str, bool]) -> None:
        self.target, self.training = state
        torch.save(torch.zeros(1), state[0])

    def forward(self, images: Tensor) -> Tensor:
        """The images."""
        return images


class Inner:
    """An object that is pickled as a tensor is: by a call that reads other bytes."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def __reduce__(self) -> tuple[object, tuple[bytes]]:
        return torch.storage._load_from_bytes, (self.content,)  # type: ignore[attr-defined]
