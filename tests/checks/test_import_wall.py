"""The import wall: every way across it is reported with its line, wherever the method comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fork_server import Command

from okdbench import methods
from okdbench.checks import Finding, Sandbox
from okdbench.checks.import_wall import breaches, imports_beyond

TEMPLATE = (Path(__file__).parents[2] / "okdbench" / "cli" / "templates" / "method.py").read_text()

#: trick -> code, and what is found in its last line
TRICKS = {
    "plain": ("import okdbench.training.runner", "imports okdbench.training.runner"),
    "top package": ("import okdbench", "imports okdbench"),
    "from": ("from okdbench.sweep.grid import lay_out", "imports okdbench.sweep.grid.lay_out"),
    "from the top": ("from okdbench import registry", "imports okdbench.registry"),
    "public function": ("from okdbench import run", "imports okdbench.run"),
    "alias": ("import okdbench.data.cache as optim", "imports okdbench.data.cache"),
    "from with alias": ("from okdbench.data import cache as optim", "imports okdbench.data.cache"),
    "in a list": ("import torch, okdbench.data.splits", "imports okdbench.data.splits"),
    "star": ("from okdbench.training.plan import *", "imports okdbench.training.plan.*"),
    "another method": ("from okdbench.methods.kd import PlainKD", "imports okdbench.methods.kd.PlainKD"),
    "a name like an open one": ("import okdbench.apis", "imports okdbench.apis"),
    "attribute": ("import okdbench.api\nokdbench.training.runner.run", "uses okdbench.training.runner.run"),
    "attribute of an alias": ("import okdbench as o\no.data.cache", "uses okdbench.data.cache"),
    "getattr": ("import okdbench.distill.losses\ngetattr(okdbench, 'data')", "uses okdbench"),
    "another name": ("import okdbench.api\nhouse = okdbench", "uses okdbench"),
    "import_module": ("import importlib", "imports importlib, which reaches other modules"),
    "from importlib": ("from importlib import import_module as load", "imports importlib.import_module, which"),
    "import_module of torch": ("import torch\ntorch.importlib.import_module(x)", "uses .import_module"),
    "__import__": ("__import__('okd' + 'bench.data')", "uses __import__"),
    "builtins": ("from builtins import __import__ as load", "imports builtins.__import__, which"),
    "__builtins__": ("f = __builtins__['exec']", "uses __builtins__"),
    "__globals__": ("from okdbench.distill.losses import kl\nkl.__globals__['F']", "uses .__globals__"),
    "getattr of globals": ("getattr(print, '__globals__')", "has '__globals__' as a text"),
    "name of the package": ("import okdbench.api\nglobals()['okdbench']", "has 'okdbench' as a text"),
    "subclasses": ("object.__subclasses__()", "uses .__subclasses__"),
    "function": ("def f():\n    from okdbench.data import splits", "imports okdbench.data.splits"),
    "lambda of a method": ("class A:\n    def f(self):\n        import okdbench.registry", "imports okdbench.registry"),
    "class body": ("class A:\n    from okdbench.data import splits", "imports okdbench.data.splits"),
    "try": ("try:\n    pass\nexcept E:\n    import okdbench.data.loader", "imports okdbench.data.loader"),
    "match": ("match 1:\n    case 1:\n        import okdbench.data.loader", "imports okdbench.data.loader"),
    "type checkers alone": ("if TYPE_CHECKING:\n    import okdbench.data.loader", "imports okdbench.data.loader"),
    "sys of a library": ("from os import sys", "imports os.sys"),
    "sys as an attribute": ("import torch\ntorch.sys.modules['okd' + 'bench.data']", "uses .sys"),
    "frames of callers": ("import inspect", "imports inspect"),
    "pickle": ("import pickle", "imports pickle"),
    "all objects": ("import gc", "imports gc"),
    "sys.modules": ("import sys\nsys.modules['okdbench.data']", "uses sys.modules, which holds every imported module"),
    "sys.modules by alias": ("import sys as s\ndict(s.modules)", "uses sys.modules"),
    "from sys": ("from sys import modules", "imports sys.modules, which"),
    "getattr of sys": ("import sys\ngetattr(sys, 'mod' + 'ules')", "uses sys, which holds"),
    "exec": ("exec(text)", "uses exec"),
    "eval": ("eval('1')", "uses eval"),
    "compile": ("run = compile", "uses compile"),
    "text of an import": ("x = 'from okdbench import data'", "has 'from okdbench' in a text"),
    "resolve_name": ("from pkgutil import resolve_name", "imports pkgutil.resolve_name, which"),
    "runpy": ("import runpy", "imports runpy, which"),
    "pydoc": ("from pydoc import locate", "imports pydoc.locate, which"),
    "name in a text": ("x = locate('okdbench.training.runner')", "has 'okdbench.training' in a text"),
    "name in an f-string": ("x = f'okdbench.data.{y}'", "has 'okdbench.data' in a text"),
}

INNOCENT = """
import sys
import re
import torch, numpy as np
import okdbench.api
import okdbench.distill.losses as losses
from okdbench import api, distill
from okdbench.api import Method, UserError
from okdbench.distill import adversarial
from okdbench.distill.networks.generators import *

class A:
    '''Text about okdbench.training.runner and import okdbench is only text here.'''

    def step(self):
        '''See okdbench.data.loader.'''
        model = torch.compile(self.teacher.eval())
        modules = list(model.modules())
        print(okdbench.api.adam, file=sys.stderr)
        pattern = re.compile('okdbench.distill.losses')
        raise UserError('see okdbench show METHOD and okdbench.api')
"""


@pytest.mark.parametrize("trick", TRICKS)
def test_a_way_across_the_wall_is_reported_with_its_line(trick: str) -> None:
    code, complaint = TRICKS[trick]
    *_, last = breaches(code.encode(), "mine")
    assert last.line == len(code.splitlines())
    assert last.found.startswith(complaint)
    assert last.means
    assert last.cure


def test_what_is_open_is_not_reported() -> None:
    assert breaches(INNOCENT.encode(), "mine") == []
    assert breaches(TEMPLATE.encode(), "mine") == []


def test_the_cure_names_the_public_place_of_what_is_wanted() -> None:
    (breach,) = breaches(b"from okdbench.core.errors import UserError", "mine")
    assert breach.cure == "from okdbench.api import UserError"


def found_in(method: str, tmp_path: Path) -> list[Finding]:
    return imports_beyond(Sandbox(method, tmp_path, dataset="digits"))


def write_every_trick(file: Path) -> list[str]:
    """A method with all of them, in functions that are never called, where a star may not be; returns what is found."""
    lines, wanted = TEMPLATE.replace("(Track.LABELLED, Track.LABEL_FREE)", "(Track.LABELLED,)").splitlines(), []
    for code, complaint in TRICKS.values():
        if "*" not in code:
            lines += ["def trick():", *(f"    {line}" for line in code.splitlines())]
            wanted.append(f"{file.name}:{len(lines)} {complaint}")
    file.write_text("\n".join(lines))
    assert len(wanted) >= 30
    return wanted


def test_every_trick_of_a_local_method_is_found(tmp_path: Path) -> None:
    wanted = write_every_trick(tmp_path / "mine.py")
    found = tuple(finding.found for finding in found_in(str(tmp_path / "mine.py"), tmp_path))
    assert [start for start in wanted if not any(one.startswith(start) for one in found)] == []


@pytest.mark.slow
def test_check_names_every_trick(tmp_path: Path, data_root: Path) -> None:
    wanted = write_every_trick(tmp_path / "mine.py")
    result = Command(["check", "./mine.py"], tmp_path, data_root).wait()
    assert result.returncode == 1, result.stderr
    assert "bad it imports only okdbench.api and okdbench.distill\n" in result.stdout
    assert [text for text in wanted if f"found: {text}" not in result.stdout] == []


def test_a_local_method_is_read(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(TEMPLATE + "\n\ndef later():\n    from okdbench.data import splits\n")
    (finding,) = found_in(str(tmp_path / "mine.py"), tmp_path)
    assert finding.found == f"mine.py:{len(TEMPLATE.splitlines()) + 4} imports okdbench.data.splits"


def test_a_method_in_the_tree_is_read_and_so_are_its_relative_imports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(methods, "__path__", [*methods.__path__, str(tmp_path)])
    text = "from .kd import PlainKD\ndef f():\n    from .. import data\n\n\nclass Wall(PlainKD):\n    pass\n"
    (tmp_path / "wall.py").write_text(text)
    try:
        found = [finding.found for finding in found_in("wall", tmp_path)]
    finally:
        del sys.modules["okdbench.methods.wall"]
    assert found == ["wall.py:1 imports okdbench.methods.kd.PlainKD", "wall.py:3 imports okdbench.data"]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package whose method reaches some of its modules."""
    folder, entry = tmp_path / "okd_wall", tmp_path / "okd_wall-1.0.dist-info"
    texts = {
        "__init__": "from okdbench import registry\n",
        "method": TEMPLATE + "\nfrom okd_wall.inner import tools\n",
        "inner/__init__": "",
        "inner/tools": "def f():\n    from ..deep import x\n",
        "deep": "import okdbench.training.trial\n",
        "unused": "import okdbench.training.runner\n",
    }
    for name, text in texts.items():
        (folder / f"{name}.py").parent.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)
    entry.mkdir()
    (entry / "METADATA").write_text("Metadata-Version: 2.1\nName: okd-wall\nVersion: 1.0\n")
    (entry / "entry_points.txt").write_text("[okdbench.methods]\nwalled = okd_wall.method\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.partition(".")[0] == "okd_wall"]:
        del sys.modules[name]


@pytest.mark.usefixtures("package")
def test_all_that_an_installed_method_reaches_in_its_package_is_read(tmp_path: Path) -> None:
    found = sorted(finding.found for finding in found_in("walled", tmp_path / "bench"))
    assert found == [
        "okd_wall/__init__.py:1 imports okdbench.registry",
        "okd_wall/deep.py:1 imports okdbench.training.trial",
    ]
