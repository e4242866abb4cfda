"""The tensors in a file of weights, in every common form; nothing in a file is executed.

Pickles name classes. Those that make tensors are known here; an object of any other class, numpy's included, becomes an
inert one, which keeps its content and does nothing. So a whole network can be read, without its class.
"""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import torch
from safetensors.torch import load as from_safetensors
from torch import Tensor

from okdbench.core.errors import UserError, one_line

State = dict[str, Tensor]

#: names under which training scripts keep weights: those of a moving average first, which are the better ones
EMA_NAMES = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "model_ema_state_dict", "ema")
NAMES = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "weights",
    "params",
    "module",
    "teacher",
    "classifier",
)

#: beginning of a file -> what it is
_OTHER_KINDS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run git lfs pull",
    b"\x89HDF": "an HDF5 file of Keras: export it to PyTorch first",
    b"\x08": "an ONNX file: give the PyTorch weights that it was exported from",
}
#: module and name of everything that a pickle may call
_ALLOWED = {
    "collections": {"OrderedDict"},
    "torch": {"Size", "device"},
    "torch._utils": {"_rebuild_tensor_v2", "_rebuild_tensor", "_rebuild_parameter", "_rebuild_parameter_with_state"},
    "builtins": {"set", "frozenset"},
}


class WeightFile(NamedTuple):
    """The tensors of a file by name, what of a choice the user should know, and what is beside the weights."""

    state: State
    note: str
    metadata: Mapping[str, Any]


def read_weights(path: Path) -> WeightFile:
    """The weights in a safetensors file, or in any file that ``torch.save`` made, wrapped or not.

    Raises:
        UserError: it is missing, damaged, of another kind, or holds no weights.
    """
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist; give a .safetensors or a state-dict file")
    content = path.read_bytes()
    if kind := _other_kind(content, path):
        raise UserError(f"{path} is {kind}")
    try:
        found = from_safetensors(content) if _is_safetensors(content) else _unpickled(content)
    except Exception as error:  # reading a damaged file fails in many ways, with the same meaning for the user
        raise UserError(
            f"{path} cannot be read ({one_line(error)}); save it again with torch.save(net.state_dict(), FILE)"
        ) from error
    state, note = _weights_in(found)
    if not state:
        raise UserError(f"{path} holds no weights; save them with torch.save(net.state_dict(), FILE)")
    return WeightFile(
        {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()},
        note,
        _header(content) if _is_safetensors(content) else found if isinstance(found, Mapping) else {},
    )


# Kinds of files


def _other_kind(content: bytes, path: Path) -> str:
    """What the file is, if it cannot hold weights that are read here; otherwise the empty text."""
    if not content:
        return "empty: it was not copied or downloaded completely"
    start = content[:512].lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page: the download needs a login, or its address is wrong"
    for beginning, kind in _OTHER_KINDS.items():
        if content.startswith(beginning) and not _is_safetensors(content):
            return kind
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("constants.pkl") for name in names):
            return "a TorchScript file: save net.state_dict() of the network that it was made of"
        if not any(name.endswith("data.pkl") for name in names):
            return "a zip archive: unpack it and name the file of weights in it"
    return ""


def _is_safetensors(content: bytes) -> bool:
    """Eight bytes of length, then JSON."""
    size = int.from_bytes(content[:8], "little")
    return 2 <= size <= len(content) - 8 and content[8:9] == b"{"


def _header(content: bytes) -> Mapping[str, str]:
    """The texts in the header of a valid safetensors file."""
    size = int.from_bytes(content[:8], "little")
    texts: Mapping[str, str] = json.loads(content[8 : 8 + size]).get("__metadata__", {})
    return texts


# Pickles


class _Inert(dict[Any, Any]):
    """An object of a class that is not loaded: it keeps items and attributes, and does nothing."""

    #: what torch.load asks of the class of a network in an old file
    dump_patches = False

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            self.__dict__.update(part if isinstance(part, dict) else {})

    def __call__(self, *_: Any, **__: Any) -> _Inert:
        return _Inert()

    def append(self, _: Any) -> None:
        """Forget the item of a list."""

    def extend(self, _: Any) -> None:
        """Forget the items of a list."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class _Unpickler(pickle.Unpickler):
    """Makes tensors, arrays and plain types, and inert objects in place of all others."""

    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module, ()) or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        return _Inert


#: what torch.load takes in place of the module pickle
_INERT_PICKLE = SimpleNamespace(Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load(),
                                __name__="inert")  # fmt: skip


def _unpickled(content: bytes) -> Any:
    # From memory, because torch.load goes by the ending of a file's name. Its warnings are about classes of networks.
    with warnings.catch_warnings(action="ignore"):
        return torch.load(io.BytesIO(content), map_location="cpu", pickle_module=_INERT_PICKLE, weights_only=False)


# Which tensors are the weights


def _weights_in(content: Any, note: str = "") -> tuple[State, str]:
    """The weights in what a file held: itself, or under one of the usual names; a moving average before others."""
    if isinstance(content, _Inert) and "_modules" in vars(content):
        return _of_network(content), note
    if not isinstance(content, Mapping):
        return {}, note
    for name in EMA_NAMES:
        if found := _weights_in(content.get(name))[0]:
            return found, f"the moving average {name!r} is used, not the raw weights" if _has_raw(content) else note
    for name in NAMES:
        if found := _weights_in(content.get(name))[0]:
            return found, note
    return {
        name: value.detach() for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)
    }, note


def _has_raw(content: Mapping[Any, Any]) -> bool:
    return any(_weights_in(content.get(name))[0] for name in NAMES)


def _of_network(net: _Inert) -> State:
    """The state dict of a network whose class is not loaded: its parameters and persistent buffers."""
    return OrderedDict(_walk(net, ""))


def _walk(net: _Inert, prefix: str) -> Iterator[tuple[str, Tensor]]:
    own = vars(net)
    transient = own.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        for name, value in (own.get(kind) or {}).items():
            if isinstance(value, Tensor) and name not in transient:
                yield prefix + name, value.detach()
    for name, child in (own.get("_modules") or {}).items():
        if isinstance(child, _Inert):
            yield from _walk(child, f"{prefix}{name}.")
