"""Which tensors of a file are the weights: it may hold several networks, optimisers and anything else."""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from okdbench.distill.networks.inert_pickle import Inert

State = dict[str, Tensor]

#: names under which training scripts keep the weights of one network
NAMES = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "teacher",
    "student",
    "classifier",
)
#: names of a moving average, which is better than the raw weights
_AVERAGE = re.compile(r"(^|_)(ema|swa|averaged?|shadow)(_|$)", re.IGNORECASE)
#: names of what is no network
_OTHERS = re.compile(r"optim|sched|scaler|callback|loop|loss|criterion|rng|hyper", re.IGNORECASE)

#: how to take another entry
_ALONE = "to take these, save them alone"
#: distance of an average from its raw weights, as a share of their length, that a training does not reach
_FAR = 0.5

#: levels of mappings in which weights are looked for; objects may refer to each other in circles
_DEEPEST = 4


def weights_in(content: Any, depth: int = 0) -> tuple[State, str]:
    """The weights in what a file held, itself or under a name in it, and what the user should know of the choice.

    A moving average comes before others. Of several networks, or parts of one, each has its name as a prefix.
    """
    if isinstance(content, Inert) and "_modules" in vars(content):
        return OrderedDict(tensors_of(content)), ""
    items = _items(content) if depth < _DEEPEST else {}
    named = items if isinstance(content, Mapping) else {}  # the tensors of a list have no names
    own = {key: _dense(value) for key, value in named.items() if isinstance(value, Tensor)}
    found = {key: weights_in(value, depth + 1) for key, value in items.items() if not _OTHERS.search(key)}
    below = {key: each for key, each in found.items() if any(tensor.ndim > 1 for tensor in each[0].values())}
    # a state dict may have more beside its tensors, and a checkpoint a tensor beside its state dict
    if len(own) > max((len(state) for state, _ in below.values()), default=0):
        return own, ""
    return _chosen(items, below)


def _dense(value: Tensor) -> Tensor:
    return value.detach() if value.layout == torch.strided else value.detach().to_dense()


def _items(content: Any) -> dict[str, Any]:
    """What is in a mapping, a list or an inert object, such as a trainer that was pickled as a whole, by name."""
    if isinstance(content, (list, tuple)):
        return {str(index): value for index, value in enumerate(content)}
    items = {**content, **vars(content)} if isinstance(content, Inert) else content
    return {str(key): value for key, value in items.items()} if isinstance(items, Mapping) else {}


def _chosen(items: Mapping[str, Any], below: Mapping[str, tuple[State, str]]) -> tuple[State, str]:
    """That of several networks that is meant."""
    averages = [key for key in below if _AVERAGE.search(key)]
    raw = [key for key in below if key not in averages]
    largest = max((len(state) for state, _ in below.values()), default=0)
    # a last layer alone may have a usual name, too
    usual = [key for key in raw if key in NAMES and 2 * len(below[key][0]) > largest]
    meant = averages or usual or raw
    if not meant:
        return {}, ""
    state, note = below[meant[0]]
    if not all(equal(state, below[key][0]) for key in meant):
        return {f"{key}.{name}": tensor for key in meant for name, tensor in below[key][0].items()}, ""
    if averages and raw:
        note = average_note(meant[0], raw[0], state, below[raw[0]][0])
    elif lost := [key for key, value in items.items() if not averages and _AVERAGE.search(key) and _is_filled(value)]:
        note = note or f"the raw weights are used, because the moving average {lost[0]!r} has no names of tensors"
    elif others := [key for key in raw if below[key][0].keys() == state.keys() and not equal(state, below[key][0])]:
        note = f"{meant[0]!r} is used, not {others[0]!r}; {_ALONE}"
    return state, note


def average_note(name: str, raw_name: str, average: State, raw: State) -> str:
    """What the user should know of a moving average that is used in place of raw weights."""
    note = f"the moving average {name!r} is used, not the raw weights {raw_name!r}; {_ALONE}"
    if _distance(average, raw) > _FAR:
        return f"warning: {note}; they differ so much that the average may have hardly begun"
    return note


def _distance(state: State, other: State) -> float:
    """The length of what lies between two states, as a share of that of the other; 0 if they have other tensors."""
    pairs = [(state[key].float(), other[key].float()) for key in state if key in other and state[key].ndim > 1]
    if any(one.shape != two.shape for one, two in pairs):
        return 0.0
    between, whole = (math.sqrt(sum(float(x.square().sum()) for x in each)) for each in (
        [one - two for one, two in pairs], [two for _, two in pairs]
    ))  # fmt: skip
    return between / whole if whole else 0.0


def equal(one: State, other: State) -> bool:
    """Whether both have the same tensors under the same names."""
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def _is_filled(value: Any, depth: int = 0) -> bool:
    """Whether there are tensors of weights somewhere in it."""
    if isinstance(value, Tensor):
        return value.ndim > 1
    return depth < _DEEPEST and any(_is_filled(each, depth + 1) for each in _items(value).values())


def modules_in(content: Any, depth: int = 0) -> Iterator[Inert]:
    """The pickled networks in what a file held, and the layers in them, the outer ones first."""
    is_module = isinstance(content, Inert) and "_modules" in vars(content)
    if is_module:
        yield content
    below = _items(vars(content)["_modules"] or {}) if is_module else _items(content)
    for value in below.values() if depth < _DEEPEST else ():
        yield from modules_in(value, depth + 1)


def tensors_of(net: Inert, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
    """The state dict of a network whose class is not loaded: its parameters and persistent buffers."""
    own = vars(net)
    transient = own.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (own.get(kind) or {}).items():
            if isinstance(value, Tensor) and name not in transient:
                yield prefix + name, value.detach()
    for name, child in (own.get("_modules") or {}).items():
        if isinstance(child, Inert):
            yield from tensors_of(child, f"{prefix}{name}.")
