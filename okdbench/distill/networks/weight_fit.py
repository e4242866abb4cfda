"""Fits the tensors of a file to a network, or says why they are of another one."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.foreign_names import foreign, nearest
from okdbench.distill.networks.weight_files import State, read_weights

#: the counter of a batch norm, which old files lack and nothing here reads
_COUNTER = "num_batches_tracked"
#: what training scripts keep beside the layers: a counter of averaged weights, and the normalisation of images
_HARMLESS = {"n_averaged", "mean", "std", _COUNTER}
#: levels of names that may stand before those of the network
_DEEPEST = 3


def load_weights(net: nn.Module, path: Path, name: str) -> None:
    """Load a user's file of weights into ``net``; no code in the file is executed.

    Prefixes such as ``module.`` are taken off, missing counters of batch norm are filled in, and the names of timm's
    earlier versions and of torchvision's networks are translated. What the user should know of a choice is printed on
    standard error.

    Args:
        net: network to load into; unchanged if the file is refused.
        path: the file.
        name: the network's architecture, for messages.

    Raises:
        UserError: the file is missing or damaged, or has no weights, those of another network, or no numbers.
    """
    state, note, _ = read_weights(path)
    if broken := [key for key, tensor in state.items() if not bool(torch.isfinite(tensor).all())]:
        raise UserError(
            f"{path}: {len(broken)} tensors have values that are not finite, the first {broken[0]!r}; use an earlier "
            "checkpoint of its training"
        )
    expected = net.state_dict()
    fitting = {prefix: made for prefix in _prefixes(state) if (made := _fitting(_without(state, prefix), net))}
    if not fitting:
        raise UserError(f"{path} is not a weights file of {name} here: {_reason(_whole(state), net, name)}")
    prefix, chosen = _choose(list(fitting), path)
    net.load_state_dict({key: fitting[prefix].get(key, tensor) for key, tensor in expected.items()})
    for text in filter(None, (note, chosen)):
        print(f"okdbench: {path}: {text}", file=sys.stderr)


def _choose(prefixes: Sequence[str], path: Path) -> tuple[str, str]:
    """The network that is meant of several in a file, and what the user should know of that.

    Raises:
        UserError: it cannot be told.
    """
    averages = [prefix for prefix in prefixes if "ema" in prefix.lower()]
    if len(prefixes) == 1:
        return prefixes[0], ""
    if len(averages) == 1:
        return averages[0], f"the moving average {averages[0]!r} is used, not the raw weights"
    listed = ", ".join(repr(prefix) for prefix in prefixes)
    raise UserError(f"{path} holds several networks of this architecture, {listed}; save the one that is meant")


def _fitting(state: State, net: nn.Module) -> State | None:
    """The tensors under the network's names, if they are its own, or those of the same network elsewhere."""
    expected = net.state_dict()
    if len(state) < len(_needed(expected)):
        return None
    for found in (state, _filtered(state, net)):
        if not _unfit(found, expected):
            return found
    return foreign(state, net)


def _prefixes(state: Mapping[str, Any]) -> list[str]:
    """All that the names of the file begin with up to a dot, the shortest first; the empty text is one of them."""
    parts = [key.split(".") for key in state]
    found = {".".join([*names[:length], ""]) for names in parts for length in range(min(len(names), _DEEPEST + 1))}
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _without(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _whole(state: State) -> State:
    """The tensors without what all their names begin with."""
    shared = [prefix for prefix in _prefixes(state) if len(_without(state, prefix)) == len(state)]
    return _without(state, shared[-1])


def _filtered(state: State, net: nn.Module) -> State:
    """As timm translates the files of its earlier versions and of the authors for this network."""
    translate = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if translate is None:
        return state
    try:
        return dict(translate(dict(state), net))
    except Exception:  # it is of another network, which fails in many ways
        return state


def _needed(expected: Mapping[str, Tensor]) -> list[str]:
    return [key for key in expected if not key.endswith(_COUNTER)]


def _unfit(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """The tensors that are missing, have another shape, or are of no layer of the network."""
    wrong = [key for key in _needed(expected) if key not in state or state[key].shape != expected[key].shape]
    return wrong + [key for key in state if key not in expected and key.rpartition(".")[2] not in _HARMLESS]


def _reason(found: State, net: nn.Module, name: str) -> str:
    """Why the tensors do not fit, in words of what the user can change."""
    expected = net.state_dict()
    unfit = _unfit(found, expected)
    if (classes := _other_classes(found, net)) and set(unfit) <= _head(net):
        return f"the file has {classes} classes, the data set {len(expected[min(_head(net) & set(expected))])}"
    for key in unfit:
        if key in found and key in expected and (channels := _other_channels(found[key], expected[key])):
            kind = f"images of {channels} channel{'s' * (channels > 1)}"
            others = "and --mean and --std if it was not trained with those of the data set"
            return f"it is of a network for {kind}; add --channels {channels}, {others}"
    total = len(_needed(expected))
    matching = total - sum(key in expected for key in unfit)
    near = nearest(found)
    cure = f"; these are tensors of {near}" if near and near != name else "; name its architecture with --teacher"
    return f"{matching} of its {total} tensors match, the first that does not fit is {unfit[0]!r}{cure}"


def _head(net: Any) -> set[str]:
    """The names of the last layer's tensors."""
    head = net.get_classifier() if hasattr(net, "get_classifier") else None
    return {f"{name}.{part}" for name, module in net.named_modules() if module is head for part in ("weight", "bias")}


def _other_classes(found: State, net: nn.Module) -> int:
    """The number of the file's classes, if it has a last layer of another size; otherwise 0."""
    expected = net.state_dict()
    sizes = {len(found[key]) for key in _head(net) if key in found and found[key].shape != expected[key].shape}
    return sizes.pop() if len(sizes) == 1 else 0


def _other_channels(weight: Tensor, expected: Tensor) -> int:
    """The channels of a first convolution that differs from the expected one in nothing else; otherwise 0."""
    # without the input channels
    same = weight.ndim == expected.ndim == 4 and weight[:, 0].shape == expected[:, 0].shape
    return weight.shape[1] if same and {weight.shape[1], expected.shape[1]} == {1, 3} else 0
