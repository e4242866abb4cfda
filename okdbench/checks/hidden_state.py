"""State that a method changes without having registered it: no checkpoint contains it."""

from __future__ import annotations

import random
import sys
from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor

from okdbench.checks.observer import Observer
from okdbench.distill.method import Method
from okdbench.distill.optim import Learner
from okdbench.training.trial import Trial


class HiddenState(Observer):
    """Compares attributes, class attributes and globals of the method's module before and after a run."""

    def begin(self, trial: Trial) -> None:
        """Store the contents before the first step."""
        self._method = trial.method
        self._before = _contents(self._method)

    @property
    def changed(self) -> list[str]:
        """The unregistered names whose content has changed, as the author writes them (``self.running``)."""
        now = _contents(self._method)
        return sorted(name for name in now if now[name] != self._before.get(name))


def _contents(method: Method) -> dict[str, Any]:
    """Name -> something comparable."""
    # registered parts, and what the task owns: checkpoints contain these
    owned = {id(part) for part in (method.task.rng, *vars(method.task).values(), *method.state.values())}
    for part in method.state.values():
        if isinstance(part, Learner):
            owned |= {id(part.module), id(part.optimizer)}
    holders = {
        # the loop sets the clock, checkpoints contain the state, and the plan determines the other two
        "self.": {name: value for name, value in vars(method).items() if name not in ("clock", "state", "task", "hp")},
        f"{type(method).__name__}.": vars(type(method)),
        "the global ": vars(sys.modules[type(method).__module__]),
    }
    return {
        prefix + name: _content(value, owned)
        for prefix, holder in holders.items()
        for name, value in holder.items()
        if not name.startswith("__")
    }


def _content(value: Any, owned: set[int]) -> Any:
    """A comparable copy of ``value``; None if it is registered or of a type that has no state."""
    if id(value) in owned or isinstance(value, type):
        return None
    if isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, Tensor):
        # bytes, so that NaN equals NaN and the comparison is one truth value
        return value.detach().cpu().numpy().tobytes()
    if isinstance(value, torch.Generator):
        return value.get_state().numpy().tobytes()
    if isinstance(value, (random.Random, np.random.Generator)):
        # text, because the state of some generators contains arrays
        return str(value.getstate() if isinstance(value, random.Random) else value.bit_generator.state)
    if isinstance(value, dict):
        return {str(key): _content(item, owned) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, deque)):
        return [_content(item, owned) for item in value]
    return _content(value.state_dict(), owned) if hasattr(value, "state_dict") else None
