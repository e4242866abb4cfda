"""Weights under the names of other libraries: translated where the networks are the same, and named where not."""

from __future__ import annotations

import copy
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from itertools import zip_longest

import timm
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from okdbench.distill.networks.replaced_head import named_as, other_end, sequence_note, without_sequences
from okdbench.distill.networks.weight_choice import State

#: of torchvision's classifiers, those that people train most
TORCHVISION = (
    "mobilenet_v3_small", "mobilenet_v3_large", "mobilenet_v2", "efficientnet_b0", "efficientnet_b1", "efficientnet_b2",
    "shufflenet_v2_x1_0", "squeezenet1_1", "densenet121", "convnext_tiny", "vgg16", "vgg16_bn", "alexnet", "mnasnet1_0",
    "vit_b_16", "swin_t",
)  # fmt: skip
#: timm's and okdbench's networks that a file is compared with
COMMON = (
    "resnet18", "resnet34", "resnet50", "resnet101", "resnext50_32x4d", "wide_resnet50_2", "cifar_resnet18",
    "cifar_resnet34", "cifar_vgg11_bn", "wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2", "lenet5", "lenet5_half",
    "lenet5_bn", "lenet5_half_bn", "mobilenetv2_100", "mobilenetv3_small_100", "mobilenetv3_large_100",
    "efficientnet_b0", "efficientnet_b1", "densenet121", "convnext_tiny", "vit_tiny_patch16_224",
    "vit_small_patch16_224", "vit_base_patch16_224", "resnet10t", "test_resnet",
)  # fmt: skip
#: the share of a network's tensors that a file must have to be taken for one of it
ENOUGH = 0.9
#: names that no other library gives
_HUGGING_FACE = re.compile(
    r"^(\w+\.)?(embedder\.embedder|embeddings\.patch_embeddings|encoder\.layer\.0|encoder\.stages)\b"
)
#: how far the logits of one network in two libraries may differ, relative to the largest
_TOLERANCE = 1e-4


def foreign(state: State, net: nn.Module) -> tuple[State, str] | None:
    """The weights under the names of ``net``, if they are torchvision's of the same network; otherwise None.

    The tensors are assigned in their order, and the result is compared with torchvision's network on random images, so
    that a wrong assignment is never taken. ``net`` gets the epsilons of torchvision's batch norms. The text is what the
    user should know.
    """
    name = torchvision_name(state)
    if name is None:
        return None
    other = torchvision.models.get_model(name, weights=None, num_classes=count_classes(state))
    named = named_as(other.state_dict(), state)
    whole = _with_counters(named, other)  # in its order, which files need not keep
    other.load_state_dict(whole)
    mapped = _in_order({key: tensor for key, tensor in whole.items() if key in named}, net)
    return (mapped, sequence_note(named, state)) if mapped and _agree(mapped, net, other) else None


def torchvision_name(state: Mapping[str, Tensor]) -> str | None:
    """The network of torchvision whose tensors these are."""
    plain = without_sequences(state)
    return next((name for name in TORCHVISION if _share(plain, _plain(name)) == 1), None)


def torchvision_layers(state: Mapping[str, Tensor], name: str) -> nn.Module | None:
    """Torchvision's network of these tensors, without memory, to compare layers with; ``name`` is that of timm's."""
    own = name if name in torchvision.models.list_models(torchvision.models) else ""
    is_own = own and _share(without_sequences(state), _plain(own)) >= ENOUGH
    theirs = own if is_own else torchvision_name(state)
    return _bare(theirs, of_timm=False) if theirs else None


def replaced_end(state: Mapping[str, Tensor], net: nn.Module) -> list[str]:
    """The weights in place of the last layer, of ``net`` or of a network of torchvision with nothing else replaced."""
    known = (_tensors(net.state_dict()), *(_shapes(name, 3, of_timm=False) for name in TORCHVISION))
    return next(filter(None, (other_end(_tensors(state), expected) for expected in known)), [])


def nearest(state: Mapping[str, Tensor]) -> str:
    """What network the tensors are of, in words; empty if none is near."""
    if any(_HUGGING_FACE.match(key) for key in state):
        return "a network of Hugging Face's transformers, whose names differ: save them under timm's"
    if name := torchvision_name(state):
        return f"torchvision's {name}"
    first = next((tensor for tensor in state.values() if tensor.ndim == 4), None)
    channels = 3 if first is None else first.shape[1]
    shares = {name: _share(state, _shapes(name, channels, of_timm=True)) for name in COMMON}
    best = max(shares, key=lambda name: shares[name])
    return best if shares[best] >= ENOUGH else ""


@cache
def _shapes(name: str, channels: int, of_timm: bool) -> State:
    """The state dict of a network for images of so many channels."""
    return _tensors(_bare(name, of_timm, channels).state_dict())


def _bare(name: str, of_timm: bool, channels: int = 3) -> nn.Module:
    """A network without memory."""
    with torch.device("meta"), warnings.catch_warnings(action="ignore"):
        made: nn.Module = (
            timm.create_model(name, in_chans=channels) if of_timm else torchvision.models.get_model(name, weights=None)
        )
    return made


@cache
def _plain(name: str) -> State:
    return without_sequences(_shapes(name, 3, of_timm=False))


def _share(state: Mapping[str, Tensor], expected: State) -> float:
    """The share of the tensors that are there in the same shape, whatever the number of classes."""
    last = list(expected)[-2:]
    same = [
        key for key, tensor in expected.items() if key in state and (key in last or state[key].shape == tensor.shape)
    ]
    return len(same) / max(len(expected), len(_tensors(state)))


def _tensors(state: Mapping[str, Tensor]) -> State:
    return {key: tensor for key, tensor in state.items() if not key.endswith("num_batches_tracked")}


def count_classes(state: State) -> int:
    """The number of classes of torchvision's network that these tensors are of; 1 if they are of none."""
    name = torchvision_name(state)
    return len(without_sequences(state)[list(_plain(name))[-1]]) if name else 1


def _with_counters(state: State, net: nn.Module) -> State:
    return {key: state.get(key, tensor) for key, tensor in net.state_dict().items()}


def _in_order(state: State, net: nn.Module) -> State | None:
    """The tensors under the names of ``net`` in its order; None where a shape differs by more than sides of 1."""
    expected, given = _tensors(net.state_dict()), list(_tensors(state).values())
    if len(expected) != len(given):
        return None
    if any(a.squeeze().shape != b.squeeze().shape for a, b in zip(expected.values(), given, strict=True)):
        return None
    return {key: b.reshape(a.shape) for (key, a), b in zip(expected.items(), given, strict=True)}


def _agree(mapped: State, net: nn.Module, other: nn.Module) -> bool:
    """Whether both networks have the same logits; then ``net`` has the epsilons of the other one's batch norms."""
    trial = copy.deepcopy(net)
    copy_epsilons(other, trial)
    trial.load_state_dict(_with_counters(mapped, trial))
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        here, there = trial.eval()(images), other.eval()(images)
    same = bool((here - there).abs().max() <= _TOLERANCE * there.abs().max())
    if same:
        copy_epsilons(other, net)
    return same


def copy_epsilons(source: nn.Module, target: nn.Module) -> None:
    """Give each batch norm of ``target`` the epsilon of the same one of ``source``."""
    for own, other in zip_longest(_norms(target), _norms(source)):
        if own is not None and other is not None:
            own.eps = other.eps


def _norms(net: nn.Module) -> Iterator[_BatchNorm]:
    return (module for module in net.modules() if isinstance(module, _BatchNorm))
