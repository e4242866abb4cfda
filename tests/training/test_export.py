"""A student as one file: its logits are the student's, it contains the card, and a file that differs is not written."""

from __future__ import annotations

import json
import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from support.tiny_task import PAIR
from torch import Tensor
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.data.images import Images
from okdbench.distill.networks.wrapper import ClassifierWrapper
from okdbench.results.records import Record
from okdbench.results.store import read_record, write_record
from okdbench.training import export as exporting
from okdbench.training import student as students
from okdbench.training.evaluation import accuracy, predict
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute
from okdbench.training.student_lookup import load

CPU = torch.device("cpu")
STUDENT = PAIR["student"]
ENDINGS = {"safetensors": ".safetensors", "onnx": ".onnx", "torchscript": ".pt"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, plan: Callable[..., Plan]) -> Path:
    """A run with a student and one without, both of budget smoke on the digits."""
    folder = tmp_path_factory.mktemp("runs")
    for method in ("kd", "teacher"):
        execute(plan(method), folder, quiet)
    return folder


@pytest.fixture(scope="module")
def key(plan: Callable[..., Plan]) -> str:
    return plan("kd").key


@pytest.fixture(scope="module")
def evaluated(plan: Callable[..., Plan]) -> Images:
    return plan("kd").splits.test


@pytest.fixture(scope="module")
def exported(runs: Path, key: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The student in every format, exported by the command."""
    folder = tmp_path_factory.mktemp("exported")
    files = {form: folder / f"student{ending}" for form, ending in ENDINGS.items()}
    for form, file in files.items():
        words = ["export", key[:9], "--format", form, "--output", str(file), "--runs", str(runs)]
        result = CliRunner().invoke(app, words)
        assert result.exit_code == 0, result.exception
        assert result.stdout.startswith(f"{file}: {PAIR['student']} of kd digits MO-P")
    return files


def record_of(runs: Path, key: str) -> Record:
    record = read_record(runs / key)
    assert record is not None
    return record


def raw(images: Images) -> Tensor:
    """The images as a program without okdbench would pass them: N x 3 x S x S in [0, 1]."""
    return torch.from_numpy(np.array(images.pixels[:])).permute(0, 3, 1, 2).float() / 255


def jit(file: Path, extra: dict[str, Any]) -> Any:
    with warnings.catch_warnings(action="ignore"):
        return torch.jit.load(str(file), _extra_files=extra)


def logits_of(form: str, file: Path, images: Tensor) -> Tensor:
    """The logits that a program without okdbench computes, or okdbench itself for bare weights."""
    if form == "onnx":
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
    with torch.no_grad():
        net = jit(file, {}) if form == "torchscript" else load(str(file), Path("none")).classifier
        return net(images)


@pytest.mark.parametrize("form", ENDINGS)
def test_every_image_of_the_test_split_gets_the_same_class(
    form: str, exported: dict[str, Path], runs: Path, key: str, evaluated: Images
) -> None:
    expected = predict(load(key, runs).classifier, evaluated, CPU)
    logits = logits_of(form, exported[form], raw(evaluated))
    assert torch.equal(logits.argmax(1), expected.argmax(1))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    assert len(set(expected.argmax(1).tolist())) > 1
    selected = record_of(runs, key).selected
    assert selected is not None
    assert accuracy(logits, torch.from_numpy(evaluated.labels)) == selected.evaluation.test.acc


@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_any_batch_size_is_accepted(form: str, exported: dict[str, Path]) -> None:
    for count in (1, 2, 7):
        assert logits_of(form, exported[form], torch.rand(count, 1, 32, 32)).shape == (count, 10)


@pytest.mark.parametrize("form", ENDINGS)
def test_the_card_can_be_read_without_okdbench(form: str, exported: dict[str, Path], runs: Path, key: str) -> None:
    if form == "safetensors":
        with safe_open(exported[form], "pt") as file:
            card = json.loads(file.metadata()["okdbench"])
    elif form == "onnx":
        card = json.loads(onnxruntime.InferenceSession(exported[form]).get_modelmeta().custom_metadata_map["okdbench"])
    else:
        extra = {"okdbench": ""}
        jit(exported[form], extra)
        card = json.loads(extra["okdbench"])
    record = record_of(runs, key)
    assert record.selected is not None
    assert card == {
        "architecture": STUDENT, "model_args": {}, "classes": list("0123456789"), "image_size": 32, "resize": "stretch",
        "interpolation": "bilinear", "channel_order": "rgb", "value_range": 1, "mean": [0.111], "std": [0.28],
        "max_value": None, "exif_rotation": True, "start": "",
        "method": "kd", "dataset": "digits", "setting": "MO-P", "key": key,
        "accuracy": record.selected.evaluation.test.acc, "command": record.command, "version": record.version,
    }  # fmt: skip


def test_an_onnx_file_is_valid_and_contains_no_path_of_this_machine(exported: dict[str, Path]) -> None:
    model = onnx.load(exported["onnx"])
    onnx.checker.check_model(model, full_check=True)
    assert str(Path(exporting.__file__).parent).encode() not in exported["onnx"].read_bytes()


def test_a_run_stores_the_card_and_equal_students_give_equal_bytes(runs: Path, key: str) -> None:
    content = (runs / key / "student.safetensors").read_bytes()
    student = students.unpack(content)
    assert {students.pack(student.classifier.net.state_dict(), student.card) for _ in range(8)} == {content}


def test_a_student_without_a_card_takes_its_classes_from_the_data_set(runs: Path, key: str, tmp_path: Path) -> None:
    shutil.copytree(runs / key, tmp_path / "old")
    file = tmp_path / "old" / "student.safetensors"
    save_file(load_file(file), file)
    assert load(str(tmp_path / "old"), runs).card == load(key, runs).card
    record = record_of(runs, key)
    write_record(file.parent, record.model_copy(update={"config": record.config | {"dataset": "/gone/shop.yaml"}}))
    with pytest.raises(UserError, match=r"does not name its classes, nor does its data set: /gone/shop\.yaml: no such"):
        load(str(tmp_path / "old"), runs)


def test_a_student_can_be_exported_again_from_its_file(exported: dict[str, Path], tmp_path: Path) -> None:
    again = exporting.export(str(exported["safetensors"]), "safetensors", tmp_path / "again.safetensors", Path("none"))
    assert again.read_bytes() == exported["safetensors"].read_bytes()


def test_without_a_name_the_file_is_named_after_the_run(
    runs: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert exporting.export(key, "safetensors", None, runs) == Path(f"student-{key}.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == [f"student-{key}.safetensors"]


def other(student: students.Student) -> students.Student:
    """A student with the same card and other weights."""
    classifier = students.unpack(students.pack(student.classifier.net.state_dict(), student.card)).classifier
    with torch.no_grad():
        next(iter(classifier.net.parameters())).mul_(1.5)
    return students.Student(classifier, student.card)


def test_a_file_with_other_logits_is_not_written(
    runs: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = exporting.EXPORT_FORMATS["torchscript"]
    wrong = usual._replace(write=lambda student: usual.write(other(student)))
    monkeypatch.setitem(exporting.EXPORT_FORMATS, "torchscript", wrong)
    with pytest.raises(UserError, match="is off by"):
        exporting.export(key, "torchscript", tmp_path / "student.pt", runs)
    assert not list(tmp_path.iterdir())


def test_a_file_without_logits_is_refused(runs: Path, key: str) -> None:
    student = load(key, runs)
    exporting.check(student.classifier, student)
    with pytest.raises(UserError, match="is off by nan"):
        exporting.check(lambda images: student.classifier(images) * torch.nan, student)
    with pytest.raises(UserError, match="cannot be run"):
        exporting.check(lambda images: student.classifier(images.reshape(1, 1, 32, 32)), student)


@pytest.mark.parametrize("library", ["onnx", "onnxruntime", "onnxscript"])
def test_a_missing_library_is_reported_with_its_cure(
    library: str, runs: Path, key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(UserError, match=f"{library} is missing; pip install onnx onnxscript onnxruntime"):
        exporting.export(key, "onnx", tmp_path / "student.onnx", runs)
    assert not list(tmp_path.iterdir())


def test_mistakes_are_reported_in_one_line(runs: Path, key: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    failed = record_of(runs, key).model_copy(update={"status": "failed", "error": "boom", "key": "bad"})
    write_record(tmp_path / "bad", failed)
    shutil.copytree(runs / key, tmp_path / "empty")
    (tmp_path / "empty" / "student.safetensors").unlink()
    (tmp_path / "damaged.safetensors").write_bytes((runs / key / "student.safetensors").read_bytes()[:500])
    save_file({"weight": torch.zeros(1)}, tmp_path / "foreign.safetensors")
    card = load(key, runs).card
    (tmp_path / "wrong.safetensors").write_bytes(students.pack({"weight": torch.zeros(1)}, card))
    mistakes = {
        (plan("teacher").key, runs): r"\(teacher digits MO-P\) has no student: it trains none",
        ("0000", runs): "there is no run '0000'",
        ("", runs): "runs begin with ''",
        ("bad", tmp_path): "failed and has no student; repeat it: okdbench run",
        ("empty", tmp_path): r"\) was deleted; train it again: okdbench run --method",
        (str(tmp_path / "damaged.safetensors"), runs): "is not a student: it is damaged",
        (str(tmp_path / "foreign.safetensors"), runs): "is not a student: it does not name its classes",
        (str(tmp_path / "wrong.safetensors"), runs): f"its weights are not those of a {PAIR['student']}",
    }
    for (name, folder), reason in mistakes.items():
        with pytest.raises(UserError, match=reason) as caught:
            load(name, folder)
        assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match="did you mean 'onnx'"):
        exporting.export(key, "onx", None, runs)
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="choose another with --output"):
        exporting.export(key, "safetensors", tmp_path / "file" / "student.safetensors", runs)


def test_a_name_that_exists_or_says_another_format_is_refused(runs: Path, key: str, tmp_path: Path) -> None:
    (kept := tmp_path / "student.safetensors").write_text("mine")
    words = ["export", key, "--runs", str(runs), "--output"]
    for more, cure in {
        (str(kept),): "replace it with --force",
        (str(kept), "--format", "onnx"): "is no name for --format onnx; write",
        (str(tmp_path / "student.onnx"), "--format", "torchscript"): "student.pt",
    }.items():
        result = CliRunner().invoke(app, [*words, *more])
        assert isinstance(result.exception, UserError)
        assert cure in str(result.exception)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["mine"]
    assert CliRunner().invoke(app, [*words, str(kept), "--force"]).exit_code == 0
    assert load(str(kept), runs).card == load(key, runs).card


def test_an_export_for_other_programs_is_not_predicted_with(exported: dict[str, Path], tmp_path: Path) -> None:
    for form in ("onnx", "torchscript"):
        with pytest.raises(UserError, match="is for other programs; name the run here"):
            load(str(exported[form]), tmp_path)


def test_a_student_with_another_ending_is_read_by_its_content(exported: dict[str, Path], tmp_path: Path) -> None:
    renamed = tmp_path / "student.pt"
    renamed.write_bytes(exported["safetensors"].read_bytes())
    assert load(str(renamed), tmp_path).card == load(str(exported["safetensors"]), tmp_path).card


def test_the_exported_weights_are_those_of_the_run(runs: Path, key: str, exported: dict[str, Path]) -> None:
    one, two = load_file(runs / key / "student.safetensors"), load_file(exported["safetensors"])
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    assert isinstance(load(key, runs).classifier, ClassifierWrapper)


def test_a_card_cannot_choose_the_folder_of_its_export(exported: dict[str, Path], tmp_path: Path) -> None:
    path = exported["safetensors"]
    with safe_open(path, "pt") as file:
        card = json.loads(file.metadata()["okdbench"]) | {"key": "/../../victim"}
    save_file(load_file(path), tmp_path / "foreign.safetensors", {"okdbench": json.dumps(card)})
    with pytest.raises(UserError, match="its card is damaged"):
        load(str(tmp_path / "foreign.safetensors"), tmp_path)
