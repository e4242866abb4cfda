"""The whole way of its page, from a file of plain PyTorch to the answers of a program, on real photographs."""

from __future__ import annotations

import csv
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from support.dataset_trees import SHARED, needs_office
from support.pages import blocks
from typer.testing import CliRunner

import okdbench
from okdbench.cli.app import app

PHOTOS = SHARED / "office31-10class"
PAGE = "docs/whole-way.md"
TRAIN, APP, COMPARE = blocks(PAGE, "python")
(OWN,) = blocks(PAGE, "yaml")
COMMANDS = [line for block in blocks(PAGE, "") for line in block.splitlines() if line.startswith("okdbench ")]
#: forms of the teacher's file
FORMS = ("plain.pt", "parallel.pt", "lightning.ckpt")

# the teacher is trained in about a minute on idle cores
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200), needs_office]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs, the description and the trained teacher as the page has them."""
    made = tmp_path_factory.mktemp("whole way")
    for domain in ("dslr", "webcam"):
        shutil.copytree(PHOTOS / domain / "images", made / domain)
    (made / "webcam.yaml").write_text(OWN)
    subprocess.run([sys.executable, "-c", TRAIN], cwd=made, check=True)
    return made


def test_the_page_leads_to_a_program_that_answers_as_predict(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    key = "3f9a"
    for line in COMMANDS:
        words = [key if word == "3f9a" else word for word in line.split()[1:]]
        quick = ["--budget", "smoke", "--device", "cpu"] if words[0] in ("run", "recommend") else []
        result = CliRunner().invoke(app, [*words, *quick])
        assert result.exit_code == 0, f"{line}: {result.output}"
        if words[0] == "run":
            (key,) = (path.parent.name for path in Path("runs").glob("*/record.json"))
    answers = list(csv.DictReader(Path("labels.csv").read_text().splitlines()))
    program: dict[str, Callable[[str], str]] = {}
    exec(APP, program)
    exec(COMPARE, program)
    assert capsys.readouterr().out.endswith("295 of 295 agree\n")
    assert len(answers) == 295
    assert [program["class_of"](row["file"]) for row in answers] == [row["label"] for row in answers]


def test_the_forms_of_the_file_are_one_teacher(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    options = {"dataset": "webcam.yaml", "setting": "-W", "teacher": "resnet18", "student": "test_resnet"}
    found = {
        okdbench.run(method="teacher", budget="smoke", teacher_weights=form, runs=form[:4], **options).teacher_score
        for form in FORMS
    }
    assert len({score.fingerprint for score in found if score}) == 1
