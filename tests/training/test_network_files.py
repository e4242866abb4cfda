"""Runs with a user's own networks: keys go by their code, records name the file, and only the user names code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from support.error_text import refusal
from support.network_files import COSINE, NET, write_net

from okdbench.core.config import resolve
from okdbench.results.grouping import groups_of
from okdbench.results.records import Record
from okdbench.training import runner
from okdbench.training.export import export
from okdbench.training.plan import Plan
from okdbench.training.progress import quiet
from okdbench.training.student import pack
from okdbench.training.student_lookup import load
from okdbench.training.teacher import teacher_key
from okdbench.training.trial import check

Make = Callable[..., Plan]


@pytest.fixture(scope="module")
def made(light_plan: Make, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Record]:
    """A folder with a network's file and a finished run of it as teacher and student."""
    folder = tmp_path_factory.mktemp("made")
    path = write_net(folder)
    return folder, runner.execute(light_plan("dafl", teacher=path, student=f"{path}:Net"), folder / "runs", quiet)


def test_a_record_names_the_files_and_not_their_folder(made: tuple[Path, Record]) -> None:
    folder, record = made
    assert record.status == "done", record.traceback
    teacher, student = record.teacher.split(), record.student.split()
    assert (teacher[0], student[0]) == ("net.py", "net.py:Net")
    assert teacher[1] == student[1], "the digest of the file"
    (group,) = groups_of([record])
    assert (group.teacher, group.student) == (record.teacher, record.student)
    assert f"--teacher {folder}/net.py --student {folder}/net.py:Net" in record.command, "which repeats the run"


def test_keys_go_by_the_code(plan: Make, tmp_path: Path) -> None:
    texts = {"a": NET, "b": NET, "comment": "# a comment\n" + NET, "other": NET.replace("relu", "tanh")}
    paths = {name: write_net(tmp_path / name, text) for name, text in texts.items()}
    for role in ("teacher", "student"):
        keys = {name: plan("kd", **{role: path}).key for name, path in paths.items()}
        assert keys["a"] == keys["b"] == keys["comment"]
        assert keys["a"] != keys["other"]
    teachers = {name: teacher_key(plan("kd", teacher=path)) for name, path in paths.items()}
    assert teachers["a"] == teachers["comment"]
    assert teachers["a"] != teachers["other"]


def test_keys_go_by_the_modules_of_ones_own_that_a_file_imports(
    plan: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path / "lib"))  # as PYTHONPATH, and as an editable installation
    (tmp_path / "lib" / "my_layers").mkdir(parents=True)
    (tmp_path / "lib" / "my_layers" / "__init__.py").write_text("")
    (parts := tmp_path / "lib" / "my_layers" / "parts.py").write_text("from torch import nn\nAct = nn.ReLU\n")
    (net := tmp_path / "net.py").write_text(f"from my_layers.parts import Act\n{NET}")
    key = plan(teacher=str(net)).key
    assert plan(teacher=str(net)).key == key
    parts.write_text("from torch import nn\nAct = nn.Tanh\n")
    assert plan(teacher=str(net)).key != key


def test_a_file_that_is_edited_later_changes_no_run(plan: Make, tmp_path: Path) -> None:
    path = write_net(tmp_path)
    before = plan("kd", student=path)
    key = before.key
    write_net(tmp_path, NET.replace("4, 8)", "4, 8), None").replace("relu", "no_such_function"))
    assert before.key == key
    check(before)


def test_a_teachers_file_is_read_into_it(plan: Make, tmp_path: Path) -> None:
    path = write_net(tmp_path)
    made = plan("teacher", teacher=path)
    torch.manual_seed(3)
    assert made.teacher.builder is not None
    state = made.teacher.builder(10, 1).state_dict()
    torch.save({"model": {f"module.{name}": tensor for name, tensor in state.items()}}, tmp_path / "best.pth.tar")
    made = plan("teacher", teacher=path, teacher_weights=str(tmp_path / "best.pth.tar"))
    classifier = runner.teacher_of(made, tmp_path / "runs", torch.device("cpu"), quiet)
    assert all(torch.equal(classifier.net.state_dict()[name], tensor) for name, tensor in state.items())


def test_only_methods_that_need_a_last_linear_layer_refuse_a_network_without(plan: Make, tmp_path: Path) -> None:
    path = write_net(tmp_path, COSINE)
    message = refusal(check, plan("dafl", teacher=path))
    assert message.startswith("the logits of this network are not the output of a torch.nn.Linear")
    assert message.endswith("write 'dafl[activation=0]' in place of dafl")
    check(plan("dafl", teacher=path, hyperparameters={"activation": 0}))
    for method in ("kd", "augkd", "mad"):
        check(plan(method, teacher=path, student=path))


@pytest.mark.parametrize("name", ["{}/net.py", "{}/net.py:Net", "hf-hub:someone/net"])
def test_a_card_executes_no_code(made: tuple[Path, Record], name: str, tmp_path: Path) -> None:
    folder, record = made
    student = load(record.key, folder / "runs", f"{folder}/net.py:Net")
    card = student.card.model_copy(update={"architecture": name.format(folder)})
    (tmp_path / "student.safetensors").write_bytes(pack(student.classifier.net.state_dict(), card))
    assert "its network is code" in refusal(load, str(tmp_path / "student.safetensors"), tmp_path)


def test_a_student_is_read_with_the_code_that_its_user_names(made: tuple[Path, Record], tmp_path: Path) -> None:
    folder, record = made
    runs, network = folder / "runs", f"{folder}/net.py:Net"
    message = refusal(load, record.key, runs)
    assert "its network is code, net.py:Net (" in message
    assert "; add --network net.py:Net, " in message
    other = write_net(tmp_path, NET.replace("relu", "tanh"))
    assert "and " + other in refusal(load, record.key, runs, f"{other}:Net")
    student = load(record.key, runs, network)
    assert student.card.architecture == record.student
    exported = export(record.key, "safetensors", tmp_path / "student.safetensors", runs, network)
    images = torch.rand(2, 1, 32, 32)
    assert torch.equal(load(str(exported), runs, network).classifier(images), student.classifier(images))
    export(record.key, "torchscript", tmp_path / "student.pt", runs, network)


def test_paths_in_a_configuration_file_are_relative_to_it(tmp_path: Path) -> None:
    file = tmp_path / "lab" / "run.yaml"
    file.parent.mkdir()
    lines = {"teacher": "nets/net.py:build", "student": "resnet18", "teacher_weights": "best one, really.pt"}
    needed = {"method": "kd", "dataset": "digits", "setting": "MO-P"}
    file.write_text("".join(f"{key}: {value}\n" for key, value in (needed | lines).items()))
    found = resolve({}, file=file)
    assert (found.teacher, found.student) == (f"{tmp_path}/lab/nets/net.py:build", "resnet18")
    assert found.teacher_weights == f"{tmp_path}/lab/best one, really.pt"
    assert resolve({"teacher": "other.py"}, file=file).teacher == "other.py", "of the command line, to the folder"
    file.write_text(file.read_text().replace("nets/", "~/"))
    assert resolve({}, file=file).teacher == f"{Path.home()}/net.py:build"
