"""Digests of code: the part of a key that changes when the code behind a result changes.

A digest starts at root modules, follows every import statement, also inside functions, and hashes the syntax tree of
each module of okdbench that it reaches. Comments, docstrings and formatting are not part of the tree, so they change no
digest. Neither does the Python version, because the tree is written as text here and not by :func:`ast.dump`. Installed
libraries are not part of a digest; records have their versions.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NamedTuple

PACKAGE = "okdbench"
#: sub-packages that are folders of their own in the source tree
_SIBLINGS = ("okdbench.methods", "okdbench.datasets")
#: fields of syntax nodes that say nothing about what the code does; the context follows from the place in the tree
_IDLE_FIELDS = ("ctx", "kind", "type_comment", "type_ignores")
#: folders of installed libraries
_LIBRARIES = {"site-packages", "dist-packages"}
#: fields of a statement that hold other statements
_BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")


class Source(NamedTuple):
    """One parsed module.

    Attributes:
        name: dotted name of the module; the file's stem for a local file, so that its folder does not matter.
        digest: SHA-256 of its canonical syntax tree.
        imports: absolute dotted names of everything that it imports at run time.
    """

    name: str
    digest: str
    imports: tuple[str, ...]


@cache
def digest_of(*roots: str | Source) -> str:
    """SHA-256 of the roots and of every module of okdbench that they reach; computed once in a process.

    Args:
        roots: dotted names of okdbench's modules, and sources of modules from elsewhere.
    """
    content = hashlib.sha256()
    for source in reached(*roots):
        # the separators ensure that no two lists of modules give the same bytes
        content.update(f"{source.name}\0{source.digest}\n".encode())
    return content.hexdigest()


def reached(*roots: str | Source) -> list[Source]:
    """The roots and every module of okdbench that they reach, sorted by name."""
    own = {root for root in roots if isinstance(root, Source)}
    names = [root for root in roots if isinstance(root, str)] + [name for source in own for name in source.imports]
    return sorted(own.union(import_closure(names, module_files()).values()))


def import_closure(names: Iterable[str], files: Mapping[str, Path]) -> dict[str, Source]:
    """Every module among ``files`` that importing the dotted names loads, directly or through another module."""
    found: dict[str, Source] = {}
    todo = list(names)
    while todo:
        for name in _along(todo.pop(), files):
            if name not in found:
                found[name] = parse(name, read(files[name]), files[name].name == "__init__.py")
                todo += found[name].imports
    return found


def sources_of(thing: type | ModuleType | FunctionType) -> tuple[str | Source, ...]:
    """What a module, or that of a class or function, adds to the roots of a digest.

    A module of okdbench is its name. A local file is read now, because it may be edited while the process runs; the
    user's own modules that it imports count as well. Of an installed package every Python file counts, because the
    helpers of the class may be in any of them.
    """
    module = thing.__name__ if isinstance(thing, ModuleType) else thing.__module__
    if module in module_files():
        return (module,)
    # a local file is registered below okdbench, a module without a package has no __path__: both are one file
    top = module.partition(".")[0]
    if top == PACKAGE or not hasattr(sys.modules.get(top), "__path__"):
        file = Path(inspect.getfile(thing))
        own = parse(file.stem, read(file))
        return (own, *_helpers(own.imports))
    return tuple(parse(name, read(file), file.name == "__init__.py") for name, file in package_files(top).items())


def _helpers(names: Iterable[str]) -> Iterator[Source]:
    """The user's own modules among those of these names: found on the path, and not where libraries are installed."""
    for top in sorted({name.partition(".")[0] for name in names} - {PACKAGE, "", *sys.stdlib_module_names}):
        spec = importlib.util.find_spec(top)
        if spec is None or not spec.origin or _LIBRARIES & set(Path(spec.origin).parts):
            continue
        files = package_files(top) if spec.submodule_search_locations else {top: Path(spec.origin)}
        yield from (parse(name, read(file), file.name == "__init__.py") for name, file in files.items())


def module_files() -> dict[str, Path]:
    """Every module of okdbench: dotted name -> file. Imports nothing but the packages of methods and data sets."""
    files = dict(_files_below(PACKAGE, Path(__file__).parents[1]))
    for package in _SIBLINGS:
        files |= package_files(package)
    return files


def package_files(package: str) -> dict[str, Path]:
    """Every Python file of a package: dotted name -> file."""
    return {
        name: file
        for folder in importlib.import_module(package).__path__
        for name, file in _files_below(package, Path(folder))
    }


def read(file: Path) -> bytes:
    """The content of a module's file."""
    return file.read_bytes()


# cached by content, because a run and its teacher reach mostly the same modules
@lru_cache(maxsize=4096)
def parse(name: str, content: bytes, is_package: bool = False) -> Source:
    """The source of a module; a file that is no Python (such as a template) counts byte by byte."""
    try:
        tree = ast.parse(content)
        text = tree_text(tree).encode()
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
        return Source(name, hashlib.sha256(content).hexdigest(), ())
    package = name if is_package else name.rpartition(".")[0]
    imports = {dotted for _, dotted in imported_names(_run_time_statements(tree), package)}
    return Source(name, hashlib.sha256(text).hexdigest(), tuple(sorted(imports)))


def tree_text(node: object) -> str:
    """A syntax tree as text: types and non-empty fields of its nodes, without positions and docstrings.

    >>> tree_text(ast.parse("x = 1  # one"))
    "Module(body=[Assign(targets=[Name(id='x')],value=Constant(1))])"
    """
    if isinstance(node, ast.Constant):
        return f"Constant({node.value!a})"
    if isinstance(node, ast.AST):
        fields = [
            f"{name}={tree_text(value)}"
            for name in node._fields
            if name not in _IDLE_FIELDS and (value := getattr(node, name, None)) is not None and value != []
        ]
        return f"{type(node).__name__}({','.join(fields)})"
    if isinstance(node, list):
        return f"[{','.join([tree_text(item) for item in node if not _has_no_effect(item)])}]"
    # identifiers and numbers; ascii(), because what repr() escapes depends on the Unicode tables of Python
    return ascii(node)


def imported_names(nodes: Iterable[ast.AST], package: str = "") -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that the nodes import; ``*`` is the last part of a star import.

    Args:
        nodes: syntax nodes, such as those of :func:`ast.walk`.
        package: what relative names are relative to; without it they keep their leading dots.
    """
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, package)
            yield from ((node.lineno, base + alias.name) for alias in node.names)


def _base(node: ast.ImportFrom, package: str) -> str:
    """The dotted name of the module that the names are imported from, with a dot at its end."""
    module = f"{node.module}." if node.module else ""
    if node.level == 0 or not package:
        return "." * node.level + module
    parts = package.split(".")
    return ".".join(parts[: len(parts) + 1 - node.level]) + "." + module


def _run_time_statements(tree: ast.Module) -> Iterator[ast.AST]:
    """All statements but those that only type checkers read: the bodies of ``if TYPE_CHECKING:``."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        yield node
        # the else branch of such an if does run
        skipped = isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")
        for name in _BLOCKS[1:] if skipped else _BLOCKS:
            todo += getattr(node, name, ())


def _has_no_effect(node: object) -> bool:
    """Whether a statement does nothing: a docstring, or a ``pass``, which a docstring may replace."""
    text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    return text or isinstance(node, ast.Pass)


def _along(dotted: str, files: Mapping[str, Path]) -> Iterator[str]:
    """The modules that importing a dotted name loads: each package on the way and, at the end, the module."""
    parts = dotted.split(".")
    names = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    yield from (name for name in names if name in files)
    # a star import loads what __all__ names; all sub-modules is never less
    if parts[-1] == "*" and files.get(names[-2], Path()).name == "__init__.py":
        yield from (name for name in files if name.startswith(names[-1].removesuffix("*")))


def _files_below(package: str, folder: Path) -> Iterator[tuple[str, Path]]:
    for file in sorted(folder.rglob("*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        yield ".".join([package, *(parts[:-1] if parts[-1] == "__init__" else parts)]), file
