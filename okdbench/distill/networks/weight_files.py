"""The tensors in a file of weights, in every common form; nothing in a file is executed."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from safetensors.torch import load as from_safetensors
from torch import Tensor

from okdbench.core.errors import UserError, one_line
from okdbench.distill.networks.file_kinds import is_safetensors, other_kind, refuse_other_places
from okdbench.distill.networks.inert_pickle import Inert, unpickled
from okdbench.distill.networks.weight_choice import weights_in

State = dict[str, Tensor]

#: parts of names that wrappers insert anywhere: compiled, sharded and recomputed modules
_WRAPPERS = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\.")


class WeightFile(NamedTuple):
    """The tensors of a file by name, and what is beside them.

    Attributes:
        state: the tensors.
        note: what the user should know of a choice.
        architecture: timm's name of the network, if the file gives one.
        metadata: what else the file has: the texts of safetensors, or the content of a checkpoint.
        digest: SHA-256 of the file's content, in hexadecimal.
    """

    state: State
    note: str = ""
    architecture: str = ""
    metadata: Mapping[str, Any] = {}
    digest: str = ""


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
    state, note = weights_in(found)
    if not state:
        what = "tensors or arrays of a class that is not read" if _is_strange(found) else "no weights"
        raise UserError(f"{path} holds {what}; save them with torch.save(net.state_dict(), FILE)")
    named = found.get("arch") if isinstance(found, dict) else ""
    state = {_WRAPPERS.sub("", name): _widened(tensor) for name, tensor in state.items()}
    architecture = named if isinstance(named, str) else ""
    beside = _header(content) if is_safetensors(content) else found if isinstance(found, Mapping) else {}
    return WeightFile(state, note, architecture, beside, hashlib.sha256(content).hexdigest())


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
