"""What a file says of how timm built its network: the name of the architecture, and options beside the defaults."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from typing import Any

import timm

from okdbench.distill.networks.plain_values import mapping_of

#: entries that name the architecture
_NAMES = ("architecture", "arch", "model", "model_name")
#: entries with options of ``timm.create_model``: of ``config.json``, and of ``train.py``
_OPTIONS = ("model_args", "model_kwargs")
#: options that have an entry of their own, and what timm calls them
_SINGLE = {"global_pool": ("global_pool", str), "gp": ("global_pool", str), "bn_eps": ("bn_eps", float)}
#: options that okdbench sets itself, or that say where weights are and not what the network is
_OURS = {*inspect.signature(timm.create_model).parameters, "num_classes", "in_chans", "img_size", "pretrained_strict"}
#: what to do about options that cannot be used
NO_OPTIONS = (
    "give its code, ./net.py in place of its name, or save its weights alone, torch.save(net.state_dict(), FILE)"
)

#: names and values, to be a part of what can be hashed; a value is plain
Options = tuple[tuple[str, Any], ...]


def architecture_in(layers: Iterable[Mapping[str, Any]]) -> str:
    """Timm's name of the network, in the last entry that has one; empty without."""
    found = [str(layer[key]) for layer in layers for key in _NAMES if isinstance(layer.get(key), str)]
    return next((name for name in reversed(found) if timm.is_model(name)), "")


def options_in(layers: Iterable[Mapping[str, Any]]) -> tuple[Options, tuple[str, ...]]:
    """The options in all entries, the later ones winning, and the names of those whose value is no plain one."""
    found: dict[str, Any] = {}
    for layer in layers:
        found |= {name: layer[key] for key, (name, kind) in _SINGLE.items() if isinstance(layer.get(key), kind)}
        for key in _OPTIONS:
            found |= mapping_of(layer.get(key))
    found = {str(name): value for name, value in found.items() if value not in (None, "") and name not in _OURS}
    plain = {name: _hashable(value) for name, value in found.items() if _is_plain(value)}
    return tuple(sorted(plain.items())), tuple(sorted(found.keys() - plain.keys()))


def spelt(options: Options) -> str:
    """``act_layer=tanh, num_heads=8``."""
    return ", ".join(f"{name}={value}" for name, value in options)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float) or (
        isinstance(value, list | tuple) and all(isinstance(each, str | int | float) for each in value)
    )


def _hashable(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
