"""A method or data set in a file of the user's: loaded by its path, once; what is wrong with it is told in one line."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from okdbench.core.errors import UserError, one_line

SUFFIX = ".py"


def is_path(name: str) -> bool:
    """Whether ``name`` means a Python file instead of something that is registered."""
    return name.endswith(SUFFIX)


def load(name: str) -> ModuleType:
    """The module in the file ``name``; a file that was not changed since is loaded once in a process.

    Raises:
        UserError: there is no such file, its name is not one of Python's, or it cannot be imported.
    """
    path = Path(name).expanduser().resolve()
    if not path.stem.isidentifier():
        raise UserError(f"{name}: its name must be one word of letters, digits and _, such as my_method.py")
    try:
        source = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: {(error.strerror or str(error)).lower()}; name a Python file that is there") from None
    # The content is part of the name, so that an edited file is loaded anew and two files of one name are two modules.
    known_as = f"okdbench.core.plugin_files.{hashlib.sha256(bytes(path) + source).hexdigest()[:12]}.{path.stem}"
    if known_as not in sys.modules:
        _import(known_as, path, source, name)
    return sys.modules[known_as]


def where(error: BaseException, path: Path | str) -> str:
    """``file:line`` of the innermost line of ``path`` that ``error`` went through; the file alone if there is none."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and dotted name of everything that is imported anywhere; a relative name begins with a dot."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (f"{node.module}." if node.module else "")
            yield from ((node.lineno, module + alias.name) for alias in node.names)


def _import(known_as: str, path: Path, source: bytes, name: str) -> None:
    spec = importlib.util.spec_from_file_location(known_as, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[known_as] = module  # pydantic looks a class's annotations up there
    try:
        _refuse_helpers(ast.parse(source, str(path)), path, name)
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        del sys.modules[known_as]
        if isinstance(error, UserError):
            raise
        place = where(error, path).replace(str(path), name)
        raise UserError(f"{place}: {one_line(error, kind=True)}") from error


def _refuse_helpers(tree: ast.Module, path: Path, name: str) -> None:
    """A module beside the file would be no part of a run's key, and child processes need not find it."""
    for line, module in imports(tree):
        top = module.partition(".")[0]
        beside = (path.with_name(f"{top}{SUFFIX}"), path.parent / top / "__init__.py")
        if not top or (top != "okdbench" and any(file.is_file() for file in beside)):
            raise UserError(
                f"{name}:{line}: it imports {top or module} from beside it, which is not supported; put all into one "
                f"file, or make an installed package of it"
            )
