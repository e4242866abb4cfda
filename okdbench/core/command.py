"""The command line of a run: written from its configuration, and read back without a shell.

Writer and reader are side by side, so that ``okdbench verify`` reads what every record writes. Committed leaderboards
hold such commands: what was ever written, ``--seeds 0-2`` included, must stay readable.
"""

from __future__ import annotations

import argparse
import shlex
from typing import Any, NoReturn

from okdbench.core.config import RunConfig, type_of
from okdbench.core.errors import UserError
from okdbench.core.plugins import dataset_names
from okdbench.core.protocol import is_tuning_seed
from okdbench.core.syntax import spell_assignments

#: options that are written even at their defaults, because a reader looks for them
_ALWAYS = ("method", "dataset", "setting", "seed", "budget", "track")
#: fields that a command from a file may not set: they are of this machine and its user, or have --set instead
_LOCAL = ("device", "log_to", "teacher_weights", "teacher_init", "student_weights", "hyperparameters")


def words_of(config: RunConfig) -> list[str]:
    """What follows ``okdbench`` on the command line that repeats this run; paths are written as they were given."""
    defaults = {name: field.default for name, field in RunConfig.model_fields.items()}
    words = ["run"]
    # Device and trackers are left out: they belong to the machine and its user, not to the run.
    for name, value in config.model_dump(mode="json", exclude={"device", "log_to", "hyperparameters"}).items():
        if value is not None and (name in _ALWAYS or value != defaults[name] or _may_differ(name, config)):
            words += _option(name, value)
    for name, value in sorted(config.hyperparameters.items()):
        words += ["--set", spell_assignments({name: value})]
    if is_tuning_seed(config.seed):
        words.append(flag("tuning"))
    return words


def _may_differ(name: str, config: RunConfig) -> bool:
    """Whether a file can give the option another default."""
    return name == "image_size" and (bool(config.teacher_weights) or config.dataset not in dataset_names())


def command_of(config: RunConfig) -> str:
    """The command line that repeats this run."""
    return shlex.join(["okdbench", *words_of(config)])


def read_command(command: str) -> dict[str, Any]:
    """Option -> value of what an ``okdbench run`` command gives; nothing is run, and no file is opened.

    Besides the fields of :class:`~okdbench.core.config.RunConfig` the keys are ``method`` (a list), ``task``, ``seeds``
    and ``assignments`` (a list of ``key=value``).

    Raises:
        UserError: it is no such command, or it uses an option that only the user of this machine may give.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UserError(f"its command cannot be read ({error})") from error
    if words[:2] != ["okdbench", "run"]:
        raise UserError("its command is not 'okdbench run'")
    given, unknown = _parser().parse_known_args(words[2:])
    if unknown:
        name = unknown[0].partition("=")[0]
        raise UserError(f"its command has {name}, which verify does not follow; run it by hand if you trust it")
    return vars(given)


def flag(name: str) -> str:
    """The option of a field.

    >>> flag("image_size")
    '--image-size'
    """
    return "--" + name.replace("_", "-")


def _option(name: str, value: Any) -> list[str]:
    if value is True:
        return [flag(name)]
    if isinstance(value, list):
        return [flag(name), ",".join(map(str, value))]
    # A value such as the setting -P must not be taken for an option.
    return [f"{flag(name)}={value}"] if str(value).startswith("-") else [flag(name), str(value)]


class _Parser(argparse.ArgumentParser):
    """Raises a UserError where argparse would end the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"its command cannot be read ({message})")


def _parser() -> _Parser:
    # No abbreviations and no help: each word must be one that a record writes.
    parser = _Parser(add_help=False, allow_abbrev=False, argument_default=argparse.SUPPRESS)
    for name, field in RunConfig.model_fields.items():
        if name in _LOCAL:
            continue
        if field.annotation is bool:
            parser.add_argument(flag(name), action="store_true")
        elif name == "method":
            parser.add_argument(flag(name), action="append")
        else:
            parser.add_argument(flag(name), type=int if type_of(field) is int else str)
    parser.add_argument(flag("tuning"), action="store_true")
    parser.add_argument("--task")
    parser.add_argument("--seeds")
    parser.add_argument("--set", dest="assignments", action="append")
    return parser
