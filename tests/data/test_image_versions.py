"""Versions of one image are known by their names, and other names with numbers are not taken for versions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.own_images import write
from test_own_groups import CLASSES, TINY, leaks_of, noise, splits_of
from typer.testing import CliRunner

from okdbench.cli.app import app
from okdbench.core.folds import FOLDS
from okdbench.data.image_versions import versions
from okdbench.training.plan import make_plan
from okdbench.training.progress import quiet
from okdbench.training.runner import execute

VERSIONS = {
    "{}.png": ("", "_flip", "_rot90", "_rot180", "_flip_rot90", " - Copy"),
    "{}_jpg.jpg": (".rf.0a1b2c3d4e5f60718293a4b5c6d7e8f9", ".rf.XyZ09", "_flip.rf.9f", ".rf.8e"),
    "apple-{}.png": ("", "flipped_", "rotated_", "rot_90_"),
    "pear-{}.png": ("aug_0_", "aug_1_", "Aug_2_"),
    "original_{}.png": tuple(f"_{number}b9c1d2e-3f40-4a5b-8c6d-7e8f9a0b1c2d" for number in range(4)),
}


def versions_in(folder: Path, form: str) -> Path:
    """Ten objects of each class in versions that do not look alike, with names as of Kaggle and of tools."""
    for index in range(30):
        for number, suffix in enumerate(VERSIONS[form]):
            stem, _, ending = form.format(f"img{index:02d}").rpartition(".")
            name = f"{suffix}{stem}" if suffix.endswith("_") else f"{stem}{suffix}"
            file = folder / CLASSES[index % 3] / f"{name}.{ending}"
            file.parent.mkdir(parents=True, exist_ok=True)
            noise(100 * index + number).save(file)
    return folder


@pytest.mark.parametrize("form", VERSIONS)
def test_versions_of_one_image_are_known_by_their_names(form: str, tmp_path: Path) -> None:
    """The line has what is to be written into the file, and nothing more is to be said then."""
    versions_in(tmp_path / "phone", form)
    plain = write(tmp_path / "plain.yaml", domains={"phone": "phone"})
    text = leaks_of(plain)
    assert re.search(r"of \d+ test images \d+ by their names versions of images that are trained", text)
    assert f"copies in fold 0: {text}" in CliRunner().invoke(app, ["data", "check", str(plain)]).stdout
    cured = tmp_path / "cured.yaml"
    cured.write_text(f"{plain.read_text()}\n{text[text.index('groups:') :]}\n")
    for seed in range(FOLDS):
        assert leaks_of(cured, seed) == ""
        splits = splits_of(cured, seed)
        groups = [set(part.groups) for part in (splits.teacher_train, splits.test)]
        assert [len(part) // len(VERSIONS[form]) for part in (splits.teacher_train, splits.test)] == [24, 6]
        assert [len(names) for names in groups] == [24, 6]


def test_versions_in_two_parts_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted(versions_in(tmp_path / "phone", "{}.png").glob("*/*.png")):
        part = tmp_path / "phone" / ("test" if "_rot" in file.name else "train") / file.parent.name
        part.mkdir(parents=True, exist_ok=True)
        file.rename(part / file.name)
    for name in CLASSES:
        (tmp_path / "phone" / name).rmdir()
    file = write(tmp_path / "parted.yaml", domains={"phone": "phone"})
    execute(make_plan({**TINY, "dataset": str(file), "setting": "P"}, data_root=tmp_path), tmp_path / "runs", quiet)
    said = "warning: of 90 test images 90 by their names versions of images that are trained or validated on; remove "
    assert f"{said}copies, and put all images of one group or object into one part" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["img_{}", "img{}_{}", "{}_sea", "IMG-{}-WA{}", "photo ({})", "v1.{}"])
def test_names_with_numbers_are_no_versions(form: str) -> None:
    paths = [f"phone/cup/{form.format(number, number % 7)}.png" for number in range(40)]
    paths += ["phone/cup/sea.png", "phone/cup/sea_lion.png"]
    assert versions(paths[::2], paths[1::2]) == (0, "")


def test_words_before_a_name_that_two_classes_have_are_not_proposed() -> None:
    paths = [f"phone/{label}/{word}{number}.png" for label in CLASSES for number in range(9) for word in ("", "flip_")]
    assert versions(paths[::2], paths[1::2]) == (0, "")
    own = [path.replace("/flip_", f"/flip_{path[6:9]}").replace(".png", f"{path[6:9]}.png") for path in paths]
    assert versions(own[::2], own[1::2]) == (0, ""), "of other images"
    one = [path for path in paths if path.startswith(f"phone/{CLASSES[0]}/")]
    assert versions(one[::2], one[1::2])[0] == 9
    sources = [path.replace("flip_", "new_") for path in one]
    assert versions(sources[::2], sources[1::2]) == (0, "")


def test_parts_that_each_count_from_1_have_no_names_in_common() -> None:
    learned = [f"phone/train/cup/{number}{suffix}.png" for number in range(9) for suffix in ("", "_flip")]
    assert versions([f"phone/test/cup/{number}.png" for number in range(3)], learned) == (0, "")
    assert versions([f"phone/test/cup/{number}_rot90.png" for number in range(3)], learned)[0] == 3
