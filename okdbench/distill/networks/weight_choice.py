"""Which tensors of a file are the weights: it may hold several networks, optimisers and anything else."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from okdbench.distill.networks.inert_pickle import Inert

#: the tensors of a network by their names
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
AVERAGE = re.compile(r"(^|[._])(ema|swa|averaged?|shadow)([._]|$)", re.IGNORECASE)
#: names of the statistics of a batch norm
STATISTIC = re.compile(r"(^|\.)(running_mean|running_var|num_batches_tracked)$")
#: parts of names that wrappers insert anywhere: compiled, sharded and recomputed modules
WRAPPERS = "_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module"
#: names of what is no network
OTHERS = re.compile(r"optim|sched|scaler|callback|loop|loss|criterion|rng|hyper", re.IGNORECASE)

#: entries of the state of an optimiser
_OF_OPTIMISER = {"state", "param_groups"}

#: levels of mappings in which weights are looked for; objects may refer to each other in circles
_DEEPEST = 4
#: objects in which other tensors are looked for
_MOST = 100_000


def weights_in(content: Any, depth: int = 0) -> State:
    """The weights in what a file held, itself or under a name in it.

    A moving average comes before others. Of several networks, or parts of one, each has its name as a prefix.
    """
    if isinstance(content, Inert) and "_modules" in vars(content):
        return OrderedDict(tensors_of(content))
    items = items_in(content) if depth < _DEEPEST else {}
    if items.keys() >= _OF_OPTIMISER:
        return {}
    named = items if isinstance(content, Mapping) else {}  # the tensors of a list have no names
    own = {key: _dense(value) for key, value in named.items() if isinstance(value, Tensor)}
    found = {key: weights_in(value, depth + 1) for key, value in items.items() if not OTHERS.search(key)}
    below = {key: state for key, state in found.items() if any(tensor.ndim > 1 for tensor in state.values())}
    # a state dict may have more beside its tensors, and a checkpoint a tensor beside its state dict
    return own if len(own) > max(map(len, below.values()), default=0) else _chosen(below)


def _dense(value: Tensor) -> Tensor:
    return value.detach() if value.layout == torch.strided else value.detach().to_dense()


def items_in(content: Any) -> dict[str, Any]:
    """What is in a mapping, a list or an inert object, such as a trainer that was pickled as a whole, by name."""
    if isinstance(content, (list, tuple)):
        return {str(index): value for index, value in enumerate(content)}
    items = {**content, **vars(content)} if isinstance(content, Inert) else content
    return {str(key): value for key, value in items.items()} if isinstance(items, Mapping) else {}


def _chosen(below: Mapping[str, State]) -> State:
    """That of several networks that is meant."""
    averages = [key for key in below if AVERAGE.search(key)]
    raw = [key for key in below if key not in averages]
    below = {**below, **{key: _completed(below[key], [below[other] for other in raw]) for key in averages}}
    largest = max(map(len, below.values()), default=0)
    # a last layer alone may have a usual name, too
    usual = [key for key in raw if key in NAMES and 2 * len(below[key]) > largest]
    meant = averages or usual or raw
    if not meant or all(equal(below[meant[0]], below[key]) for key in meant):
        return below[meant[0]] if meant else {}
    return {f"{key}.{name}": tensor for key in meant for name, tensor in below[key].items()}


def _completed(average: State, raw: Iterable[State]) -> State:
    """An average of parameters alone with the statistics of batch norm of its raw network, as its training uses it."""
    for state in raw:
        missing = state.keys() - average.keys()
        if missing and average.keys() < state.keys() and all(STATISTIC.search(name) for name in missing):
            return {**state, **average}
    return average


def equal(one: State, other: State) -> bool:
    """Whether both have the same tensors under the same names."""
    # widened, because numbers of eight bits cannot be compared
    return one.keys() == other.keys() and all(torch.equal(one[key].float(), other[key].float()) for key in one)


def every_tensor(content: Any, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """All dense tensors in what a file held, each once, with the names that lead to it."""
    if isinstance(content, Inert) and "_modules" in vars(content):
        yield from tensors_of(content, prefix)
        return
    seen = set() if seen is None else seen
    for key, value in items_in(content).items():
        if isinstance(value, Tensor) and value.layout == torch.strided:
            yield f"{prefix}{key}", value.detach()
        elif isinstance(value, Mapping | list | tuple) and id(value) not in seen and len(seen) < _MOST:
            seen.add(id(value))
            yield from every_tensor(value, f"{prefix}{key}.", seen)


def modules_in(content: Any, depth: int = 0) -> Iterator[Inert]:
    """The pickled networks in what a file held, and the layers in them, the outer ones first."""
    is_module = isinstance(content, Inert) and "_modules" in vars(content)
    if is_module:
        yield content
    below = items_in(vars(content)["_modules"] or {}) if is_module else items_in(content)
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
