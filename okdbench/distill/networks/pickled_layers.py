"""Whether a pickled network has the layers of the one that is built: its tensors alone do not tell.

A stride, a pooling that became ``nn.Identity()``, an activation and an attribute such as ``global_pool`` have no
tensors. A pickle of a whole network keeps them as classes' names and attributes, which are compared here by the layers'
names. Nothing in the file is executed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

from torch import nn

from okdbench.distill.networks.inert_pickle import Inert
from okdbench.distill.networks.weight_choice import WRAPPERS, modules_in, tensors_of

#: attributes that tensors show, that change nothing in eval mode, or that follow the size of the images
_SILENT = re.compile(
    r"_.*|training|inplace|p|.*drop.*|scale_by_keep|momentum|track_running_stats|affine|normalized_shape|"
    r".*checkpoint.*|memory_efficient|fused_attn|((in|out|num|hidden)_)?(channels|chans|features|classes|planes)|"
    r"head_hidden_size|inplanes|(image|img)_size|num_patches|seq_len(gth)?"
)
#: classes that give the same in eval mode: name -> one for all
_SAME = {"SyncBatchNorm": "BatchNorm2d", "FrozenBatchNorm2d": "BatchNorm2d", "FastAdaptiveAvgPool": "AdaptiveAvgPool2d",
         "Swish": "SiLU", "HardSwish": "Hardswish", "HardSigmoid": "Hardsigmoid"}  # fmt: skip
#: layers that do nothing in eval mode
_DROPS = re.compile(r"Drop(out|Path|Block)|StochasticDepth")
#: the same, and what changes the shape alone
_DOES_NOTHING = re.compile(rf"{_DROPS.pattern}|Identity$|Flatten$")
#: parts of names that wrappers insert, that of DataParallel among them
_WRAPPERS = re.compile(rf"\b({WRAPPERS}|module)\.")
#: differences that a message names
_SHOWN = 3


def other_layers(content: Any, names: set[str], net: nn.Module, original: nn.Module | None = None) -> list[str]:
    """How layers of the pickled network differ from those of ``net`` of the same name, in words.

    Args:
        content: of the file.
        names: of the tensors that are loaded; the network in the file that has them is meant.
        net: what is built.
        original: torchvision's network of these tensors, where layers have other names than in ``net``.
    """
    is_own = 2 * len(names & net.state_dict().keys()) >= len(names)
    known = (dict(original.named_modules()) if original else {}) | (dict(net.named_modules()) if is_own else {})
    found = max((_layers(each) for each in modules_in(content) if _owns(each, names)), key=len, default={})
    pairs = ((name, layer, known[name]) for name, layer in found.items() if name in known)
    texts = [text for name, layer, own in pairs for text in _differences(name, layer, own)]
    more = [f"{len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return [*texts[:_SHOWN], *more]


def _owns(module: Inert, names: set[str]) -> bool:
    """Whether its tensors are these, or most of them and no others: a last layer may be in another module."""
    own = {_WRAPPERS.sub("", name) for name, _ in tensors_of(module)}
    return own <= {_WRAPPERS.sub("", name) for name in names} and 2 * len(own) > len(names)


def _layers(module: Inert) -> dict[str, Inert]:
    """The network itself under an empty name, and all its layers by their dotted names."""
    return {_WRAPPERS.sub("", path).removesuffix("."): layer for path, layer in _every(module, "")}


def _every(module: Inert, path: str) -> Iterator[tuple[str, Inert]]:
    yield path, module
    for name, child in _children(module).items():
        yield from _every(child, f"{path}{name}.")


def _children(module: Inert) -> dict[str, Inert]:
    found = (vars(module).get("_modules") or {}).items()
    return {name: child for name, child in found if isinstance(child, Inert)}


def _differences(name: str, layer: Inert, own: nn.Module) -> Iterator[str]:
    # without the faster ones of okdbench, which give the same
    kind = next(each for each in type(own).mro() if not each.__module__.startswith("okdbench."))
    is_block, layer = any(True for _ in own.children()), _without_silent(layer, own)
    if _kind(_class(layer)) == _kind(kind.__name__):
        yield from _attributes(name, layer, own, {*getattr(kind, "__constants__", ())})
    # A block may have another class in another version of its library, and a last layer stand behind dropout.
    elif not (is_block or kind is nn.Module or (own.state_dict() and _children(layer))):
        yield f"{name} is {_class(layer)} there and {kind.__name__} here"


def _without_silent(layer: Inert, own: nn.Module) -> Inert:
    """The only layer of a sequence that does anything, if a layer without tensors is built in its place."""
    inner = [child for child in _children(layer).values() if not _DOES_NOTHING.match(_class(child))]
    return inner[0] if _class(layer) == "Sequential" and len(inner) == 1 and not own.state_dict() else layer


def _class(layer: Inert) -> str:
    return type(layer).origin.rpartition(".")[2]


def _attributes(name: str, layer: Inert, own: nn.Module, constants: set[str]) -> Iterator[str]:
    kept: Mapping[str, Any] = vars(layer)
    built = {key: value for key, value in vars(own).items() if isinstance(value, str | int | float)}
    plain = {key for key in built if isinstance(kept.get(key), str | int | float)}
    for key in sorted(key for key in (constants & kept.keys()) | plain if not _SILENT.fullmatch(key)):
        theirs, ours = _plain(kept[key]), _plain(getattr(own, key))
        if not _equal(theirs, ours):
            yield f"{name or 'it'} has {key} {theirs!r:.40} there and {ours!r} here"


def _equal(theirs: Any, ours: Any) -> bool:
    is_rounded = isinstance(theirs, float) and isinstance(ours, float)
    return math.isclose(theirs, ours, rel_tol=1e-6) if is_rounded else bool(theirs == ours)


def _kind(name: str) -> str:
    return "Identity" if _DROPS.match(name) else _SAME.get(name, name)


def _plain(value: Any) -> Any:
    """One number where all sides have the same; of a file that has anything else, only that it has."""
    sides = value if isinstance(value, tuple) else (value,)
    if not all(side is None or isinstance(side, str | int | float) for side in sides):
        return "of another kind"
    return sides[0] if len({*sides}) == 1 else sides
