"""`okdbench errors`: the numbers of the record, the images of the data set, and what it says where they are missing."""

from __future__ import annotations

import csv
import json
import re
import shlex
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
from PIL import Image
from support.fake_records import failed, record
from support.fork_server import Command
from support.predictions import guessed, keep
from support.pseudo_terminal import on_terminal
from typer.testing import CliRunner

from okdbench import registry
from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.data.cache import load_domain
from okdbench.data.splits import assemble
from okdbench.results.calibration import reliability
from okdbench.results.predictions import FILE, Predictions, read_predictions, write_predictions
from okdbench.results.records import Record
from okdbench.results.store import read_all, write_archive, write_record

TINY = "--teacher lenet5_bn --student lenet5_half_bn --budget smoke --device cpu"


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """Two finished runs."""
    folder = tmp_path_factory.mktemp("errors")
    line = f"run --method kd --dataset digits --setting MO-P --seeds 0-1 {TINY}"
    result = Command(shlex.split(line), folder, data_root).wait()
    assert result.returncode == 0, result.stderr
    return folder / "runs"


@pytest.fixture(scope="module")
def run(runs: Path) -> Record:
    return read_all(runs)[0]


def errors(words: str, runs: Path, *more: object) -> CompletedProcess[str]:
    """What the command prints; the error of the user is its standard error."""
    line = ["errors", *words.split(), "--runs", str(runs), *map(str, more)]
    result = CliRunner().invoke(app, line)
    if isinstance(result.exception, UserError):
        assert "\n" not in str(result.exception)
        return CompletedProcess(line, 2, result.stdout, str(result.exception))
    assert result.exception is None, result.exception
    return CompletedProcess(line, result.exit_code, result.stdout, result.stderr)


def test_the_numbers_are_those_of_the_record(runs: Path, run: Record) -> None:
    assert run.selected is not None
    content = json.loads(errors(f"{run.key} --format json", runs).stdout)
    score, counts = run.selected.evaluation.test, np.array(content["confusion"])
    assert content["key"] == run.key
    assert content["acc"] == pytest.approx(score.acc)
    assert content["images"] == run.test_images == counts.sum()
    assert content["wrong"] == len(content["errors"]) == counts.sum() - counts.trace() > 20
    assert content["class_names"] == list(registry.load_dataset("digits").classes)
    classes = content["classes"]
    assert [row["images"] for row in classes] == counts.sum(1).tolist()
    assert sum(row["correct"] for row in classes) == counts.trace()
    assert 2 * counts.diagonal() / (counts.sum(0) + counts.sum(1)) == pytest.approx(
        [2 * row["correct"] / (row["images"] + column) for row, column in zip(classes, counts.sum(0), strict=True)]
    )
    # The second part of a path of the digits is the digit itself.
    assert all(row["truth"] == row["image"].split("/")[1] != row["answer"] for row in content["errors"])
    sure = [row["confidence"] for row in content["errors"]]
    assert sure == sorted(sure, reverse=True)


def test_the_calibration_error_of_the_bins_is_that_of_the_record(runs: Path) -> None:
    for made in read_all(runs):
        assert made.selected is not None
        ece = reliability(read_predictions(runs / made.key)).ece
        # One image that rounding moves into the next bin changes it by less than 200 / 462.
        assert ece == pytest.approx(made.selected.evaluation.test.ece, abs=0.5)


def test_the_tables_say_what_json_says(runs: Path, run: Record) -> None:
    content = json.loads(errors(f"{run.key} --format json", runs).stdout)
    text = errors(f"{run.key[:8]} --limit 3", runs).stdout
    assert text.startswith(f"{run.title}: {content['acc']:.2f} % right, {content['wrong']} of {content['images']}")
    rows = [line.split() for line in text.splitlines()]
    for name, counts in zip(content["class_names"], content["confusion"], strict=True):
        assert [name, *(str(count or ".") for count in counts)] in rows
    for row in content["classes"]:
        cells = [row[key] for key in ("class", "images", "correct", "acc", "taken_for", "times")]
        assert [f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in cells if cell is not None] in rows
    listed = [row["image"] for row in content["errors"] if row["image"] in text]
    assert listed == [row["image"] for row in content["errors"][:3]]
    assert f"3 of {content['wrong']} are shown; --limit {content['wrong']} shows all" in text
    whole = errors(f"{run.key} --limit {content['wrong']}", runs).stdout
    assert all(row["image"] in whole for row in content["errors"])
    assert "--limit" not in whole


def test_a_folder_holds_tables_a_figure_and_the_images(
    runs: Path, run: Record, data_root: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = errors(f"{run.key} --folder {out}", runs, "--data-root", data_root)
    assert done.stderr == ""
    content = json.loads(errors(f"{run.key} --format json", runs).stdout)
    assert f"{out / 'images'}: {content['wrong']} images" in done.stdout
    assert {path.name for path in out.iterdir()} == {
        "errors.csv", "classes.csv", "confusion.csv", "confusion.png", "images",
    }  # fmt: skip
    rows = list(csv.DictReader((out / "errors.csv").read_text().splitlines()))
    assert [{**row, "confidence": float(row["confidence"])} for row in rows] == content["errors"]
    matrix = list(csv.reader((out / "confusion.csv").read_text().splitlines()))
    assert matrix[0] == ["truth", *content["class_names"]]
    assert [list(map(int, row[1:])) for row in matrix[1:]] == content["confusion"]
    classes = list(csv.DictReader((out / "classes.csv").read_text().splitlines()))
    assert [int(row["correct"]) for row in classes] == [row["correct"] for row in content["classes"]]
    with Image.open(out / "confusion.png") as figure:
        assert figure.width == 1050

    files = list((out / "images").rglob("*.png"))
    assert len(files) == content["wrong"]
    domain = load_domain(registry.load_dataset("digits"), "print", 32, data_root)
    for row in content["errors"][:5]:
        name = row["image"].removesuffix(".png").replace("/", "-")
        copy = out / "images" / row["truth"] / row["answer"] / f"{row['confidence']:.2f}-{name}.png"
        assert np.array_equal(np.asarray(Image.open(copy)), domain.pixels[domain.paths.index(row["image"])][..., 0])


def test_a_folder_is_written_again_but_never_by_another_run(
    runs: Path, run: Record, data_root: Path, tmp_path: Path
) -> None:
    other = next(made for made in read_all(runs) if made.key != run.key)
    for _ in "ab":
        assert errors(f"{run.key} --folder {tmp_path}", runs, "--data-root", data_root).returncode == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    refused = errors(f"{other.key} --folder {tmp_path}", runs, "--data-root", data_root)
    assert (refused.returncode, "choose another --folder" in refused.stderr) == (2, True)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_json_stays_one_document_while_files_are_written(runs: Path, run: Record, tmp_path: Path) -> None:
    done = errors(f"{run.key} --format json --folder {tmp_path}", runs, "--data-root", tmp_path / "data")
    assert json.loads(done.stdout)["key"] == run.key
    assert (tmp_path / "classes.csv").exists()


@pytest.mark.parametrize(
    ("dataset", "reason"),
    [
        ("gone", "unknown dataset 'gone'"),
        ("./evil.py", "the run's data set is a file, ./evil.py; name it with --dataset"),
        ("phone.yaml", "the run's data set is a file, phone.yaml; name it with --dataset"),
        ("office10", "which is called digits"),
    ],
)
def test_without_its_images_the_rest_is_written(
    dataset: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("evil.py").write_text("from pathlib import Path\nPath('exploded').touch()\n")
    made = record("kd", "MO-P", 0, 50, config={"dataset": dataset, "image_size": 32})
    keep(tmp_path / "runs", [made])
    done = errors(f"{made.key} --folder out", tmp_path / "runs", "--data-root", tmp_path)
    assert done.returncode == 0
    (line,) = done.stderr.splitlines()
    assert line.startswith("okdbench: images are not copied to out/images: ")
    assert reason in line
    assert {path.name for path in Path("out").iterdir()} == {
        "errors.csv", "classes.csv", "confusion.csv", "confusion.png",
    }  # fmt: skip
    assert not Path("exploded").exists()


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Predictions:
    """A run's predictions on the user's own images in the working directory, whose red tells their class."""
    monkeypatch.chdir(tmp_path)
    found = guessed(names=("cat", "dog", "owl"))
    paths = tuple(f"phone/{found.names[label]}/{index}.png" for index, label in enumerate(found.labels))
    for path, label in zip(paths, found.labels.tolist(), strict=True):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 40), (label, 99, 0)).save(path)
    Path("phone.yaml").write_text("domains:\n  phone: phone\n")
    dataset = registry.load_dataset("phone.yaml")
    digest = assemble(dataset, dataset.setting("-P"), 32, Path("data")).images_digest
    config = {"dataset": "phone.yaml", "image_size": 32}
    made = record("kd", "-P", 0, 50, key="phone", dataset="phone", config=config, data_digest=digest)
    write_record(Path("runs", "phone"), made)
    predictions = found._replace(images=paths)
    write_predictions(Path("runs", "phone"), predictions)
    return predictions


def test_images_of_the_users_own_are_copied_when_the_user_names_them(phone: Predictions) -> None:
    done = errors("phone --folder out --data-root data --dataset phone.yaml", Path("runs"))
    assert done.stderr == ""
    copies = list(Path("out/images").glob("*/*/*.png"))
    assert len(copies) == (phone.classes[:, 0] != phone.labels).sum()
    for copy in copies:
        assert np.asarray(Image.open(copy))[0, 0].tolist() == [phone.names.index(copy.parts[2]), 99, 0]


def test_images_that_are_gone_or_of_another_class_now_are_named(phone: Predictions) -> None:
    wrong = [phone.images[index] for index in np.flatnonzero(phone.classes[:, 0] != phone.labels)]
    Path(wrong[0]).unlink()
    line = "phone --folder out --data-root data --dataset phone.yaml"
    assert f"1 images are not in the data set any more, such as {wrong[0]}" in errors(line, Path("runs")).stderr
    assert len(list(Path("out/images").glob("*/*/*.png"))) == len(wrong) - 1
    Path("phone.yaml").write_text("domains:\n  phone: phone\nclasses: [owl, dog, cat]\n")
    assert "has another class now than in the run" in errors(line, Path("runs")).stderr


def test_images_that_have_changed_since_the_run_are_pointed_out(phone: Predictions) -> None:
    line = "phone --folder out --data-root data --dataset phone.yaml"
    Image.new("RGB", (40, 40)).save(phone.images[0])
    assert "the images have changed since the run; the copies are of today" in errors(line, Path("runs")).stderr


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("kdA-C0", r"run it again: okdbench run --method kd .* --runs ANOTHER_FOLDER"),
        ("kdA-C1", "cannot be read"),
        ("failed", "failed and has no predictions; repeat it: okdbench run"),
        ("none", "there is no run 'none'"),
        ("kd", "write more of the key"),
    ],
)
def test_what_has_no_predictions_is_refused_with_the_cure(name: str, message: str, tmp_path: Path) -> None:
    runs = keep(tmp_path / "runs", [record("kd", "A-C", seed, 50) for seed in (0, 1)])
    (runs / "kdA-C0" / FILE).unlink()
    (runs / "kdA-C1" / FILE).write_bytes(b"damaged")
    write_record(runs / "failed", failed("kd", "A-C", 2, key="failed"))
    done = errors(name, runs)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.search(message, done.stderr), done.stderr


def test_an_archive_has_no_predictions(tmp_path: Path) -> None:
    write_archive(tmp_path / "records.jsonl.gz", [record("kd", "A-C", 0, 50)])
    assert "is an archive of records" in errors("kdA-C0", tmp_path / "records.jsonl.gz").stderr


def test_a_perfect_student_has_no_errors(tmp_path: Path) -> None:
    runs = keep(tmp_path / "runs", [record("kd", "A-C", 0, 100)])
    perfect = guessed()
    write_predictions(runs / "kdA-C0", perfect._replace(classes=perfect.labels[:, None] + np.zeros((1, 3), np.int16)))
    text = errors(f"kdA-C0 --folder {tmp_path / 'out'} --data-root {tmp_path}", runs).stdout
    assert "100.00 % right, 0 of 60 images wrong" in text
    assert "Wrong images" not in text
    assert (tmp_path / "out" / "errors.csv").read_text() == "image,truth,answer,confidence\n"


def test_many_classes_are_listed_as_pairs_and_fit_the_terminal(tmp_path: Path) -> None:
    names = tuple(f"laptop_computer_{index}" for index in range(12))
    runs = keep(tmp_path / "runs", [record("kd", "A-C", 0, 50)], 12, names)
    keep(runs, [record("kd", "A-C", 1, 50)], 13)
    matrix, pairs = "Confusion matrix: the truth in rows", "Classes that are confused most"
    piped = errors("kdA-C0", runs).stdout
    assert (matrix in piped, pairs in piped) == (True, False)
    assert next(line for line in piped.splitlines() if line.startswith("truth ")).split() == ["truth", *names]
    wide = errors("kdA-C1", runs).stdout
    assert (matrix in wide, pairs in wide) == (False, True)
    for width in (60, 80):
        text = on_terminal(["errors", "kdA-C0", "--runs", str(runs)], width, tmp_path)
        assert (matrix in text, pairs in text) == (False, True)
        # The first line is a sentence, which the terminal breaks.
        assert max(map(len, text.splitlines()[1:])) <= width, text
        assert set(names) <= set(text.split())


def test_names_from_elsewhere_lead_nowhere_and_control_no_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "deep" / "home"
    hostile = ("../../escaped", "/escaped", "a\x1b[2Jb", "=cmd()", "$\\bad$")
    found = guessed(5, names=hostile)
    paths = tuple(f"{hostile[index % 5]}/{index}" for index in range(60))
    made = record("kd", "../..", 0, 50, key="run", config={"dataset": "digits", "image_size": 10**9})
    write_record(home / "runs" / "run", made)
    write_predictions(home / "runs" / "run", found._replace(images=paths))
    monkeypatch.chdir(home)
    for words in ("run", "run --format json", "run --folder out --data-root data"):
        done = errors(words, Path("runs"))
        assert done.returncode == 0
        assert "\x1b[2J" not in done.stdout + done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"deep"}
    assert {path.name for path in home.iterdir()} <= {"runs", "out"}
