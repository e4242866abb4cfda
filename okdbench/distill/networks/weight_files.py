"""The tensors in a file of weights, in every common form; nothing in a file is executed."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as from_safetensors
from torch import Tensor

from okdbench.core.errors import UserError, one_line
from okdbench.distill.networks.file_kinds import is_safetensors, other_kind, refuse_other_places
from okdbench.distill.networks.inert_pickle import Inert, unpickled
from okdbench.distill.networks.weight_choice import WRAPPERS, State, every_tensor, weights_in

_WRAPPERS = re.compile(rf"(?<![^.])({WRAPPERS})\.")


class WeightFile(NamedTuple):
    """The tensors of a file by name, and what is beside them.

    Attributes:
        state: the tensors.
        architecture: timm's name of the network, if the file gives one.
        metadata: what else the file has: the texts of safetensors, or the content of a checkpoint.
        digest: SHA-256 of the file's content, in hexadecimal.
        place: the names that lead to the tensors, with a dot at the end; empty for the whole content.
        others: all other tensors with numbers, by the names that lead to each.
    """

    state: State
    architecture: str
    metadata: Mapping[str, Any]
    digest: str
    place: str
    others: State


def read_weights(path: Path) -> WeightFile:
    """The weights in a safetensors file, or in any file that ``torch.save`` made, wrapped or not.

    Raises:
        UserError: it is missing, damaged, of another kind, or holds no weights.
    """
    refuse_other_places(path)
    content = path.read_bytes()
    if kind := other_kind(content):
        raise UserError(f"{path} is {kind}")
    try:
        found = from_safetensors(content) if is_safetensors(content) else unpickled(content)
    except Exception as error:  # reading a damaged file fails in many ways, with the same meaning for the user
        if re.search("incomplete|truncated|ran out of input|not cover", str(error), re.IGNORECASE):
            raise UserError(f"{path} is an incomplete copy: copy or download it again") from error
        raise UserError(
            f"{path} cannot be read ({one_line(error)}); save it again with torch.save(net.state_dict(), FILE)"
        ) from error
    state = weights_in(found)
    if not state:
        what = "tensors or arrays of a class that is not read" if _is_strange(found) else "no weights"
        raise UserError(f"{path} holds {what}; save them with torch.save(net.state_dict(), FILE)")
    place, others = _elsewhere(found, state)
    named = found.get("arch") if isinstance(found, dict) else ""
    state, others = (
        {_WRAPPERS.sub("", name): _widened(tensor) for name, tensor in each.items()} for each in (state, others)
    )
    architecture = named if isinstance(named, str) else ""
    beside = _header(content) if is_safetensors(content) else found if isinstance(found, Mapping) else {}
    return WeightFile(state, architecture, beside, hashlib.sha256(content).hexdigest(), place, others)


def _elsewhere(found: object, state: State) -> tuple[str, State]:
    """Where the chosen tensors are, and all others that have numbers."""
    names = {_memory(tensor): name for name, tensor in state.items()}
    whole = {path: tensor for path, tensor in every_tensor(found) if tensor.numel()}
    # another copy may share some of them
    places = Counter(path.removesuffix(names[_memory(t)]) for path, t in whole.items() if _memory(t) in names)
    place = places.most_common(1)[0][0] if places else ""
    own = {f"{place}{name}" for name in state}
    return place, {path: t for path, t in whole.items() if t.is_floating_point() and path not in own}


def _memory(tensor: Tensor) -> tuple[int, ...]:
    """What tells a tensor from others, whatever object has it."""
    return (tensor.data_ptr() if tensor.layout == torch.strided else 0, *tensor.shape)


def _is_strange(found: object) -> bool:
    """Whether there is a state dict, but of objects that are not loaded."""
    inner = [found, *found.values()] if isinstance(found, dict) else []
    return any(isinstance(each, dict) and each and all(isinstance(v, Inert) for v in each.values()) for each in inner)


def _widened(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def _header(content: bytes) -> Mapping[str, str]:
    """The texts in the header of a valid safetensors file."""
    size = int.from_bytes(content[:8], "little")
    texts: Mapping[str, str] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return texts
