"""What is trained, and how it is updated: modules with their optimisers, schedules and snapshots."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from okdbench.meter import Meter

Schedule = Callable[[int], float]


def adam(
    module: nn.Module, lr: float, *, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
) -> Optimizer:
    """Adam over all parameters of ``module`` in the fused form, which spares one pass over memory per operation."""
    return torch.optim.Adam(module.parameters(), lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def cosine(steps: int) -> Schedule:
    """Half a cosine from 1 at update 0 to 0 at update ``steps`` and after.

    >>> [round(cosine(4)(step), 3) for step in (0, 2, 4, 9)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))


class Learner:
    """A module, the optimiser that moves it and the schedule of its learning rate."""

    def __init__(self, module: nn.Module, optimizer: Optimizer, schedule: Schedule | None, meter: Meter) -> None:
        self.module = module
        self.optimizer = optimizer
        self.scheduler = LambdaLR(optimizer, schedule) if schedule else None
        self._meter = meter
        self._parameters = [p for group in optimizer.param_groups for p in group["params"]]

    def update(self, loss: Tensor) -> None:
        """One optimiser step down ``loss``, a scalar.

        The gradient is asked for this module's parameters alone: none is computed for, or left behind in, any other
        network that the loss passes through.
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self._meter.learning(self.module):
            torch.autograd.backward(loss, inputs=self._parameters)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()

    @property
    def lr(self) -> float:
        """The learning rate of the next update."""
        return float(self.optimizer.param_groups[0]["lr"])

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser and schedule, as tensors and plain types."""
        state: dict[str, Any] = {"module": self.module.state_dict(), "optimizer": self.optimizer.state_dict()}
        if self.scheduler is not None:
            state["updates"] = self.scheduler.last_epoch
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.module.load_state_dict(state["module"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.last_epoch = state["updates"]


class Snapshot:
    """Remembers the state of some modules at their best moment."""

    def __init__(self, *modules: nn.Module) -> None:
        self._modules = modules
        self.score = math.inf
        self._states: list[dict[str, Tensor]] = []

    def offer(self, score: float) -> None:
        """Keep the present state if ``score`` is lower than every one before."""
        if score < self.score:
            self.score = score
            self._states = [clone_state(module) for module in self._modules]

    def restore(self) -> None:
        """Put the kept state back; nothing happens when none was offered."""
        for module, state in zip(self._modules, self._states, strict=False):
            module.load_state_dict(state)

    def state_dict(self) -> dict[str, Any]:
        """Score and states, as tensors and plain types."""
        return {"score": self.score, "states": self._states}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state_dict` returned."""
        self.score, self._states = state["score"], state["states"]


def clone_state(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's parameters and buffers that later training does not change."""
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}
