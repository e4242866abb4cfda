"""The networks that a configuration names, and the files of weights that they start from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal, NamedTuple

from torch import nn

from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError, os_reason
from okdbench.distill.networks.classifiers import find_network
from okdbench.distill.networks.last_layer import new_layer
from okdbench.distill.networks.user_networks import Network
from okdbench.distill.networks.weight_fit import load_weights

Role = Literal["teacher", "student"]

#: letters of the digest that records have
DIGITS = 8


class StartFile(NamedTuple):
    """A file of weights, and the SHA-256 of its content."""

    path: Path
    digest: str

    @property
    def label(self) -> str:
        """As records have it: the file's name and a part of its digest."""
        return f"{self.path.name} ({self.digest[:DIGITS]})"

    def load(self, net: nn.Module, name: str) -> None:
        """Load the weights into a network called ``name``, whose last layer stays new if the file has other classes.

        Raises:
            UserError: they do not fit, or the file is another one by now.
        """
        if file_digest(self.path) != self.digest:
            raise UserError(f"{self.path} has changed since the run was planned; start it again")
        load_weights(net, self.path, name, new_layer)


def start_files(config: RunConfig) -> dict[Role, StartFile]:
    """The files that a configuration names.

    Raises:
        UserError: one cannot be read, or no teacher is trained that could start from it.
    """
    if config.teacher_init and config.teacher_weights:
        raise UserError("--teacher-init starts a training and --teacher-weights names a trained teacher; leave one out")
    named: dict[Role, str | None] = {"teacher": config.teacher_init, "student": config.student_weights}
    return {role: StartFile(Path(name), file_digest(Path(name))) for role, name in named.items() if name}


def find_networks(config: RunConfig) -> tuple[Network, Network]:
    """Teacher and student; the code of a user's own is executed.

    Raises:
        UserError: one of them or the weights file does not exist.
    """
    if config.teacher_weights and not Path(config.teacher_weights).is_file():
        raise UserError(f"weights file {config.teacher_weights} does not exist; give a .safetensors or state-dict file")
    # a network that starts from a file needs no weights of timm's
    teacher_pretrained = config.pretrained and not (config.teacher_weights or config.teacher_init)
    student_pretrained = config.pretrained and not config.student_weights
    return find_network(config.teacher, teacher_pretrained), find_network(config.student, student_pretrained)


def file_digest(path: Path) -> str:
    """SHA-256 of a file of weights, in hexadecimal.

    Raises:
        UserError: it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise UserError(f"weights file {path}: {os_reason(error)}; give a .safetensors or state-dict file") from error
