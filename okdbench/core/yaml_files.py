"""Strict reading of YAML: scalars as in YAML 1.2, no duplicate keys, no Python objects."""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import chain
from pathlib import Path
from typing import Any

import yaml

from okdbench.core.errors import UserError, one_line, os_reason


class _Loader(yaml.SafeLoader):
    """The core schema of YAML 1.2. Plain PyYAML reads ``1e-3`` as text, ``no`` as false, and accepts duplicate keys."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep=deep)
        seen = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} appears twice", key_node.start_mark)
            seen.add(key)
        return mapping

    def construct_int(self, node: yaml.ScalarNode) -> int:
        # Base 0 would refuse leading zeros, which YAML 1.2 allows: 007 is 7.
        return int(node.value, 0 if node.value[:2] in ("0x", "0o") else 10)


#: tag -> what a plain scalar of it looks like; the core schema, https://yaml.org/spec/1.2.2/#1032-tag-resolution
_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}

# Replace PyYAML's tables for YAML 1.1, on this class alone.
_Loader.yaml_implicit_resolvers = {}
for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), None)

# Without constructors for its other tags (timestamps, sets, binary) the loader refuses them.
_CORE_TAGS = {None, *(f"tag:yaml.org,2002:{name}" for name in (*_SCALARS, "str", "seq", "map"))}
_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _CORE_TAGS}
_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)


def parse_yaml(text: str, source: str, verbatim: Collection[str] = ()) -> Any:
    """The content of a YAML text.

    Args:
        text: one YAML document.
        source: the start of an error message, such as the file's path.
        verbatim: keys of the document below which every scalar is text as it is written, ``1e3`` and ``null`` too.

    Raises:
        UserError: the text is not valid YAML, or a key appears twice.
    """
    try:
        return _content(_Loader(text), verbatim)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{source}: {line}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        # Deep nesting ends in a RecursionError, an integer of thousands of digits in a ValueError.
        raise UserError(f"{source}: not valid YAML: {one_line(error)}") from error


def _content(loader: _Loader, verbatim: Collection[str]) -> Any:
    try:
        node = loader.get_single_node()
        for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
            if key.value in verbatim:
                _keep_as_written(value)
        return None if node is None else loader.construct_document(node)
    finally:
        loader.dispose()


def _keep_as_written(node: yaml.Node) -> None:
    """Make every scalar below the node a text, but for what is left empty."""
    if not isinstance(node, yaml.CollectionNode):
        return
    for child in chain(*node.value) if isinstance(node, yaml.MappingNode) else node.value:
        _keep_as_written(child)
        if isinstance(child, yaml.ScalarNode) and child.value:
            child.tag = "tag:yaml.org,2002:str"


def load_yaml(path: Path, verbatim: Collection[str] = ()) -> dict[str, Any]:
    """The mapping in a YAML file; an empty file is an empty mapping.

    Args:
        path: the file.
        verbatim: as of :func:`parse_yaml`.

    Raises:
        UserError: the file cannot be read, is not valid YAML, has a key twice, or is not a mapping; the message starts
            with ``path``.
    """
    try:
        text = path.read_text("utf-8-sig")  # editors on Windows write a byte order mark
    except OSError as error:
        raise UserError(f"{path}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error
    content = parse_yaml(text, str(path), verbatim)
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}
