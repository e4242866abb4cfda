"""Fits the tensors of a file to a network, or says why they are of another one."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor, nn

from okdbench.core.errors import UserError
from okdbench.core.notices import say_once
from okdbench.distill.networks.foreign_names import (
    copy_epsilons,
    count_classes,
    foreign,
    nearest,
    replaced_end,
    torchvision_layers,
)
from okdbench.distill.networks.last_layer import Adjust, as_it_is, head_names, new_layer, with_classes
from okdbench.distill.networks.pickled_layers import other_layers
from okdbench.distill.networks.preprocessing import preprocessing_of
from okdbench.distill.networks.replaced_head import front_note, named_as, sequence_note
from okdbench.distill.networks.stated_statistics import STATISTICS
from okdbench.distill.networks.unused_tensors import average_note, notes_beside
from okdbench.distill.networks.weight_choice import State, equal, modules_in
from okdbench.distill.networks.weight_files import read_weights
from okdbench.distill.networks.weight_reasons import (
    CODE,
    FRONT,
    about_batch_norm,
    about_channels,
    about_classes,
    part_of,
    reworked,
    too_much,
)

#: the counter of a batch norm, which old files lack and nothing here reads
_COUNTER = "num_batches_tracked"
#: what training scripts keep beside the layers: a counter of averaged weights, and the normalisation of images
_HARMLESS = {"n_averaged", *STATISTICS, *STATISTICS.values(), _COUNTER}
#: levels of names that may stand before those of the network
_DEEPEST = 3


def load_weights(net: nn.Module, path: Path, name: str, adjust: Adjust = as_it_is, digest: str = "") -> None:
    """Load a user's file of weights into ``net``; no code in the file is executed.

    Prefixes such as ``module.`` are taken off, missing counters of batch norm are filled in, and the names of timm's
    earlier versions and of torchvision's networks are translated. What the user should know of a choice is printed on
    standard error.

    Args:
        net: network to load into; unchanged if the file is refused.
        path: the file.
        name: the network's architecture, for messages.
        adjust: what is done about a last layer for other classes: :func:`new_layer`, or :func:`rows_of` some.
        digest: of the content that the run was planned with; empty for any.

    Raises:
        UserError: the file is missing, damaged or replaced, or has no weights, those of another network, other layers,
            or no numbers.
    """
    state, architecture, content, found, place, others = read_weights(path)
    if digest not in ("", found):
        raise UserError(f"{path} was replaced since the run was planned; run the same command again")
    _refuse_broken(state, path)
    parts = {prefix: _part(state, prefix, net) for prefix in _prefixes(state)}
    fitting = {prefix: made for prefix, (part, _) in parts.items() if (made := _fitting(part, net, adjust))}
    if not fitting:
        nearest_part = _nearest(state, [part for part, _ in parts.values()], net)
        reason = part_of(path) or _reason(state, nearest_part, net, name, path, is_start=adjust is new_layer)
        raise UserError(f"{path} is not a weights file of {name} here: {reason}")
    prefix, chosen = _choose({prefix: made for prefix, (made, _) in fitting.items()}, path)
    fitted, adjusted = fitting[prefix]
    part, note = parts[prefix]
    beside: list[str] = []
    if adjust is not new_layer:  # from a start the network learns anyway
        is_whole = any(True for _ in modules_in(content))
        original = torchvision_layers(part, name) if is_whole and timm.is_model(name) else None
        _refuse_other_layers(other_layers(content, {*part}, net, original), path, name)
        rest = _rest(state, [parts[each][0] for each in fitting]) | others
        front = front_note(prefix, state)
        beside = [front] if front and not preprocessing_of(path, name).mean else []
        beside += notes_beside(place + prefix, _without_harmless(part), rest, net.state_dict())
    net.load_state_dict({key: fitted.get(key, tensor) for key, tensor in net.state_dict().items()})
    for text in filter(None, (chosen, note, *beside, adjusted, _other_name(architecture, name))):
        say_once(f"{path}: {text}")


def _rest(state: State, used: Sequence[State]) -> State:
    """The tensors with numbers that are in none of the parts."""
    known = {id(tensor) for part in used for tensor in part.values()}
    return {key: tensor for key, tensor in state.items() if id(tensor) not in known and tensor.is_floating_point()}


def _refuse_broken(state: State, path: Path) -> None:
    if broken := [key for key, tensor in state.items() if not bool(torch.isfinite(tensor).all())]:
        raise UserError(
            f"{path}: {len(broken)} tensors have values that are not finite, the first {broken[0]!r}; use an earlier "
            "checkpoint of its training"
        )
    if negative := [key for key, tensor in state.items() if key.endswith("running_var") and bool((tensor < 0).any())]:
        raise UserError(f"{path}: {negative[0]!r} has a negative variance; use an earlier checkpoint of its training")


def _refuse_other_layers(found: Sequence[str], path: Path, name: str) -> None:
    if found:
        raise UserError(
            f"{path} holds a whole network that is not {name} as it is here: {', '.join(found)}; give the code of this "
            "network, --teacher ./net.py, or save its weights alone if both give the same"
        )


def _other_name(architecture: str, name: str) -> str:
    """A warning about networks whose tensors are alike and whose layers differ, such as tf_efficientnet_b0."""
    if timm.is_model(architecture) and architecture.partition(".")[0] != name.partition(".")[0]:
        return f"warning: the training that wrote it calls the network {architecture}, not {name}"
    return ""


def _choose(fitting: Mapping[str, State], path: Path) -> tuple[str, str]:
    """The prefix of the network that is meant of several in a file, and what the user should know of that.

    Raises:
        UserError: it cannot be told.
    """
    first, *others = prefixes = list(fitting)
    # one network may be there twice, as an attribute of two modules
    if all(equal(fitting[first], fitting[other]) for other in others):
        return first, ""
    averages = [prefix for prefix in prefixes if "ema" in prefix.lower()]
    if len(averages) == 1:
        average, raw = averages[0], next(prefix for prefix in prefixes if prefix not in averages)
        return average, average_note(average, raw, fitting[average], fitting[raw])
    listed = ", ".join(repr(prefix) for prefix in prefixes)
    raise UserError(f"{path} holds several networks of this architecture, {listed}; save the one that is meant")


def _fitting(state: State, net: nn.Module, adjust: Adjust) -> tuple[State, str] | None:
    """The tensors under the network's names, if they are its own, or those of the same network elsewhere; adjusted."""
    expected, head = net.state_dict(), head_names(net)
    if len(state) < len(set(_needed(expected)) - head):
        return None
    # DataParallel may wrap a part alone
    unwrapped = {key.replace(".module.", "."): tensor for key, tensor in state.items()}
    for found in (state, _filtered(state, net), unwrapped, named := named_as(expected, unwrapped)):
        # before it is adjusted, because only tensors that are all there are known to be of this network
        if set(_unfit(found, expected)) <= (head if adjust is not as_it_is else set()):
            made, note = adjust(found, net)
            notes = (note, sequence_note(named, unwrapped) if found is named else "")
            return (made, _joined(*notes)) if not _unfit(made, expected) else None
    return _foreign(state, net, adjust)


def _foreign(state: State, net: nn.Module, adjust: Adjust) -> tuple[State, str] | None:
    """As :func:`foreign`, also of a network with other classes where the last layer is adjusted."""
    other = net if adjust is as_it_is else with_classes(net, count_classes(state))
    if not (found := foreign(state, other)):
        return None
    copy_epsilons(other, net)
    made, note = adjust(found[0], net)
    return made, _joined(note, found[1])


def _joined(*notes: str) -> str:
    return "; ".join(filter(None, notes))


def _prefixes(state: Mapping[str, Any]) -> list[str]:
    """All that the names of the file begin with up to a dot, the shortest first; the empty text is one of them."""
    parts = [key.split(".") for key in state]
    found = {".".join([*names[:length], ""]) for names in parts for length in range(min(len(names), _DEEPEST + 1))}
    return sorted(found, key=lambda prefix: (len(prefix), prefix))


def _without(state: State, prefix: str) -> State:
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def _part(state: State, prefix: str, net: nn.Module) -> tuple[State, str]:
    """The tensors below the prefix, and the last layer if it alone is elsewhere: ``backbone.`` and ``head.``."""
    part, names = _without(state, prefix), sorted(head_names(net), reverse=True)  # the weight first
    elsewhere = [key for key in state if not key.startswith(prefix) and state[key].ndim > 1]
    if len(names) != 2 or len(elsewhere) != 1 or any(name in part for name in names):
        return part, ""
    bias = elsewhere[0].removesuffix("weight") + "bias"
    if bias not in state:
        return part, ""
    note = f"its last layer is {elsewhere[0]!r}, all others are under {prefix!r}"
    return part | {names[0]: state[elsewhere[0]], names[1]: state[bias]}, note


def _nearest(state: State, parts: Sequence[State], net: nn.Module) -> State:
    """The part that has most of the network's tensors; all, without what all names begin with, where it has few."""
    expected = net.state_dict()
    counts = [sum(key in part and part[key].shape == expected[key].shape for key in expected) for part in parts]
    if 2 * max(counts) > len(expected):
        return parts[counts.index(max(counts))]
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
    wrong += _integers(state, expected)
    return wrong + [key for key in _without_harmless(state) if key not in expected]


def _without_harmless(state: Mapping[str, Tensor]) -> State:
    return {key: tensor for key, tensor in state.items() if key.rpartition(".")[2] not in _HARMLESS}


def _integers(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> list[str]:
    """Tensors of integers where the network has numbers."""
    numbers = [key for key in expected if key in state and expected[key].is_floating_point()]
    return [key for key in numbers if not state[key].is_floating_point()]


def _reason(whole: State, state: State, net: nn.Module, name: str, path: Path, is_start: bool) -> str:
    """Why the tensors do not fit, in words of what the user can change; a start is given images, and chooses none."""
    return next(filter(None, _reasons(whole, state, net, name, path, is_start)))


def _reasons(whole: State, state: State, net: nn.Module, name: str, path: Path, is_start: bool) -> Iterator[str]:
    """What may be the reason, the most certain first; empty for one that it is not."""
    expected, head = net.state_dict(), head_names(net)
    translated = foreign(state, with_classes(net, count_classes(state)))
    found = translated[0] if translated else named_as(expected, state)
    unfit = _unfit(found, expected)
    yield _about_values(found, expected)
    if (classes := _other_classes(found, net)) and set(unfit) <= head:
        yield about_classes(classes, len(expected[min(head & set(expected))]), whole)
    if end := replaced_end(state, net):
        yield f"in place of its last layer the file has {', '.join(map(repr, end))}; {FRONT if is_start else CODE}"
    needed, other = {key: expected[key] for key in _needed(expected)}, _other_architecture(found, name, path)
    if not other:
        yield too_much(_without_harmless(whole), found, needed, head)
    if set(unfit) <= head - set(found):
        yield "the file has no last layer, so it is no trained classifier; --teacher-init starts a training from it"
    for key in unfit:
        if key in found and key in expected and (channels := _other_channels(found[key], expected[key])):
            yield about_channels(channels, expected[key].shape[1], is_start)
    yield about_batch_norm(found, expected)
    matching = len(needed) - sum(key in expected for key in unfit)
    cure = other or "name its architecture with --teacher"
    yield f"{matching} of its {len(needed)} tensors match, the first that does not fit is {unfit[0]!r}; {cure}"


def _about_values(found: State, expected: State) -> str:
    """What was done to the numbers; empty if nothing is known of it."""
    if kind := reworked(found):
        return f"its weights are {kind}"
    if integers := _integers(found, expected):
        return f"its weights are quantised, {integers[0]!r} for one is of integers: save them before quantisation"
    return ""


def _other_architecture(found: State, name: str, path: Path) -> str:
    """Which one it is, by the names in the file or beside it, or else by its tensors; empty if it is not known."""
    named, near = preprocessing_of(path, name).architecture, nearest(found)
    if named and named.partition(".")[0] != name.partition(".")[0]:
        return f"the file, or a config.json beside it, calls it {named}: --teacher {named}"
    return f"these are tensors of {near}" if near and near != name else ""


def _other_classes(found: State, net: nn.Module) -> int:
    """The number of the file's classes, if it has a last layer of another size; otherwise 0."""
    expected = net.state_dict()
    sizes = {len(found[key]) for key in head_names(net) if key in found and found[key].shape != expected[key].shape}
    return sizes.pop() if len(sizes) == 1 else 0


def _other_channels(weight: Tensor, expected: Tensor) -> int:
    """The channels of a first convolution that differs from the expected one in nothing else; otherwise 0."""
    # without the input channels
    same = weight.ndim == expected.ndim == 4 and weight[:, 0].shape == expected[:, 0].shape
    return weight.shape[1] if same and weight.shape[1] != expected.shape[1] else 0
