"""What a file holds beside the weights that are used, in words: other copies of them, and layers that are not built."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor

from okdbench.data.class_order import shortened
from okdbench.distill.networks.stated_statistics import is_statistic
from okdbench.distill.networks.weight_choice import AVERAGE, OTHERS, State

#: how to take another copy
_ALONE = "to take these, save them alone"
#: what to do about layers that are not built
NEEDED = "if the network needs them, give its code, --teacher ./net.py"
#: distance of an average from its raw weights, as a share of their length, that a training does not reach
_FAR = 0.5
#: names of what trainings keep beside a network and no network computes with
_OF_TRAINING = re.compile(
    rf"{OTHERS.pattern}|metric|accura|confusion|confmat|recorder|histor|"
    r"(^|_)(opt|class_weights?|pos_weight|grads?|acc|auc|auroc|ece|f1|iou|mae|mse|precision|recall|n_averaged)(_|\d|$)",
    re.IGNORECASE,
)
#: names of single numbers of this kind
_COUNTERS = re.compile(
    r"num_batches_tracked|"
    r"(^|_)(best|decay|epochs?|initted|iters?|lr|max|min|momentum|monitor|prec|score|seed|steps?|time|top|updates?)"
    r"(_|\d|$)",
    re.IGNORECASE,
)
#: what Lookahead and schedule-free optimisers keep of each weight, and evaluate with
_OF_OPTIMISERS = ("slow_buffer", "slow_weights", "z")
#: parts of names that wrappers insert at the end of a place
_WRAPPED = re.compile(r"(\.(module|_orig_mod))*\.$")


def notes_beside(used: str, part: State, rest: State, expected: Mapping[str, Tensor]) -> list[str]:
    """What the user should know of the tensors that are not used.

    Args:
        used: the place of the tensors that are used, with a dot at the end; empty for the whole file.
        part: these, by their names below it.
        rest: all other tensors with numbers, by the names that lead to each.
        expected: tensors of the network that is built.
    """
    notes = []
    for place, copy in _copies(part, rest).items():
        rest = {path: t for path, t in rest.items() if not (path.startswith(place) if place else path in copy)}
        if not all(_same(part[name], tensor) for name, tensor in copy.items()):
            notes.append(_choice(_spelt(used), _spelt(place), part, copy))
    if not AVERAGE.search(used) and (lost := _nameless_average(rest)):
        notes.append(f"the raw weights are used, because the moving average {lost!r} has no names of tensors")
        rest = {path: tensor for path, tensor in rest.items() if not path.startswith(f"{lost}.")}
    return [*notes, *_of_layers(part, rest, expected)]


def _of_layers(part: State, rest: State, expected: Mapping[str, Tensor]) -> Iterator[str]:
    """That layers are not used; a warning if one may follow the images, the features or the logits."""
    layers = {
        path: tensor for path, tensor in rest.items()
        if not _is_of_training(path, tensor) and not any(_same(tensor, other) for other in part.values())
    }  # fmt: skip
    sizes = _sizes(expected.values())
    near = [path for path, tensor in layers.items() if tensor.numel() == 1 or tensor.shape[0] in sizes]
    if layers:
        yield f"{'warning: ' if near else ''}not used: {shortened([*dict.fromkeys([*near, *layers])])}; {NEEDED}"


def average_note(name: str, raw_name: str, average: State, raw: State) -> str:
    """What the user should know of a moving average that is used in place of raw weights."""
    note = f"the moving average {name!r} is used, not the raw weights {raw_name!r}; {_ALONE}"
    if _is_unfed(average) and not _is_unfed(raw):
        return (
            f"warning: {note}; the batch norm of the average has seen no images: give it theirs with "
            "torch.optim.swa_utils.update_bn(), or take the raw weights"
        )
    if _distance(average, raw) > _FAR:
        return f"warning: {note}; they differ so much that the average may have hardly begun"
    return note


def _is_unfed(state: State) -> bool:
    """Whether the statistics of all batch norms are those of a new network; many averages leave their counters at 0."""
    means, variances = (
        [tensor for name, tensor in state.items() if name.endswith(end)] for end in ("running_mean", "running_var")
    )
    return bool(means) and not any(mean.any() for mean in means) and all((each == 1).all() for each in variances)


def _spelt(place: str) -> str:
    return _WRAPPED.sub("", place) or "top level"


def _choice(used: str, name: str, part: State, copy: State) -> str:
    """Which of two copies is used."""
    if AVERAGE.search(used) and not AVERAGE.search(name):
        return average_note(used, name, {key: part[key] for key in copy}, copy)
    if AVERAGE.search(name) and not AVERAGE.search(used):
        return f"the raw weights {used!r} are used, not the moving average {name!r}; {_ALONE}"
    return f"{used!r} is used, not {name!r}; {_ALONE}"


def _copies(part: State, rest: State) -> dict[str, State]:
    """The other complete sets of these weights, by their places; averages alone of those that an optimiser has."""
    own = {name: tensor for name, tensor in part.items() if tensor.is_floating_point()}
    places = [path.removesuffix(name) for name in [*own][:1] for path in rest if f".{path}".endswith(f".{name}")]
    found = {place: {name: rest[place + name] for name in own if place + name in rest} for place in places}
    return {
        place: copy for place, copy in found.items()
        if {name: tensor.shape for name, tensor in copy.items()} == {name: tensor.shape for name, tensor in own.items()}
        and (AVERAGE.search(place) or not re.search("optim|grad", place, re.IGNORECASE))
    }  # fmt: skip


def _same(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and torch.equal(one, other)


def _distance(state: State, other: State) -> float:
    """The length of what lies between two states, as a share of that of the other."""
    pairs = [(state[key], other[key]) for key in state if state[key].ndim > 1]
    between, whole = (math.sqrt(sum(float(x.square().sum()) for x in each)) for each in (
        [one - two for one, two in pairs], [two for _, two in pairs]
    ))  # fmt: skip
    return between / whole if whole else 0.0


def _nameless_average(rest: State) -> str:
    """The place of a moving average whose tensors have numbers in place of names; empty without."""
    for names in (path.split(".") for path, tensor in rest.items() if tensor.ndim > 1):
        found = [index for index, name in enumerate(names) if AVERAGE.search(name) or name in _OF_OPTIMISERS]
        if found and any(name.isdigit() for name in names[-2:]):
            return ".".join(names[: found[0] + 1])
    return ""


def _is_of_training(path: str, tensor: Tensor) -> bool:
    """Whether no network computes with it, by its names, or it is one of the statistics of images."""
    names = path.split(".")
    if tensor.numel() in (1, 3) and is_statistic(path):
        return True
    return any(_OF_TRAINING.search(name) or (tensor.numel() == 1 and _COUNTERS.search(name)) for name in names)


def _sizes(expected: Iterable[Tensor]) -> set[int]:
    """The channels of the images, the features before the last layer and the classes."""
    weights = [tensor for tensor in expected if tensor.ndim > 1]
    return {*(first.shape[1] for first in weights[:1]), *(size for last in weights[-1:] for size in last.shape[:2])}
