"""Optimisation: optimisers, learning-rate schedules, learners (a module with both) and snapshots of weights."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import clip_grad_norm_
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from okdbench.distill.accounting import Meter

#: number of updates so far -> factor of the initial learning rate
Schedule = Callable[[int], float]

# Optimisers. The fused form needs one kernel instead of one pass over memory per operation.


def adam(
    module: nn.Module, lr: float, *, betas: tuple[float, float] = (0.9, 0.999), weight_decay: float = 0.0
) -> Optimizer:
    """Adam over all parameters of ``module``.

    Args:
        module: module to train.
        lr: learning rate.
        betas: decay rates of the two moment estimates.
        weight_decay: L2 penalty, added to the gradient (not decoupled as in AdamW).
    """
    return torch.optim.Adam(module.parameters(), lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def sgd(module: nn.Module, lr: float, *, weight_decay: float = 0.0) -> Optimizer:
    """Stochastic gradient descent with momentum 0.9 over all parameters of ``module``."""
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay, fused=True)


# Schedules of the learning rate, counted in updates


def cosine(steps: int) -> Schedule:
    """Half a cosine from 1 at update 0 to 0 at update ``steps`` and after.

    >>> [round(cosine(4)(step), 3) for step in (0, 2, 4, 9)]
    [1.0, 0.5, 0.0, 0.0]
    """
    return lambda step: 0.5 * (1 + math.cos(math.pi * min(step / max(steps, 1), 1.0)))


def constant(_step: int) -> float:
    """The initial learning rate in all updates."""
    return 1.0


def drops(steps: int, shares: Sequence[float]) -> Schedule:
    """A tenth of the learning rate from each of these shares of ``steps`` updates on."""
    return lambda step: 0.1 ** sum(step >= share * steps for share in shares)


def cosine_overrun(steps: int) -> Schedule:
    """The cosine of a scheduler that is stepped beyond its end: from 1 to 0 at ``steps``, then up again."""
    return lambda step: 0.5 * (1 + math.cos(math.pi * step / max(steps, 1)))


def raised(schedule: Schedule, lowest: float) -> Schedule:
    """A schedule between ``lowest`` and 1 in place of one between 0 and 1.

    >>> [raised(cosine(4), 0.1)(step) for step in (0, 4)]
    [1.0, 0.1]
    """
    return lambda step: lowest + (1 - lowest) * schedule(step)


def slow_start(update: int) -> float:
    """PyTorch's ConstantLR with its defaults: a third of the learning rate for five updates."""
    return 1 / 3 if update < 5 else 1.0


class Learner:
    """A module, the optimiser that updates it and the schedule of its learning rate.

    Args:
        module: module to train.
        optimizer: of the module's parameters.
        schedule: factor of the learning rate at each update; None for a constant one.
        meter: counts the training images of the module.
    """

    def __init__(self, module: nn.Module, optimizer: Optimizer, schedule: Schedule | None, meter: Meter) -> None:
        self.module = module
        self.optimizer = optimizer
        self.scheduler = LambdaLR(optimizer, schedule) if schedule else None
        self._meter = meter
        self.parameters: list[nn.Parameter] = [p for group in optimizer.param_groups for p in group["params"]]

    def update(self, loss: Tensor, extra_gradients: Sequence[Tensor] = (), clip: float = 0.0) -> None:
        """One optimiser step that minimises ``loss``, a scalar.

        The gradient is computed for this module's parameters alone: none is computed for, or left behind in, any other
        network that the loss passes through.

        Args:
            loss: differentiated here.
            extra_gradients: gradients from :meth:`gradients` that are added to those of ``loss``.
            clip: largest norm of the whole gradient; 0 disables clipping.
        """
        self.optimizer.zero_grad(set_to_none=True)
        with self._meter.learning(self.module):
            torch.autograd.backward(loss, inputs=self.parameters)
        # strict=False: there are either no extra gradients or one per parameter
        for parameter, gradient in zip(self.parameters, extra_gradients, strict=False):
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        self._step(clip)

    def update_by(self, gradients: Sequence[Tensor]) -> None:
        """One optimiser step with these gradients, one per parameter."""
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            parameter.grad = gradient
        self._step()

    def _step(self, clip: float = 0.0) -> None:
        if clip:
            clip_grad_norm_(self.parameters, clip)
        self.optimizer.step()
        self._meter.count_update(self.module)
        if self.scheduler is not None:
            self.scheduler.step()

    def gradients(
        self, loss: Tensor, of: Sequence[Tensor] | None = None, differentiable: bool = False
    ) -> tuple[Tensor, ...]:
        """Gradients of ``loss`` with respect to the parameters, without an update.

        Args:
            loss: a scalar.
            of: tensors that stand in for the parameters in ``loss``.
            differentiable: keep the graph, so that the gradients can be differentiated (second order).

        Returns:
            One tensor per parameter.
        """
        with self._meter.learning(self.module):
            return torch.autograd.grad(loss, of or self.parameters, create_graph=differentiable)

    def product(self, gradients: Sequence[Tensor], vector: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The product of the Hessian with a vector, from differentiable :meth:`gradients`; two backward passes."""
        with self._meter.learning(self.module):
            return torch.autograd.grad(gradients, self.parameters, vector, materialize_grads=True)

    def named(self, tensors: Sequence[Tensor]) -> dict[str, Tensor]:
        """These tensors, one per parameter, by the names of the parameters in the module."""
        names = {parameter: name for name, parameter in self.module.named_parameters()}
        return {names[parameter]: tensor for parameter, tensor in zip(self.parameters, tensors, strict=True)}

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
        # LambdaLR computes the learning rate from the count alone, and the optimiser's state has the current one
        if self.scheduler is not None:
            self.scheduler.last_epoch = state["updates"]


def forward_without_buffers(
    module: nn.Module, inputs: Tensor, parameters: Mapping[str, Tensor] | None = None
) -> Tensor:
    """``module(inputs)`` in its current mode, without a change of the state of its batch and spectral norms.

    Args:
        module: module to call.
        inputs: its input.
        parameters: name -> tensor to use in place of the module's parameters, such as those after an inner step.
    """
    # In train mode, a batch norm that tracks nothing gives the same output and has nothing to write.
    tracking = [m for m in module.modules() if isinstance(m, _BatchNorm) and m.training and m.track_running_stats]
    # In eval mode, a spectral norm takes no step of its power iteration.
    iterating = [m for m in module.modules() if isinstance(m, _SpectralNorm) and m.training]
    for norm in tracking:
        norm.track_running_stats = False
    for spectral in iterating:
        spectral.training = False
    try:
        output: Tensor = functional_call(module, dict(parameters), inputs) if parameters else module(inputs)
    finally:
        for norm in tracking:
            norm.track_running_stats = True
        for spectral in iterating:
            spectral.training = True
    return output


def copy_spectral_norms(source: nn.Module, target: nn.Module) -> None:
    """Give ``target`` the singular vectors of the spectral norms of ``source``, a network of the same layers."""
    for own, other in zip(target.modules(), source.modules(), strict=True):
        if isinstance(own, _SpectralNorm):
            own.load_state_dict(other.state_dict())


def set_eval(*learners: Learner) -> None:
    """Put modules that a stage uses without training them into eval mode."""
    for learner in learners:
        learner.module.eval()


class Snapshot:
    """Keeps the state of some modules at their lowest score.

    Args:
        modules: modules to copy and restore.
        evaluations: how often the score is computed in the stage; 0 disables the snapshot.
        steps: length of the stage in steps.
    """

    def __init__(self, *modules: nn.Module, evaluations: int = 0, steps: int = 1) -> None:
        self._modules = modules
        self._every = max(1, steps // evaluations) if evaluations else 0
        self._last = steps - 1
        self.score = math.inf
        self._states: list[dict[str, Tensor]] = []

    def is_due(self, step: int) -> bool:
        """Whether the score is to be computed after ``step``, counted from 0; so after the last one."""
        return bool(self._every) and (self._last - step) % self._every == 0

    def update(self, score: float) -> None:
        """Copy the current state if ``score`` is lower than all scores before."""
        if score < self.score:
            self.score = score
            self._states = [clone_state(module) for module in self._modules]

    def restore(self) -> None:
        """Load the copied state into the modules; without one, nothing happens."""
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
