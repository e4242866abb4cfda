"""YAML files, read strictly."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from okdbench.core.errors import UserError, one_line


class _Loader(yaml.SafeLoader):
    """YAML 1.2 core scalars: PyYAML alone reads ``1e-3`` as text, ``no`` as a boolean and drops duplicate keys."""

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
        return int(node.value, 0 if node.value[:2] in ("0x", "0o") else 10)


_SCALARS = {
    "null": r"~|null|Null|NULL|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


_Loader.yaml_implicit_resolvers = {}


for _name, _pattern in _SCALARS.items():
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_name}", re.compile(rf"^(?:{_pattern})$"), None)


_CORE_TAGS = {None, *(f"tag:yaml.org,2002:{name}" for name in (*_SCALARS, "str", "seq", "map"))}


_Loader.yaml_constructors = {tag: make for tag, make in _Loader.yaml_constructors.items() if tag in _CORE_TAGS}


_Loader.add_constructor("tag:yaml.org,2002:int", _Loader.construct_int)


def parse_yaml(text: str, source: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise UserError(f"{source}: {line}{error.problem or error.context}") from error
    except (yaml.YAMLError, ValueError, LookupError, RecursionError) as error:
        raise UserError(f"{source}: not valid YAML: {one_line(error)}") from error


def load_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file, by the scalar rules of YAML 1.2; an empty file is an empty mapping.

    Raises:
        UserError: unreadable, not YAML, a key that appears twice, or not a mapping; one line that starts with ``path``.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or str(error)).lower()}") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not a text file in UTF-8") from error
    content = parse_yaml(text, str(path))
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected 'key: value' lines, found a {type(content).__name__}")
    return {str(key): value for key, value in content.items()}
