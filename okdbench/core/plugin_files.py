"""Local plugins: a method or data set in a Python file that is named by its path."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import re
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from okdbench.core.code_digest import imported_names, parse
from okdbench.core.errors import UserError, one_line, os_reason

SUFFIX = ".py"


class LocalFile(NamedTuple):
    """A plugin's file as it was read: its content, and the digest of its code without comments and docstrings."""

    content: bytes
    digest: str


#: name of the module -> the file that it was loaded from
_loaded: dict[str, LocalFile] = {}


def is_path(name: str) -> bool:
    """Whether ``name`` is the path of a Python file instead of the name of a plugin."""
    return name.endswith(SUFFIX)


def is_name(text: str) -> bool:
    """Whether a file without its ending has a name that tables can show beside hyper-parameters in brackets.

    >>> is_name("my method, v1.2"), is_name("mine[2]")
    (True, False)
    """
    return re.fullmatch(r"\w[\w ,.+-]*", text) is not None


def load(name: str) -> ModuleType:
    """The module in the file ``name``; an unchanged file is loaded once in a process.

    Raises:
        UserError: there is no such file, its name has other signs than names in tables, or it cannot be imported.
    """
    path = Path(name).expanduser().resolve()
    if not is_name(path.stem):
        raise UserError(f"{name}: its name may have letters, digits, blanks and _ . , + - in it, such as my_method.py")
    file = read(name)
    # The content is part of the module's name: an edited file is loaded again, and two files of one name do not clash.
    # It begins with a letter, because TorchScript writes the names of modules into its files.
    module_name = f"{__name__}.f{hashlib.sha256(bytes(path) + file.content).hexdigest()[:12]}.{path.stem}"
    if module_name not in sys.modules:
        _import(module_name, path, file.content, name)
        _loaded[module_name] = file
    return sys.modules[module_name]


def read(name: str) -> LocalFile:
    """The content of the file ``name``; nothing in it is executed.

    Raises:
        UserError: there is no such file.
    """
    path = Path(name).expanduser().resolve()
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UserError(f"{name}: {os_reason(error)}; give the path of an existing Python file") from None
    return LocalFile(content, parse(path.stem, content).digest)


def loaded_from(module_name: str) -> LocalFile | None:
    """The file of a module of this name as it was when :func:`load` read it; None for other modules."""
    return _loaded.get(module_name)


def where(error: BaseException, path: Path | str) -> str:
    """``file:line`` of the innermost line of ``path`` in the traceback; the file alone if no line of it is there."""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        return f"{path}:{error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return f"{path}:{lines[-1]}" if lines else str(path)


def _import(module_name: str, path: Path, source: bytes, name: str) -> None:
    spec = importlib.util.spec_from_file_location(module_name, path)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    # before the code runs, because pydantic resolves the annotations of a class in sys.modules
    sys.modules[module_name] = module
    try:
        _refuse_helpers(ast.parse(source, str(path)), path, name)
        exec(compile(source, str(path), "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        # SystemExit as well, because the file may be a script that calls sys.exit()
        del sys.modules[module_name]
        if isinstance(error, UserError):
            raise
        # the path as the user wrote it, not the resolved one
        place = where(error, path).replace(str(path), name)
        raise UserError(f"{place}: {one_line(error, kind=True)}") from error


def _refuse_helpers(tree: ast.Module, path: Path, name: str) -> None:
    """Refuse imports of modules next to the file: keys do not cover them, and child processes may not find them."""
    for line, module in imported_names(ast.walk(tree)):
        top = module.partition(".")[0]
        beside = (path.with_name(f"{top}{SUFFIX}"), path.parent / top / "__init__.py")
        if not top or (top != "okdbench" and any(file.is_file() for file in beside)):
            raise UserError(
                f"{name}:{line}: it imports {top or module} from the file's folder, which is not supported; put all "
                f"into one file, or into an installed package"
            )
