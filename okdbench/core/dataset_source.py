"""What a bundled data set's file says of its origin, read from the source, so that a page imports no data set."""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

from okdbench.core.plugins import DATASETS


class Origin(NamedTuple):
    """Title, licence and citation of a data set; empty where they are not known."""

    title: str = ""
    licence: str = ""
    citation: str = ""


def bundled_origin(name: str) -> Origin:
    """The origin of the bundled data set of this name; an empty one for any other.

    >>> bundled_origin("officehome").licence, bundled_origin("../mine")
    ('for academic research', Origin(title='', licence='', citation=''))
    """
    # The name may come from a foreign record, and find_spec() imports what stands before a dot.
    spec = find_spec(f"{DATASETS.package}.{name}") if name in DATASETS.names() else None
    if spec is None or spec.origin is None:
        return Origin()
    classes = [node for node in ast.parse(Path(spec.origin).read_bytes()).body if isinstance(node, ast.ClassDef)]
    texts = {
        target.id: node.value.value
        for cls in classes
        for node in cls.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name) and target.id in Origin._fields
    }
    return Origin(**texts)
