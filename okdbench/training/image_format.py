"""How the images of a run are made: defaults < the file of the teacher < the user's data set < the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from okdbench.core.command import flag
from okdbench.core.config import RunConfig
from okdbench.core.errors import UserError
from okdbench.data.dataset import Dataset
from okdbench.distill.networks.preprocessing import Preprocessing, preprocessing_of
from okdbench.distill.networks.stated_sizes import PADS, UNREAD_CUT

#: fields of a configuration that the data set keeps after :func:`format_of`
FIELDS = ("channels", "mean", "std", "resize", "channel_order", "interpolation")
#: what a file of a teacher can say, in the order of its line
_SAID = ("image_size", "mean", "std", "resize", "interpolation", "channel_order")
#: fields of the normalisation
_NORMALISED = ("mean", "std", "channel_order")


class ImageFormat(NamedTuple):
    """The format of a run's images.

    Attributes:
        dataset: the data set in this format.
        fields: of the run's configuration; None for what the data set and the teacher's file have anyway.
        note: where the format of a user's teacher comes from, in one line; empty for other teachers.
    """

    dataset: Dataset
    fields: dict[str, Any]
    note: str


def format_of(dataset: Dataset, config: RunConfig) -> ImageFormat:
    """The format of the images of a run, as both networks get them.

    Raises:
        UserError: the teacher's file cannot be read, or what is asked for fits no image.
    """
    own = dataset.with_format(config.channels)
    file = _in_file(config, own.teacher)
    if config.value_range == 1 and file.value_range == 255 and not (config.mean and config.std):
        raise UserError(f"--value-range 1: {config.teacher_weights} says 0 to 255; add --mean and --std for 0 to 1")
    # what the user says of the images wins over the file, and is in the data set already
    kept = {name: getattr(own, name) for name in own.stated - {"image_size"}}
    usual = own.with_format(**_for(own, file)).with_format(**kept)
    given = config.model_dump(include={*FIELDS} - {"channels"})
    made = usual.with_format(**given, value_range=config.value_range or 1)
    size = own.image_size if "image_size" in own.stated else file.image_size or own.image_size
    made.image_size = config.image_size if "image_size" in config.model_fields_set else size
    # What the file says is written as well, so that the command repeats the run where a node lacks a file beside it.
    fields = {
        name: None if value == getattr(own, name) == getattr(usual, name) else value
        for name in FIELDS
        if (value := getattr(made, name))
    }
    fields["channels"] = None if made.channels == dataset.channels else made.channels
    note = _note(own, made, file, config) if config.teacher_weights else ""
    return ImageFormat(made, {**fields, "image_size": made.image_size, "value_range": None}, note)


def rotation_warnings(dataset: Dataset, config: RunConfig) -> Iterator[str]:
    """What to say of files of students whose images were turned upright by another rule than those of the data set."""
    words = {True: "turned upright", False: "read as they are stored"}
    files = {config.teacher_weights: config.teacher, config.teacher_init: config.teacher}
    for name, network in (files | {config.student_weights: config.student}).items():
        rule = preprocessing_of(Path(name), network).exif_rotation if name else None
        if rule not in (None, dataset.exif_rotation):
            yield (
                f"{name}: warning: by its card its images were {words[rule]}, and those of {dataset.name} are "
                f"{words[dataset.exif_rotation]}; write exif_rotation: {str(rule).lower()} into the file of the data "
                "set"
            )


def start_notes(dataset: Dataset, config: RunConfig) -> Iterator[str]:
    """What to say of files that a training starts from, whose images were normalised otherwise than those here."""
    for name, network in {config.teacher_init: config.teacher, config.student_weights: config.student}.items():
        theirs = dataset.with_format(**_for(dataset, preprocessing_of(Path(name), network))) if name else dataset
        were, are = (_words({field: getattr(each, field) for field in _NORMALISED}) for each in (theirs, dataset))
        if were != are:
            yield f"{name}: by the file its images had {were}; here they have {are}, to which the training adapts it"


def _in_file(config: RunConfig, usual_teacher: str) -> Preprocessing:
    weights = config.teacher_weights
    return preprocessing_of(Path(weights), config.teacher or usual_teacher) if weights else Preprocessing()


def _for(dataset: Dataset, file: Preprocessing) -> dict[str, Any]:
    """What the file says, as arguments of ``with_format()``, for images of the data set's channels."""
    grey = dataset.channels == 1
    mean, std = ((sum(each) / len(each),) if grey and each else each for each in (file.mean, file.std))
    order = None if grey else file.channel_order
    return {
        "mean": mean, "std": std, "value_range": file.value_range or 1, "resize": file.resize, "channel_order": order,
        "interpolation": file.interpolation,
    }  # fmt: skip


def _note(own: Dataset, made: Dataset, file: Preprocessing, config: RunConfig) -> str:
    """What the file says, what is used in its place, and what is a default."""
    said = {name: value for name in _SAID if (value := getattr(file, name)) not in (None, Dataset.interpolation)}
    given = {name for name in config.model_fields_set if getattr(config, name) is not None}
    given |= {"mean", "std"} if config.value_range == 255 else set()
    elsewhere = own.stated | given
    in_force = {name: getattr(made, name) for name in _SAID if name != "channel_order" or made.channels == 3}
    default = {name: value for name, value in in_force.items() if name not in {*said, *elsewhere, "interpolation"}}
    silent = [] if file.unread else ["does not say how its images are made"]
    parts = [f"says {_words(said, file.value_range)}"] if said else silent
    if other := {name: value for name, value in in_force.items() if name in said and name in elsewhere}:
        parts.append(f"you say {_words(other)}, which is used")
    # those of a data set that has its own, and not ImageNet's
    theirs: dict[str, Any] = {
        name: getattr(own, name) for name in ("mean", "std") if name in said and name not in elsewhere
    }
    if theirs and any(value not in (getattr(Dataset, name), getattr(made, name)) for name, value in theirs.items()):
        parts.append(f"that is used, and not {_words(theirs)} of {own.name}")
    if file.unread:
        parts += [f"not understood: its {' and '.join(file.unread)}", *_cure(file.unread)]
    if default:
        parts.append(f"by default {_words(default)}")
    return "; ".join(parts)


def _cure(unread: Sequence[str]) -> list[str]:
    """The options that say what the file says in a form that is not understood, or that none does."""
    words, known = " ".join(unread).split(), (*_SAID, "value_range")
    pads = any(name.startswith(UNREAD_CUT) and PADS.search(name) for name in unread)
    options = [f"{flag(name)}{' pad' * (pads and name == 'resize')}" for name in known if name in words]
    without = any({*name.split()}.isdisjoint(known) for name in unread)
    cures = [f"say it with {' and '.join(options)}"] if options else []
    return [*cures, *(["no option does all of it: do it in the network's code, --teacher ./net.py"] if without else [])]


def _words(values: Mapping[str, Any], value_range: int | None = None) -> str:
    """``128 px, mean 0.5, std 0.5, crop, RGB``."""
    spelt: dict[str, Callable[[Any], str]] = {
        "image_size": lambda size: f"{size} px",
        "mean": lambda mean: f"mean {_numbers(mean)}",
        "std": lambda std: f"std {_numbers(std)}",
        "resize": str,
        "interpolation": str,
        "channel_order": str.upper,
    }
    words = [spelt[name](value) for name, value in values.items()]
    return ", ".join([*words, *(["values from 0 to 255"] if value_range == 255 else [])])


def _numbers(values: Sequence[float]) -> str:
    """One number where all channels have the same."""
    return ",".join(f"{value:g}" for value in (values[:1] if len(set(values)) == 1 else values))
