"""Whether a pickled network has the layers of the one that is built: its tensors alone do not tell.

A stride, a pooling that became ``nn.Identity()`` and an activation have no tensors. A pickle of a whole network keeps
them as classes' names and attributes, which are compared here by the layers' names. Nothing in the file is executed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from okdbench.distill.networks.inert_pickle import Inert
from okdbench.distill.networks.weight_choice import modules_in, tensors_of

#: attributes that tensors show, or that change nothing in eval mode
_SILENT = {"in_channels", "out_channels", "in_features", "out_features", "num_features", "num_channels",
           "normalized_shape", "inplace", "p", "momentum", "track_running_stats", "affine"}  # fmt: skip
#: classes that give the same in eval mode: name -> one for all
_SAME = {"SyncBatchNorm": "BatchNorm2d", "FrozenBatchNorm2d": "BatchNorm2d"}
#: layers that do nothing in eval mode
_DROPS = re.compile(r"Drop(out|Path|Block)|StochasticDepth")
#: parts of names that wrappers insert
_WRAPPERS = re.compile(r"\b(_orig_mod|module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")
#: differences that a message names
_SHOWN = 3


def other_layers(content: Any, names: set[str], net: nn.Module) -> list[str]:
    """How layers of the pickled network differ from those of ``net`` of the same name, in words.

    Args:
        content: of the file.
        names: of the tensors that are loaded; the network in the file that has them is meant.
        net: what is built.
    """
    if 2 * len(names & net.state_dict().keys()) < len(names):
        return []  # of another library, where the same layer has another name
    found = max((_layers(each) for each in modules_in(content) if _owns(each, names)), key=len, default={})
    built = dict(net.named_modules())
    pairs = ((name, layer, built[name]) for name, layer in found.items() if name in built)
    texts = [text for name, layer, own in pairs if _is_leaf(own) for text in _differences(name, layer, own)]
    more = [f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]


def _owns(module: Inert, names: set[str]) -> bool:
    """Whether its tensors are these, or most of them and no others: a last layer may be in another module."""
    own = {_WRAPPERS.sub("", name) for name, _ in tensors_of(module)}
    return own <= {_WRAPPERS.sub("", name) for name in names} and 2 * len(own) > len(names)


def _layers(module: Inert, prefix: str = "") -> dict[str, Inert]:
    """All layers by their dotted names."""
    found: dict[str, Inert] = {}
    for name, child in (vars(module).get("_modules") or {}).items():
        if isinstance(child, Inert):
            found |= {f"{prefix}{name}": child, **_layers(child, f"{prefix}{name}.")}
    return {_WRAPPERS.sub("", name): layer for name, layer in found.items()}


def _is_leaf(layer: nn.Module) -> bool:
    """Whether it computes by itself; a block of layers may have another class in another version of its library."""
    return not any(True for _ in layer.children())


def _differences(name: str, layer: Inert, own: nn.Module) -> Iterator[str]:
    # without the faster ones of okdbench, which give the same
    kind = next(each for each in type(own).mro() if not each.__module__.startswith("okdbench."))
    theirs, ours = _kind(type(layer).origin.rpartition(".")[2]), _kind(kind.__name__)
    # a last layer may stand in a sequence, behind dropout
    if kind is nn.Module or (own.state_dict() and vars(layer).get("_modules")):
        return
    if theirs != ours:
        yield f"{name} is {theirs} there and {ours} here"
        return
    kept: Mapping[str, Any] = vars(layer)
    for attribute in sorted({*getattr(kind, "__constants__", ())} - _SILENT):
        if attribute in kept and (value := _plain(kept[attribute])) != (built := _plain(getattr(own, attribute))):
            yield f"{name} has {attribute} {value!r:.40} there and {built!r} here"


def _kind(name: str) -> str:
    return "Identity" if _DROPS.match(name) else _SAME.get(name, name)


def _plain(value: Any) -> Any:
    """One number where all sides have the same; of a file that has anything else, only that it has."""
    sides = value if isinstance(value, tuple) else (value,)
    if not all(side is None or isinstance(side, str | int | float) for side in sides):
        return "of another kind"
    return sides[0] if len({*sides}) == 1 else sides
