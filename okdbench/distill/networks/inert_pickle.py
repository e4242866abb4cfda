"""Reads pickles without executing anything in them.

Pickles name classes. Those that make tensors are known here; an object of any other class becomes an inert one, which
keeps its content and does nothing. So a whole network can be read, without its class. Of numpy's arrays the numbers are
kept, because the mean of images is often one.
"""

from __future__ import annotations

import io
import pickle
import re
import warnings
from collections import OrderedDict
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import torch

#: module and name of everything that a pickle may call
_ALLOWED = {
    "collections": {"OrderedDict"},
    "torch": {"Size", "device"},
    "torch._utils": {
        "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_tensor", "_rebuild_parameter",
        "_rebuild_parameter_with_state", "_rebuild_sparse_tensor",
    },
    "torch.serialization": {"_get_layout"},
    "torch.storage": {"UntypedStorage"},
    "builtins": {"set", "frozenset"},
    # as torch.save writes it
    "__builtin__": {"set", "frozenset"},
}  # fmt: skip


class Inert(dict[Any, Any]):
    """An object of a class that is not loaded: it keeps items and attributes, and does nothing."""

    #: what torch.load asks of the class of a network in an old file
    dump_patches = False
    #: full name of the class; empty if it is not known
    origin: ClassVar[str] = ""

    def __init__(self, *_: Any, **__: Any) -> None:
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        parts = state if isinstance(state, tuple) else (state,)
        for part in parts:
            self.__dict__.update(part if isinstance(part, dict) else {})

    def __call__(self, *_: Any, **__: Any) -> Inert:
        """Another inert object, whatever the arguments."""
        return Inert()

    def append(self, _: Any) -> None:
        """Forget the item of a list."""

    def extend(self, _: Any) -> None:
        """Forget the items of a list."""

    def __hash__(self) -> int:  # type: ignore[override]
        return id(self)


class InertConfig(Inert):
    """A part of OmegaConf's configurations: a mapping of plain values, or one of these or a list as ``value``."""

    value: Any = None

    def __setstate__(self, state: Any) -> None:
        state = state if isinstance(state, dict) else {}
        content = state.get("_content", state.get("_val"))
        if isinstance(content, dict):
            self.update({name: _value(each) for name, each in content.items()})
        else:
            self.value = [*map(_value, content)] if isinstance(content, list) else content


def _value(node: Any) -> Any:
    return node.value if isinstance(node, InertConfig) and not node else node


class InertType(Inert):
    """numpy's description of the numbers in an array: a letter for the kind, the bytes of each, and their order."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        super().__init__()
        self.code = str(code)

    def __setstate__(self, state: Any) -> None:
        order = state[1] if isinstance(state, tuple) and len(state) > 1 else ""
        self.code = (order if order in ("<", ">") else "") + self.code


class InertArray(Inert):
    """An array or a number of numpy, as a list of numbers; of other content it has none."""

    numbers: list[float] | None = None

    def __setstate__(self, state: Any) -> None:
        if isinstance(state, tuple) and len(state) == len(("version", "shape", "type", "order", "content")):
            self._read(state[2], state[4])

    def _read(self, kind: Any, content: Any) -> InertArray:
        code = kind.code if isinstance(kind, InertType) else ""
        if re.fullmatch(r"[<>]?[fiu][248]", code) and isinstance(content, bytes):
            with suppress(ValueError):
                self.numbers = np.frombuffer(content, code).tolist()
        return self


def _array(*_: Any) -> InertArray:
    return InertArray()


def _number(kind: Any = None, content: Any = None) -> InertArray:
    return InertArray()._read(kind, content)


def _bytes(text: Any = "", *_: Any) -> Any:
    """The bytes that old pickles write as a text."""
    return text.encode("latin1", "replace") if isinstance(text, str) else Inert()


def _text(value: Any = "", *_: Any) -> Any:
    """The value of an enumeration of texts."""
    return value if isinstance(value, str) else Inert()


#: what numpy's pickles call -> what is called in its place; numpy has renamed the module
_OF_NUMPY = {
    ("numpy", "dtype"): InertType, ("_codecs", "encode"): _bytes,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _number for core in ("core", "_core")},
}  # fmt: skip


def _quantised(*_: Any) -> torch.Tensor:
    """An empty tensor of integers in place of a quantised one, whose numbers nothing here reads."""
    return torch.empty(0, dtype=torch.int8)


class _Unpickler(pickle._Unpickler):
    """Makes tensors, arrays and plain types, and inert objects in place of all others."""

    dispatch: ClassVar[dict[int, Any]] = dict(pickle._Unpickler.dispatch)

    def load_build(self) -> None:
        """Give an object its state; those of torch get none, because a pickle could change torch's own with it."""
        stack: list[Any] = vars(self)["stack"]
        state, made = stack.pop(), stack[-1]
        if isinstance(made, Inert):
            made.__setstate__(state)
        elif isinstance(made, OrderedDict) and isinstance(state, dict):
            vars(made).update(state)

    dispatch[pickle.BUILD[0]] = load_build

    def find_class(self, module: str, name: str) -> Any:
        if name in _ALLOWED.get(module, ()) or (module == "torch" and name.endswith("Storage")):
            return super().find_class(module, name)
        if (module, name) == ("torch.storage", "_load_from_bytes"):
            return unpickled
        if (module, name) == ("torch._utils", "_rebuild_qtensor"):
            return _quantised
        if module.startswith("omegaconf."):
            return InertConfig
        if name == "InterpolationMode":  # torchvision's
            return _text
        if found := _OF_NUMPY.get((module, name)):
            return found
        if module == "torch" and isinstance(found := getattr(torch, name, None), torch.dtype):
            return found
        return type("Inert", (Inert,), {"origin": f"{module}.{name}"})


def _is_program(content: bytes) -> bool:
    """Whether it is TorchScript, by torch's own reader: another one might see other files in a forged archive."""
    is_archive = content.startswith(b"PK\x03\x04")
    return is_archive and "constants.pkl" in torch._C.PyTorchFileReader(io.BytesIO(content)).get_all_records()


#: what torch.load takes in place of the module pickle
_INERT_PICKLE = SimpleNamespace(Unpickler=_Unpickler, load=lambda file, **options: _Unpickler(file, **options).load(),
                                __name__="inert")  # fmt: skip


def unpickled(content: bytes) -> Any:
    """What a file of ``torch.save`` or ``pickle.dump`` holds.

    Raises:
        UnpicklingError: it is a program, which ``torch.load`` would execute, or damaged.
    """
    if _is_program(content):
        raise pickle.UnpicklingError("it has a TorchScript program in it, which is not executed")
    # From memory, because torch.load goes by the ending of a file's name. Its warnings are about classes of networks.
    try:
        with warnings.catch_warnings(action="ignore"):
            return torch.load(io.BytesIO(content), map_location="cpu", pickle_module=_INERT_PICKLE, weights_only=False)
    except RuntimeError as error:
        if "magic number" not in str(error):
            raise
        return _Unpickler(io.BytesIO(content)).load()
