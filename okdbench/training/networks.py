"""The networks that a configuration names, and the files of weights that they start from."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Literal, NamedTuple

from torch import nn

from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError, os_reason
from okdbench.distill.networks.classifiers import find_network
from okdbench.distill.networks.last_layer import Adjust
from okdbench.distill.networks.preprocessing import preprocessing_of
from okdbench.distill.networks.timm_options import NO_OPTIONS, Options
from okdbench.distill.networks.user_networks import Network
from okdbench.distill.networks.weight_fit import load_weights

Role = Literal["teacher", "student"]

#: letters of the digest that records have
DIGITS = 8


class PlannedFile(NamedTuple):
    """A file of weights, and the SHA-256 of its content when the run was planned."""

    path: Path
    digest: str

    @property
    def label(self) -> str:
        """As records have it: the file's name and a part of its digest."""
        return f"{self.path.name} ({self.digest[:DIGITS]})"

    def load(self, net: nn.Module, name: str, adjust: Adjust) -> None:
        """Load the weights into a network called ``name``, with this done about a last layer for other classes.

        Raises:
            UserError: they do not fit, or the file is another one by now.
        """
        load_weights(net, self.path, name, adjust, self.digest)


def start_files(config: RunConfig) -> dict[Role, PlannedFile]:
    """The files that a configuration names.

    Raises:
        UserError: one cannot be read, or no teacher is trained that could start from it.
    """
    if config.teacher_init and config.teacher_weights:
        raise UserError("--teacher-init starts a training and --teacher-weights names a trained teacher; leave one out")
    named: dict[Role, str | None] = {"teacher": config.teacher_init, "student": config.student_weights}
    return {role: planned_file(name) for role, name in named.items() if name}


def find_networks(config: RunConfig) -> tuple[Network, Network]:
    """Teacher and student; the code of a user's own is executed.

    Raises:
        UserError: one of them does not exist.
    """
    files = _files(config)
    return _network(config.teacher, files["teacher"], config), _network(config.student, files["student"], config)


def _network(name: str, file: str | None, config: RunConfig) -> Network:
    """The network of this name, as the training built it that wrote its file."""
    network = find_network(name, config.pretrained and not file)
    return replace(network, options=_options(Path(file), name)) if file and not network.builder else network


def _options(path: Path, name: str) -> Options:
    """With which the training that wrote the file built the network."""
    found = preprocessing_of(path, name)
    if found.unread_options:
        listed = " and ".join(found.unread_options)
        raise UserError(f"{path}: {name} was built with another {listed}, which is no plain value; {NO_OPTIONS}")
    return found.options


def pretrained_roles(config: RunConfig) -> set[Role]:
    """The networks that start from timm's weights: those that have no file, which would replace them."""
    return {role for role, file in _files(config).items() if config.pretrained and not file}


def _files(config: RunConfig) -> dict[Role, str | None]:
    """The file of each network: of a trained one, or to start from."""
    return {"teacher": config.teacher_weights or config.teacher_init, "student": config.student_weights}


def planned_file(name: str) -> PlannedFile:
    """The file of weights at this path, as it is now.

    Raises:
        UserError: it cannot be read.
    """
    path = Path(name)
    try:
        found = path.stat()
        return PlannedFile(path, _digest(path, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
    except OSError as error:
        raise UserError(f"weights file {path}: {os_reason(error)}; give a .safetensors or state-dict file") from error


@lru_cache(maxsize=8)  # several plans of one command share a file
def _digest(path: Path, *_changed: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
