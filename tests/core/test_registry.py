"""Plugins are found by their files without being imported, and errors in them are reported with their place."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from okdbench import datasets, methods, registry
from okdbench.core import plugins
from okdbench.core.errors import UserError

DATASET = """
from okdbench.data.dataset import Dataset

class {name}(Dataset):
    title = "{name}"

    def samples(self, domain, root):
        return []
"""

STILL = """
from okdbench.api import Method
from okdbench.api import Card

class Still(Method):
    card = Card(title="Still", venue="", year=2026, url="", reads=())

    def stages(self):
        return []
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose files are bundled data sets and methods during one test."""
    for package in (datasets, methods):
        monkeypatch.setattr(package, "__path__", [*package.__path__, str(tmp_path)])
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith(("okdbench.datasets.", "okdbench.methods.")):
            del sys.modules[name]


def test_names_come_from_files_that_are_not_imported(folder: Path) -> None:
    for name in ("zebra.py", "_helper.py", "notes.txt"):
        (folder / name).write_text("raise RuntimeError('imported')")
    (folder / "package").mkdir()
    (folder / "package" / "__init__.py").touch()
    for names in (plugins.dataset_names(), plugins.method_names()):
        assert "zebra" in names
        assert not {"_helper", "notes", "package"} & set(names)
        assert names == sorted(names)


def test_a_dataset_is_the_class_defined_in_its_file(folder: Path) -> None:
    (folder / "plain.py").write_text(DATASET.format(name="Plain"))
    (folder / "derived.py").write_text(
        "from okdbench.datasets.plain import Plain\nclass Derived(Plain):\n    title = 'Derived'\nAlias = Derived\n"
    )
    assert registry.load_dataset("plain").title == "Plain"
    assert registry.load_dataset("derived").title == "Derived"


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("", "expected exactly one subclass of Dataset, found none"),
        (DATASET.format(name="B") + DATASET.format(name="A"), "expected exactly one subclass of Dataset, found A, B"),
        (DATASET.format(name="A").replace("samples", "images"), "A does not define samples"),
    ],
)
def test_what_is_wrong_with_a_file_is_reported_to_its_author(folder: Path, source: str, complaint: str) -> None:
    (folder / "wrong.py").write_text(source)
    with pytest.raises(UserError) as caught:
        registry.load_dataset("wrong")
    assert str(caught.value) == f"{folder / 'wrong.py'}: {complaint}"


def test_an_attribute_that_is_not_read_any_more_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(DATASET.format(name="Mine") + "\n    flip = False\n")
    with pytest.raises(UserError, match=r'write augmentation = teacher_augmentation = \("shift",\)'):
        registry.load_dataset(str(file))


def test_a_mistake_in_a_file_keeps_its_own_traceback(folder: Path) -> None:
    (folder / "broken.py").write_text("import no_such_library\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        registry.load_dataset("broken")


@pytest.mark.parametrize("name", ["zebr", "_helper", "../zebra", "zebra.x", ""])
def test_unknown_names(folder: Path, name: str) -> None:
    (folder / "zebra.py").touch()
    with pytest.raises(UserError, match="unknown dataset"):
        registry.load_dataset(name)
    with pytest.raises(UserError, match="unknown method"):
        registry.load_method(name)


def test_a_method_is_the_class_defined_in_its_file(folder: Path) -> None:
    (folder / "still.py").write_text(STILL)
    assert registry.load_method("still").__name__ == "Still"
    (folder / "bare.py").write_text(STILL.replace("card = ", "label = "))
    with pytest.raises(UserError, match="bare: Still has no card; okdbench new method NAME writes a file with one"):
        registry.load_method("bare")


def test_listing_names_does_not_import_torch() -> None:
    code = "import sys; from okdbench.core import plugins; plugins.method_names(); assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
