"""The import wall: of okdbench, a method may import ``okdbench.api`` and ``okdbench.distill``, and nothing else.

Other modules lead to images, labels and evaluations that a method must not see. The check reads the method's files and
runs nothing. It finds import statements anywhere in a file, and the known ways around them, such as a computed
name, the table of loaded modules and the frames of callers. It checks the files of honest authors; it is no sandbox.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import okdbench.api
from okdbench.checks.finding import Finding
from okdbench.checks.sandbox import Sandbox
from okdbench.core.code_digest import PACKAGE, import_closure, imported_names, module_files, package_files
from okdbench.core.plugins import METHODS
from okdbench.distill.method import Method

#: the modules of okdbench that a method may import, with everything below them
OPEN = ("okdbench.api", "okdbench.distill")
#: modules of Python that import others by name, or that reach objects which nobody passed on
IMPORTERS = (
    "builtins", "ctypes", "gc", "imp", "importlib", "inspect", "marshal", "pickle", "pkg_resources", "pkgutil", "pydoc",
    "runpy", "sys.modules", "unittest.mock", "zipimport",
)  # fmt: skip
#: built-in functions and attributes that lead to any module
BUILTINS = ("__builtins__", "__import__", "__loader__", "__spec__", "compile", "eval", "exec")
ATTRIBUTES = (
    *BUILTINS[:4], "__globals__", "__subclasses__", "_getframe", "_importer", "f_back", "f_locals", "import_module",
    "resolve_name", "sys",
)  # fmt: skip
#: a text that names what is beyond the wall, as in import_module("okdbench.data") or exec("import okdbench")
_IN_TEXT = re.compile(r"\bokdbench\.(?!(?:api|distill)\b)\w+|\b(?:from|import)\s+okdbench\b(?!\.(?:api|distill)\b)")

# what a finding means and its cure
_BEYOND = "it leads to images, labels and evaluations that a method must not see, so its rows cannot be trusted"
_HIDDEN = "any module can be imported this way, so what the method reaches is unknown and its rows cannot be trusted"
_STAGES = 'import from okdbench.api and okdbench.distill only; get batches from stages: Stage(..., data="images")'
_PLAIN = "import what the method needs with import statements"


class Breach(NamedTuple):
    """A line of a file that crosses the wall, or may cross it."""

    line: int
    found: str
    means: str = _BEYOND
    cure: str = _STAGES


def imports_beyond(sandbox: Sandbox) -> list[Finding]:
    """What the method's files import of okdbench beyond ``okdbench.api`` and ``okdbench.distill``."""
    return [
        Finding(f"{place}:{breach.line} {breach.found}", breach.means, breach.cure)
        for module, (place, file) in _files(sandbox.method).items()
        for breach in breaches(file.read_bytes(), module, file.name == "__init__.py")
    ]


def breaches(text: bytes, module: str, is_package: bool = False) -> list[Breach]:
    """The lines of a module that cross the wall, or may cross it; one breach for each line.

    Args:
        text: the content of the file.
        module: the module's dotted name, which relative imports start from.
        is_package: whether the file is the ``__init__`` of a package.
    """
    tree = ast.parse(text)
    package = module if is_package else module.rpartition(".")[0]
    found: dict[int, Breach] = {}
    # the first in this order is the most specific
    for breach in (*_imports(tree, package), *_attributes(tree), *_built_ins(tree), *_texts(tree)):
        found.setdefault(breach.line, breach)
    return [found[line] for line in sorted(found)]


def is_open(name: str) -> bool:
    """Whether a method may import this dotted name: it is not okdbench's, or below one of :data:`OPEN`."""
    return name.partition(".")[0] != PACKAGE or any(_is_in(name, module) for module in OPEN)


def _imports(tree: ast.Module, package: str) -> Iterator[Breach]:
    """Import statements at the top, in functions, classes and blocks, also those for type checkers alone."""
    for line, name in imported_names(ast.walk(tree), package):
        public = name.rpartition(".")[2]
        if any(_is_in(name, module) for module in IMPORTERS):
            yield Breach(line, f"imports {name}, which reaches other modules", _HIDDEN, _PLAIN)
        elif public == "sys" and name != "sys":
            # a library's own import of sys is the same table of modules
            yield Breach(line, f"imports {name}, which holds every imported module", _HIDDEN, _PLAIN)
        elif not is_open(name):
            cure = f"from okdbench.api import {public}" if public in okdbench.api.__all__ else _STAGES
            yield Breach(line, f"imports {name}", cure=cure)


def _attributes(tree: ast.Module) -> Iterator[Breach]:
    """Modules as attributes of imported ones: ``okdbench.data`` after ``import okdbench.api``, ``sys.modules``."""
    bound = dict(_bindings(tree))
    # only whole chains: okdbench.api.Method is open, and its inner node okdbench alone would not be
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if id(node) in inner or not isinstance(node, (ast.Attribute, ast.Name)):
            continue
        first, _, rest = ast.unparse(node).partition(".")
        if first not in bound:
            continue
        name = f"{bound[first]}.{rest}" if rest else bound[first]
        # sys alone may be passed to getattr() or vars(), which find the table as well
        if name == "sys" or _is_in(name, "sys.modules"):
            yield Breach(node.lineno, f"uses {name}, which holds every imported module", _HIDDEN, _PLAIN)
        elif not is_open(name):
            yield Breach(node.lineno, f"uses {name}")


def _bindings(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that import statements give to the packages okdbench and sys, which hold more than what is imported."""
    for node in ast.walk(tree):
        for alias in node.names if isinstance(node, ast.Import) else ():
            top = alias.name.partition(".")[0]
            if top in (PACKAGE, "sys"):
                # import a.b binds a, but import a.b as c binds a.b
                yield (alias.asname, alias.name) if alias.asname else (top, top)


def _built_ins(tree: ast.Module) -> Iterator[Breach]:
    """Built-in functions and attributes from which other modules can be reached."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in BUILTINS:
            yield Breach(node.lineno, f"uses {node.id}", _HIDDEN, _PLAIN)
        elif isinstance(node, ast.Attribute) and node.attr in ATTRIBUTES:
            yield Breach(node.lineno, f"uses .{node.attr}", _HIDDEN, _PLAIN)


def _texts(tree: ast.Module) -> Iterator[Breach]:
    """Texts, except docstrings, that name a module beyond the wall or a built-in that imports."""
    # a text that is a statement of its own does nothing; docstrings are such statements
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            if named := _IN_TEXT.search(node.value):
                yield Breach(node.lineno, f"has {named[0]!r} in a text", _HIDDEN, _PLAIN)
            elif node.value in (PACKAGE, *ATTRIBUTES):
                yield Breach(node.lineno, f"has {node.value!r} as a text", _HIDDEN, _PLAIN)


def _is_in(name: str, module: str) -> bool:
    # with dots, so that okdbench.apiary is not in okdbench.api
    return f"{name}.".startswith(f"{module}.")


def _files(method: type[Method]) -> dict[str, tuple[str, Path]]:
    """Module -> the name of its file in findings and its path, for the modules of a method and of its base classes.

    In an installed package these are all modules that the method's module can reach inside the package. Base classes in
    ``okdbench.distill`` are not among them: they may import what they need.
    """
    found: dict[str, tuple[str, Path]] = {}
    for cls in method.__mro__:
        module, top = cls.__module__, cls.__module__.partition(".")[0]
        shared = module in module_files() and not _is_in(module, METHODS.package)
        if shared or not issubclass(cls, Method):
            continue
        if top != PACKAGE and hasattr(sys.modules[top], "__path__"):
            files = package_files(top)
            for name in import_closure([module], files):
                ending = "/__init__.py" if files[name].name == "__init__.py" else ".py"
                found[name] = (name.replace(".", "/") + ending, files[name])
        else:
            file = Path(inspect.getfile(cls))
            found[module if top == PACKAGE else file.stem] = (file.name, file)
    return found
