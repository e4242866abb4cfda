"""Files with commas and blanks in their names, with ~, and relative to the YAML file that names them."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from support.error_text import refusal

from okdbench import registry
from okdbench.core.config import RunConfig, load_options, resolve
from okdbench.core.file_names import for_file, split_names
from okdbench.core.files import default_data_root
from okdbench.sweep.grid import parse_grid

FILES = ("a,b.py", "a", "my photos, new/shop.yaml", "lab[1,2]/mine.py")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, which is the home too, with some files."""
    for name in FILES:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("kd, augkd[a=1,b=[2, 3]]", ["kd", "augkd[a=1,b=[2, 3]]"]),
        ("./a,b.py,kd", ["./a,b.py", "kd"]),
        ("kd, ./a,b.py[lr=1e-3,x=2] , ltr", ["kd", "./a,b.py[lr=1e-3,x=2]", "ltr"]),
        ("a,b.py", ["a,b.py"]),
        ("./a,kd", ["./a", "kd"]),
        ("./c,d.py", ["./c", "d.py"]),
        ("digits,./my photos, new/shop.yaml", ["digits", "./my photos, new/shop.yaml"]),
        ("lab[1,2]/mine.py[x=1],kd", ["lab[1,2]/mine.py[x=1]", "kd"]),
    ],
)
def test_commas_in_the_path_of_a_file_divide_nothing(text: str, names: list[str]) -> None:
    assert split_names(text) == names


def test_the_home_is_expanded_in_lists_too(here: Path) -> None:
    assert split_names("kd,~/a,b.py") == ["kd", f"{here}/a,b.py"]
    grid = parse_grid({"method": ["~/a,b.py,kd"], "dataset": ["~/my photos, new/shop.yaml,digits"]})
    assert grid.methods == [f"{here}/a,b.py", "kd"]
    assert grid.datasets == [f"{here}/my photos, new/shop.yaml", "digits"]
    config = RunConfig(method="~/a.py", dataset="~/x.yaml", setting="-P", teacher_weights="~/best.pt")
    assert (config.method, config.dataset, config.teacher_weights) == tuple(
        f"{here}/{name}" for name in ("a.py", "x.yaml", "best.pt")
    )


def test_the_home_is_expanded_where_a_data_set_or_the_data_folder_is_named(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (here / "photos" / "cup").mkdir(parents=True)
    (here / "mine.yaml").write_text("domains: {photos: ~/photos}")
    assert registry.load_dataset("~/mine.yaml").classes == ("cup",)
    monkeypatch.setenv("OKDBENCH_DATA", "~/data")
    assert default_data_root() == here / "data"


def test_a_description_may_end_in_capitals(here: Path) -> None:
    (here / "photos" / "cup").mkdir(parents=True)
    (here / "mine.YML").write_text("domains: {photos: photos}")
    assert registry.load_dataset("~/mine.YML").classes == ("cup",)
    (here / "a,b.YML").touch()
    assert split_names("a,b.YML") == ["a,b.YML"]


@pytest.mark.parametrize("name", ["photos.zip", "./photos.tar.GZ"])
def test_an_archive_is_to_be_unpacked(here: Path, name: str) -> None:
    (here / name).touch()
    cure = "is an archive, and images are read from folders; unpack it, and name the folder"
    assert refusal(registry.load_dataset, name) == f"{name} {cure}"
    (here / "shop.yaml").write_text(f"domains: {{photos: {name}}}")
    assert refusal(registry.load_dataset, "shop.yaml").endswith(cure)
    (here / name).unlink()
    (here / name / "cup").mkdir(parents=True)
    assert registry.load_dataset(name).classes == ("cup",), "a folder of this name"


def test_files_in_a_yaml_file_are_relative_to_it(here: Path) -> None:
    (here / "sub").mkdir()
    (here / "sub" / "a,b.py").touch()
    file = here / "sub" / "run.yaml"
    file.write_text("{method: 'kd, ./a,b.py[x=1]', dataset: ../mine.yaml, teacher_weights: best, setting: M}")
    assert load_options(Path("sub/run.yaml")) == {
        "method": ["kd", "sub/a,b.py[x=1]"],
        "dataset": "mine.yaml",
        "teacher_weights": "sub/best",
        "setting": "M",
    }
    assert parse_grid({}, Path("sub/run.yaml")).methods == ["kd", "sub/a,b.py[x=1]"]
    file.write_text("{method: kd, dataset: ~/mine.yaml, teacher_weights: /models/best.pt, setting: M}")
    config = resolve({}, file=file)
    assert (config.method, config.dataset, config.teacher_weights) == ("kd", f"{here}/mine.yaml", "/models/best.pt")


def test_what_a_program_writes_names_the_same_files(here: Path) -> None:
    options = {"method": "./a,b.py", "dataset": f"{here}/x.yaml", "teacher_weights": "models/best.pt", "seed": 1}
    file = Path("tuned/best.yaml")
    file.parent.mkdir()
    file.write_text(yaml.safe_dump(for_file(options, file)))
    assert yaml.safe_load(file.read_text())["teacher_weights"] == "../models/best.pt"
    assert load_options(file) == {**options, "method": "a,b.py"}
