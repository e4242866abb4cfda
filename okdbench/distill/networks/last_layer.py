"""The last layer of a network whose file has other classes: rows are picked, or the layer starts new."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.weight_choice import State

#: (tensors under the network's names, network) -> those that are loaded, and what the user should know of them
Adjust = Callable[[State, nn.Module], tuple[State, str]]

#: rows that a message lists
_LISTED = 5


def head_names(net: Any) -> set[str]:
    """The names of the last layer's tensors; none if the network has no linear one."""
    head = net.get_classifier()
    return {f"{name}.{part}" for name, module in net.named_modules() if module is head for part in ("weight", "bias")}


def as_it_is(state: State, _net: nn.Module) -> tuple[State, str]:
    """All of the tensors."""
    return state, ""


def new_layer(state: State, net: nn.Module) -> tuple[State, str]:
    """The network's own last layer in place of one for other classes, or of none."""
    own = net.state_dict()
    names = sorted(head_names(net) & set(own))
    if not names or all(name in state and state[name].shape == own[name].shape for name in names):
        return state, ""
    there = next((f"{len(state[name])} classes" for name in names if name in state), "no last layer")
    note = f"the last layer starts new, because the file has {there}, not {len(own[names[0]])}"
    return state | {name: own[name] for name in names}, note


def rows_of(chosen: Sequence[int]) -> Adjust:
    """Picks these rows of the last layer, in this order."""

    def pick(state: State, net: nn.Module) -> tuple[State, str]:
        names = sorted(head_names(net) & set(state))
        if not names:
            return state, ""
        count = len(state[names[0]])
        if max(chosen) >= count:
            raise UserError(
                f"teacher_classes names row {max(chosen)}, and the file has {count} classes, counted from 0; correct "
                "it, or leave it out for a teacher of the data set's own classes"
            )
        listed = ", ".join(map(str, chosen[:_LISTED])) + ", ..." * (len(chosen) > _LISTED)
        return state | {name: state[name][list(chosen)] for name in names}, f"rows {listed} of {count} classes are used"

    return pick


def with_classes(net: nn.Module, count: int) -> nn.Module:
    """A copy of the network with so many classes; the network itself if its last layer is not linear."""
    made = copy.deepcopy(net)
    head: Any = made.get_classifier()  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        return net
    name = next(name for name, module in made.named_modules() if module is head)
    parent, _, child = name.rpartition(".")
    setattr(made.get_submodule(parent), child, nn.Linear(head.in_features, count, head.bias is not None))
    return made
