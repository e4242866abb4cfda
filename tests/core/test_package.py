"""What ``import okdbench`` gives: public names, loaded on first use, from wherever Python is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from configparser import ConfigParser
from pathlib import Path

import pytest

import okdbench

ROOT = Path(__file__).parents[2]
PUBLIC = ("compare", "leaderboard", "load_records", "run")


def output(python: str | Path, code: str, folder: Path) -> str:
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    result = subprocess.run([python, "-c", code], cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_functions_are_found_under_their_names(name: str) -> None:
    assert getattr(okdbench, name).__name__ == name


def test_public_names_are_listed() -> None:
    assert {*PUBLIC, "__version__"} == set(okdbench.__all__) <= set(dir(okdbench))
    with pytest.raises(AttributeError, match="module 'okdbench' has no attribute 'rum'"):
        okdbench.rum  # noqa: B018 - the access is the test


def test_importing_okdbench_loads_no_library() -> None:
    code = "import sys, okdbench; dir(okdbench); print({'torch', 'pandas', 'numpy', 'scipy'} & set(sys.modules))"
    assert output(sys.executable, code, ROOT) == "set()"


def test_setup_cfg_lists_every_package_and_every_file_that_is_no_module() -> None:
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    folders = {path.parent for path in (ROOT / "okdbench").rglob("*.py")}
    packages = {".".join(folder.relative_to(ROOT).parts) for folder in folders}
    siblings = {f"okdbench.{name}" for name in ("methods", "datasets", "leaderboards")}
    assert set(config["options"]["packages"].split()) == packages | siblings
    for path in (ROOT / "okdbench").rglob("*.*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
            patterns = config["options.package_data"][".".join(path.parent.relative_to(ROOT).parts)]
            assert any(path.match(pattern) for pattern in patterns.split(", ")), path


@pytest.mark.parametrize(
    ("path", "ignored"),
    [
        ("runs/ab12/record.json", True),
        ("figures/plot.png", True),
        (".venv/bin/python", True),
        ("okdbench/core/__pycache__/x.pyc", True),
        ("okdbench/runs/module.py", False),
        ("okdbench/results/figures/module.py", False),
        ("docs/site/page.md", False),
        ("tests/build/test_x.py", False),
    ],
)
def test_only_folders_at_the_top_are_ignored_by_git(tmp_path: Path, path: str, ignored: bool) -> None:
    shutil.copy(ROOT / ".gitignore", tmp_path)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    result = subprocess.run(["git", "check-ignore", "--quiet", path], cwd=tmp_path, check=False)
    assert (result.returncode == 0) == ignored


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A folder with a clone named okdbench and, beside it, an environment into which it is installed as editable."""
    source = tmp_path / "okdbench"
    names = ("okdbench", "methods", "datasets", "leaderboards")
    for name in names:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "Makefile", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    venv.create(tmp_path / "venv", with_pip=False)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    # what pip does with an editable install
    output(sys.executable, f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})", source)
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        wheel.extractall(site)
    return tmp_path


def test_the_folder_above_a_clone_finds_the_package_and_not_the_clone(clone: Path) -> None:
    python, code = clone / "venv" / "bin" / "python", "import okdbench; print(okdbench.__file__)"
    package = clone / "okdbench" / "okdbench" / "__init__.py"
    assert output(python, code, clone.parent) == str(package), "elsewhere an editable install is enough"
    assert output(python, code, clone) == "None", (
        "a namespace package: otherwise the Makefile need not put it on the path"
    )
    words = ["make", "--silent", "on-path", f"BIN={clone / 'venv' / 'bin'}"]
    subprocess.run(words, cwd=clone / "okdbench", check=True)
    assert output(python, code, clone) == str(package)
    assert output(python, "import okdbench; print('run' in dir(okdbench), okdbench.methods.__path__)", clone) == (
        f"True ['{clone / 'okdbench' / 'methods'}']"
    )
