"""Reads JSON, and YAML with tags of Python, as Lightning writes it, without executing anything."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml


def content_of(file: Path) -> Any:
    """What is in a file of JSON, or in one of YAML.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON, or no text.
        YAMLError: it is no YAML.
    """
    # JSON is YAML, but is read faster so
    text = file.read_bytes()
    return json.loads(text) if file.suffix.lower() == ".json" else yaml.load(text, InertLoader)


class InertLoader(yaml.SafeLoader):
    r"""Takes what a tag of Python has as a list, a mapping or a text.

    >>> yaml.load("size: !!python/tuple [48, 48]\npath: !!python/object/apply:pathlib.Path [a]", InertLoader)
    {'size': [48, 48], 'path': ['a']}
    """


def _content(loader: InertLoader, _tag: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node, deep=True)
    return node.value


InertLoader.add_multi_constructor("tag:yaml.org,2002:python/", _content)
