"""Finds a trained student by the name that a user gives: a run's key, a run's folder, or a file."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from okdbench import registry
from okdbench.core import plugin_files
from okdbench.core.errors import UserError
from okdbench.core.export_formats import ENDINGS
from okdbench.distill.networks.file_kinds import is_safetensors
from okdbench.results.records import Record
from okdbench.results.store import find_record
from okdbench.training.student import Student, StudentCard, card_of, unpack


def load(name: str, runs: Path, network: str = "") -> Student:
    """The student called ``name``: a run's key below ``runs`` or the beginning of it, a run's folder, or a file.

    A student of a user's own network needs its ``network``, which is executed.

    Raises:
        UserError: there is no such run, it has no student, or the file does not contain one.
    """
    file, old = Path(name), None
    if not os.path.isfile(file):  # unlike Path.is_file it takes names of any length
        folder, record = find_record(name, runs)
        file, old = folder / "student.safetensors", partial(_card_without, record)
        _refuse_without_student(file, record)
    try:
        content = file.read_bytes()
        if file.suffix in (ENDINGS["onnx"], ENDINGS["torchscript"]) and not is_safetensors(content):
            raise UserError(f"{file} is for other programs; name the run here, or its .safetensors of okdbench export")
        return unpack(content, old, network)
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not a student: {error}; okdbench export makes such files of runs") from error


def _refuse_without_student(file: Path, record: Record) -> None:
    """Raise a UserError that says why the run has no student, unless ``file`` contains it."""
    if record.status == "failed":
        raise UserError(f"run {record.key} failed and has no student; repeat it: {record.command}")
    if not file.is_file():
        what = f"run {record.key} ({record.method} {record.dataset} {record.setting})"
        trained = "student" in record.cost.traffic and record.cost.traffic["student"].learned
        if trained:
            raise UserError(
                f"the student of {what} was deleted; train it again: {record.command} --runs ANOTHER_FOLDER"
            )
        raise UserError(f"{what} has no student: it trains none; choose another, okdbench runs ls lists them")


def _card_without(record: Record) -> StudentCard:
    """The card of a run that was stored before there were cards: what is missing is looked up in the data set.

    Raises:
        UserError: the data set cannot be found, or is code: a record may come from anyone, so it is not executed.
    """
    name = str(record.config.get("dataset"))
    try:
        if plugin_files.is_path(name):
            raise UserError(f"{name!r} is code, which is not run because a record names it; run it again")
        return card_of(record, registry.load_dataset(name))
    except UserError as error:
        raise UserError(f"run {record.key} does not name its classes, nor does its data set: {error}") from error
