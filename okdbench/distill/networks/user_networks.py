"""Networks of the user: built by a Python file that is named by its path, or by an installed package."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from torch import nn

from okdbench.core.code_digest import digest_of, imported_names, sources_of
from okdbench.core.entry_points import find, load
from okdbench.core.errors import UserError, one_line, unknown
from okdbench.core.network_names import GROUP, file_of
from okdbench.core.plugin_files import load as load_file
from okdbench.core.plugin_files import read, where
from okdbench.distill.networks.timm_options import Options, spelt

Builder = Callable[..., Any]

#: what a file's builder is called where none is named
BUILD = "build"
#: letters of the digest in names: enough to tell all files of a laboratory apart
DIGITS = 8
#: the modules of okdbench that a network may import, as a method may
_OPEN = ("okdbench.api", "okdbench.distill")


@dataclass(frozen=True)
class Network:
    """A network by name.

    Attributes:
        name: as records and tables have it: timm's, or ``net.py:build (3f9a12cd)`` with a digest of the code.
        digest: of everything that its construction depends on; empty for timm's.
        builder: a function or class of the user; None for timm's.
        place: where the builder is, for messages.
        options: of a network of timm, beside its defaults, as its file has them.
    """

    name: str
    digest: str = ""
    builder: Builder | None = None
    place: str = ""
    options: Options = ()

    @property
    def identity(self) -> str | list[str]:
        """What keys have of it."""
        further = self.digest or spelt(self.options)
        return [self.name, further] if further else self.name


def user_network(name: str) -> Network | None:
    """The network in a file, ``net.py`` or ``net.py:build``, or of an entry point; None if it is neither.

    Raises:
        UserError: it cannot be loaded, or it is not clear which network of the file is meant.
    """
    if found := file_of(name):
        path, wanted = found
        _refuse_beyond(path)
        module = load_file(path)
        builder, digest = _builder(module, wanted, path), digest_of(*sources_of(module))
        label = f"{Path(path).name}:{wanted}" if wanted else Path(path).name
        return Network(f"{label} ({digest[:DIGITS]})", digest, builder, path)
    if not (entry := find(GROUP, name)):
        return None
    loaded = load(entry, (ModuleType, type, FunctionType))
    builder = _builder(loaded, "", entry.point.value) if isinstance(loaded, ModuleType) else loaded
    digest = digest_of(*sources_of(loaded))
    return Network(f"{name} ({entry.package}, {digest[:DIGITS]})", digest, builder, f"package {entry.package}")


def call(network: Network, classes: int, image_size: int, channels: int) -> nn.Module:
    """The module that a network of the user builds, whatever its shape.

    Raises:
        UserError: its builder fails, needs something else, or returns no module.
    """
    assert network.builder is not None
    known = _arguments(classes, image_size, channels)
    options = {name: known[name] for name in inspect.signature(network.builder).parameters if name in known}
    try:
        net = network.builder(**options)
    except Exception as error:  # another author's code fails in any way
        place = where(error, Path(network.place).expanduser().resolve()) if file_of(network.place) else ""
        raise UserError(f"{place or network.place}: {one_line(error, kind=True)}") from error
    if not isinstance(net, nn.Module):
        kind = type(net).__name__
        raise UserError(f"{network.place}: {network.builder.__name__} returns a {kind}; return a torch.nn.Module")
    return net


def _arguments(classes: int, image_size: int, channels: int) -> dict[str, int]:
    """What a builder may take, by every usual name."""
    return (
        dict.fromkeys(("classes", "num_classes"), classes)
        | dict.fromkeys(("channels", "in_chans", "in_channels"), channels)
        | dict.fromkeys(("image_size", "img_size"), image_size)
    )


def _builder(module: ModuleType, wanted: str, place: str) -> Builder:
    """The function or class of this name, or else ``build``, or the only class or function that can be called."""
    own = dict(_own(module))
    found: Any = vars(module).get(wanted or BUILD)
    if callable(found):
        if missing := _missing(found):
            raise UserError(
                f"{place}: {wanted or BUILD} needs {missing[0]!r}, which okdbench does not know; give it a default, or "
                f"take any of {', '.join(_arguments(0, 0, 0))}"
            )
        return found  # type: ignore[no-any-return]
    able = {name: value for name, value in own.items() if not _missing(value)}
    if wanted:
        raise unknown(f"network in {place}", wanted, able)
    classes = [name for name, value in able.items() if inspect.isclass(value)]
    names = classes or list(able)
    if len(names) != 1:
        listed = ", ".join(names) or "none that can be called without further arguments"
        cure = f"name one, such as {place}:{names[0]}" if names else f"write a function {BUILD}()"
        raise UserError(f"{place}: which network is meant? There are {listed}; {cure}")
    return able[names[0]]


def _own(module: ModuleType) -> Iterator[tuple[str, Builder]]:
    """The functions and network classes that the module itself defines."""
    for name, value in vars(module).items():
        is_network = inspect.isclass(value) and issubclass(value, nn.Module)
        if (is_network or inspect.isfunction(value)) and value.__module__ == module.__name__ and name[0] != "_":
            yield name, value


def _missing(builder: Builder) -> list[str]:
    """The arguments that it needs and that okdbench does not know."""
    try:
        parameters: Mapping[str, inspect.Parameter] = inspect.signature(builder).parameters
    except (TypeError, ValueError):  # built-in functions may have none
        return []
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    known = _arguments(0, 0, 0)
    return [
        name
        for name, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and parameter.kind not in optional and name not in known
    ]


def _refuse_beyond(path: str) -> None:
    """Refuse imports of what leads to images and labels: a network must not see more than its method."""
    try:
        tree = ast.parse(read(path).content)
    except (SyntaxError, ValueError):
        return  # loading it says where
    for line, name in imported_names(ast.walk(tree)):
        if name.partition(".")[0] == "okdbench" and not f"{name}.".startswith(tuple(f"{open_}." for open_ in _OPEN)):
            raise UserError(f"{path}:{line}: it imports {name}; of okdbench, a network may import {', '.join(_OPEN)}")
