"""A last layer that the user put into an ``nn.Sequential``: with dropout it is read, with other layers it is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from okdbench.distill.networks.weight_choice import State


def without_sequences(state: Mapping[str, Tensor]) -> State:
    """The tensors, with a linear layer that is alone in a sequence under the sequence's name.

    Dropout has no tensors, so ``fc.1.weight`` of ``fc = nn.Sequential(nn.Dropout(), nn.Linear(...))`` is ``fc.weight``.
    """
    made = dict(state)
    while alone := _alone(made):
        made = {_moved(name, alone): tensor for name, tensor in made.items()}
    return made


def named_as(expected: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> State:
    """The tensors under the names that ``expected`` has for the same layers."""
    own = dict(zip(without_sequences(expected), expected, strict=True))
    return {own.get(name, name): tensor for name, tensor in without_sequences(state).items()}


def sequence_note(named: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """What the user should know where a layer has another name now; empty where none has."""
    other = [name for name in state if name.endswith(".weight") and name not in named]
    return f"what is around the layer of {other[0]!r} has no weights and is taken for dropout" if other else ""


def front_note(prefix: str, state: Mapping[str, Tensor]) -> str:
    """What the user should know of a network that is not the first in a sequence, behind layers without tensors."""
    before, _, number = prefix.removesuffix(".").rpartition(".")
    parent = f"{before}." if before else ""
    earlier = [f"{parent}{index}." for index in range(int(number) if number.isdecimal() else 0)]
    if not earlier or any(name.startswith(tuple(earlier)) for name in state):
        return ""
    shown = " and ".join(repr(each.removesuffix(".")) for each in earlier)
    return (
        f"its tensors are under {prefix.removesuffix('.')!r}, and what is before, {shown}, has no weights; if it "
        "normalises the images, say so with --mean and --std"
    )


def other_end(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """The weights at the end where all before it is as expected, and the end has other layers; none elsewhere."""
    end = list(expected)[-1].partition(".")[0] + "."
    before, theirs = (
        {name: tensor.shape for name, tensor in each.items() if not name.startswith(end)} for each in (expected, state)
    )
    if not before or before != theirs or without_sequences(state).keys() == without_sequences(expected).keys():
        return []
    return [name for name in state if name.startswith(end) and name.endswith("weight")]


def _alone(state: Mapping[str, Tensor]) -> str:
    """The name of a linear layer that is alone in a sequence; empty without."""
    linear = (name.rpartition(".")[0] for name, value in state.items() if name.endswith(".weight") and value.ndim == 2)
    return next((layer for layer in linear if _is_alone(layer, state)), "")


def _is_alone(layer: str, names: Iterable[str]) -> bool:
    parent, _, number = layer.rpartition(".")
    beside = (name for name in names if name.startswith(f"{parent}."))
    return bool(parent) and number.isdigit() and all(name.startswith(f"{layer}.") for name in beside)


def _moved(name: str, layer: str) -> str:
    parent, rest = layer.rpartition(".")[0], name.removeprefix(f"{layer}.")
    return name if rest == name else f"{parent}.{rest}"
