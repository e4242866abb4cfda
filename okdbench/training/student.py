"""A student as others get it: weights, and a card that says how to use them and where they come from."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load as from_safetensors
from safetensors.torch import save as to_safetensors
from torch import Tensor

from okdbench import registry
from okdbench.core import plugin_files as local
from okdbench.core.errors import UserError
from okdbench.data.dataset import Dataset
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.results.records import FileName, Record
from okdbench.results.store import find_run, read_record

#: The card's name in every file. It is one text, because safetensors writes several in a random order.
CARD = "okdbench"


class StudentCard(BaseModel):
    """What lies beside a student's weights.

    ``classes`` are in the order of the logits; ``image_size`` is in pixels; ``mean`` and ``std`` normalise pixels in
    [0, 1]; ``accuracy`` is top-1 on the student domain's test split, in percent; ``key`` and ``command`` are the run's.
    """

    model_config = ConfigDict(frozen=True)

    architecture: str
    classes: tuple[str, ...]
    image_size: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    method: str
    dataset: str
    setting: str
    accuracy: float
    key: FileName
    command: str
    version: str


@dataclass(frozen=True)
class Student:
    """A locked student that takes raw pictures, and its card."""

    probe: ClassifierWrapper
    card: StudentCard


def card_of(record: Record, dataset: Dataset) -> StudentCard:
    """The card of a finished run's student."""
    assert record.selected is not None
    return StudentCard(
        architecture=record.student,
        classes=dataset.classes,
        image_size=record.config["image_size"],
        mean=dataset.mean,
        std=dataset.std,
        method=f"{record.method}[{record.variant}]" if record.variant else record.method,
        accuracy=record.selected.evaluation.test.acc,
        **record.model_dump(include={"dataset", "setting", "key", "command", "version"}),
    )


def pack(weights: Mapping[str, Tensor], card: StudentCard) -> bytes:
    """A safetensors file of the network's weights and the card; equal students give equal bytes."""
    plain = {name: tensor.contiguous().cpu() for name, tensor in weights.items()}
    return to_safetensors(plain, metadata={CARD: card.model_dump_json()})


def unpack(content: bytes, old: Callable[[], StudentCard] | None = None) -> Student:
    """The student in a file that :func:`pack` made; ``old`` gives the card of one that has none.

    Raises:
        ValueError: it is not such a file.
    """
    try:
        weights = from_safetensors(content)
    except SafetensorError as error:
        raise ValueError("it is damaged or of another kind") from error
    card = _card_in(content) or (old and old())
    if card is None:
        raise ValueError("it does not name its classes")
    net = build_classifier(card.architecture, len(card.classes), card.image_size)
    try:
        net.load_state_dict(weights)
    except RuntimeError as error:
        raise ValueError(f"its weights are not those of a {card.architecture}") from error
    return Student(ClassifierWrapper(net, Normaliser(card.mean, card.std)).lock(), card)


def load(name: str, runs: Path) -> Student:
    """The student called ``name``: the key of a run below ``runs`` or the beginning of it, a run's folder, or a file.

    Raises:
        UserError: there is no such run, it has no student, or the file is not one.
    """
    file, old = Path(name), None
    if not _is_file(file):
        folder = find_run(name, runs)
        file, old = folder / "student.safetensors", partial(_card_without, _record_with_student(folder))
    try:
        return unpack(file.read_bytes(), old)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not a student: {error}; okdbench export makes such files of runs") from error


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # the name is too long for a file
        return False


def _record_with_student(folder: Path) -> Record:
    """The record in ``folder``.

    Raises:
        UserError: it cannot be read, or its run has no student.
    """
    record = read_record(folder)
    if record is None:
        raise UserError(f"{folder / 'record.json'} is not a record that this version reads; run it again")
    if record.status == "failed":
        raise UserError(f"run {record.key} failed and has no student; repeat it: {record.command}")
    if not (folder / "student.safetensors").is_file():
        what = f"run {record.key} ({record.method} {record.dataset} {record.setting})"
        trained = "student" in record.cost.traffic and record.cost.traffic["student"].learned
        if trained:
            raise UserError(f"{what} has no student any more; make it again: {record.command} --runs ANOTHER_FOLDER")
        raise UserError(f"{what} has no student: it trains none; choose another, okdbench runs ls lists them")
    return record


def _card_without(record: Record) -> StudentCard:
    """The card of a run that was stored before there were cards: what it lacks is looked up in the data set."""
    name = str(record.config.get("dataset"))
    try:
        if local.is_path(name):
            raise UserError(f"{name!r} is code, which is not run because a record names it; run it again")
        return card_of(record, registry.load_dataset(name))
    except UserError as error:
        raise UserError(f"run {record.key} does not name its classes, nor does its data set: {error}") from error


def _card_in(content: bytes) -> StudentCard | None:
    """The card in the header of a sound safetensors file: eight bytes of length, then JSON."""
    size = int.from_bytes(content[:8], "little")
    text = json.loads(content[8 : 8 + size]).get("__metadata__", {}).get(CARD)
    try:
        return StudentCard.model_validate_json(text) if text else None
    except ValidationError as error:
        raise ValueError("its card is damaged") from error
