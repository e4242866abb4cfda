"""What is said of a user's own images: by ``okdbench data check``, and when a run starts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.dataset_trees import grow, official
from support.error_text import refusal
from support.own_images import write
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.errors import UserError
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

TINY = {"method": "kd", "budget": "smoke", "teacher": "lenet5_bn", "student": "lenet5_half_bn", "device": "cpu"}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Two domains of which one class has only four images, beside a file that describes them."""
    counts = {domain: {"cup": 10, "lamp": 15, "pen": 4} for domain in ("studio", "phone")}
    grow(tmp_path / "images", official(counts))
    (tmp_path / "images" / "phone" / "cup" / "notes.txt").touch()
    return write(tmp_path / "shop.yaml", domains={"studio": "images/studio", "phone": "images/phone"})


def check(file: Path) -> tuple[list[str], str]:
    """The lines that are printed, and the error."""
    result = CliRunner().invoke(app, ["data", "check", str(file)])
    assert result.exception is None or isinstance(result.exception, UserError)
    return [line.strip() for line in result.stdout.splitlines()], str(result.exception or "")


def test_the_passport_of_own_images(shop: Path) -> None:
    lines, error = check(shop)
    assert error == ""
    assert lines.count("images per class 4 to 15") == 2
    assert "phone: 29 images, 3 classes" in lines
    assert {"ignored .txt (1)", "ignored nothing"} <= set(lines)
    assert sum(line.startswith("not tested in fold ") and line.endswith(": pen") for line in lines) == 2
    assert "exact duplicates in phone: 28" in lines
    assert "images of phone with an equal file in studio: 29" in lines
    assert check(shop)[0] == lines
    Image.new("RGB", (9, 9)).save(shop.parent / "images" / "phone" / "pen" / "new.png")
    before, after = ([line for line in each if line.startswith("digest ")] for each in (lines, check(shop)[0]))
    assert (before[0] != after[0], before[1] == after[1]) == (True, True)


def test_all_damaged_images_are_named_at_once(shop: Path, tmp_path: Path) -> None:
    names = ["studio/cup/00001.jpg", "phone/lamp/00002.jpg", "phone/pen/00003.jpg"]
    for name in names:
        file = tmp_path / "images" / name
        content = file.read_bytes()
        file.unlink()
        file.write_bytes(content[:300] if "pen" in name else b"<html>")
    _, error = check(shop)
    assert error.startswith("3 images cannot be read: ")
    message = refusal(make_plan, {**TINY, "dataset": str(shop), "setting": "S-P"}, data_root=tmp_path / "root")
    assert message.startswith("cannot read 3 images: ")
    assert message.endswith("replace or delete them, then run again")
    for name in names:
        assert name in error
        assert str(tmp_path / "images" / name) in message


def test_a_run_says_what_it_reads(shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    seeds = {}
    for seed in range(5):
        plan = make_plan({**TINY, "dataset": str(shop), "setting": "S-P", "seed": seed}, data_root=tmp_path / "root")
        seeds[seed] = 2 in plan.splits.test.labels
    seed = next(seed for seed, tested in seeds.items() if not tested)
    values = {**TINY, "dataset": str(shop), "setting": "S-P", "seed": seed}
    for method in ("kd", "finetune"):
        execute(make_plan({**values, "method": method}, data_root=tmp_path / "root"), tmp_path / "runs", quiet)
    lines = capsys.readouterr().err.splitlines()
    start = f"okdbench: shop S-P seed {seed}: "
    assert lines.count(f"{start}warning: no test image in this fold, so not tested: pen") == 1
    counts = [line for line in lines if line.startswith(f"{start}teacher ")]
    assert len(counts) == 1
    assert "test 5 images (0 to 3 per class); ignored: .txt (1)" in counts[0]


@pytest.mark.parametrize("tested", ["val", "test"])
def test_a_class_without_a_training_image_is_named(
    tested: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    counts = {"train": {"cup": 9, "lamp": 9}, tested: {"cup": 3, "lamp": 3, "sea": 3}}
    names = [f"{domain}/{name}" for domain in ("studio", "phone") for name in official(counts)]
    folder = grow(tmp_path / f"by_{tested}", names)  # a line is said once in a process
    lines, _ = check(folder)
    assert lines.count("no training image at all: sea") == 2
    assert not any(line.startswith("not trained on") for line in lines)
    execute(make_plan({**TINY, "dataset": str(folder), "setting": "S-P"}, data_root=tmp_path), tmp_path, quiet)
    said = capsys.readouterr().err
    for who in ("teacher", "student"):
        assert f"warning: the {who} has no training image of sea; add some" in said
    assert "(0 to 9 per class)" in said


def test_a_class_that_a_fold_does_not_train_on_is_named(tmp_path: Path) -> None:
    lines, _ = check(grow(tmp_path / "photos", official({"photos": {"cup": 10, "lamp": 10, "sea": 1}})))
    tested = [line for line in lines if line.startswith("not tested in fold ")]
    trained = [line for line in lines if line.startswith("not trained on in fold ")]
    assert len(tested) == 4, "its one image is in one test fold"
    assert 1 <= len(trained) <= 2, "and there, and where it validates, it is not trained on"
    assert {line[-3:] for line in trained} == {"sea"}


def test_a_photograph_in_two_classes_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = ("twice/cup/5.png", "twice/lamp/7.png")
    for index, name in enumerate([*official({"twice": {"cup": 8, "lamp": 8}}), *names, "twice/cup/6.png"]):
        file = (tmp_path / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.effect_noise((32, 32), 5 + min(index, 16)).save(file)
    (tmp_path / names[1]).write_bytes((tmp_path / names[0]).read_bytes())
    (tmp_path / "twice" / "cup" / "6.png").write_bytes((tmp_path / "twice" / "cup" / "00000.png").read_bytes())
    lines, _ = check(tmp_path / "twice")
    warning = f"warning: 2 images are equal to one of another class: {', '.join(names)}"
    assert (warning in lines, "exact duplicates in twice: 2" in lines) == (True, True)
    values = {**TINY, "method": "dafl", "dataset": str(tmp_path / "twice"), "setting": "T"}
    execute(make_plan(values, data_root=tmp_path), tmp_path / "runs", quiet)
    said = capsys.readouterr().err
    assert f"{warning}; remove them" in said


def test_pixels_that_are_no_numbers_are_counted(shop: Path) -> None:
    values = np.full((9, 9), 0.5, np.float32)
    for name, first in (("whole", 0.1), ("nan", np.nan), ("endless", np.inf)):
        values[0, 0] = first
        Image.fromarray(values).save(shop.parent / "images" / "phone" / "cup" / f"{name}.tif")
    lines, error = check(shop)
    assert error == ""
    assert lines.count("warning: 2 images have pixels that are no numbers (NaN); they are read as black") == 1
