"""Parse and format what is typed on one line: assignments, methods with hyper-parameters, seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from okdbench.core.errors import UserError
from okdbench.core.yaml_files import parse_yaml

#: seeds in one range; without a limit a typing error such as 0-99999999 would fill the memory
MOST_SEEDS = 10_000


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Parse ``key=value`` pairs; values follow the scalar rules of :func:`okdbench.core.yaml_files.load_yaml`.

    >>> parse_assignments(["lr=1e-3", "mixed=true", "answer=no"])
    {'lr': 0.001, 'mixed': True, 'answer': 'no'}

    Raises:
        UserError: a text has another form, or a key appears twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        key, _, value = (part.strip() for part in text.partition("="))
        if not key.isidentifier() or not value:
            raise UserError(f"{text!r} is not of the form key=value, for example lr=1e-3")
        if key in values:
            raise UserError(f"{key!r} is given twice")
        values[key] = parse_yaml(value, text)
    return values


def rounded(number: float) -> float:
    """The number with six digits, which are enough to read.

    >>> rounded(20 / 3)
    6.66667
    """
    return float(f"{number:.6g}")


def spell_assignments(values: Mapping[str, Any]) -> str:
    """Format pairs as one word, sorted by key; :func:`parse_assignments` parses each of them.

    >>> spell_assignments({"mixed": True, "lr": 1e-3})
    'lr=0.001,mixed=true'
    """
    # JSON is YAML, and has one spelling of each value: 0.001, true, null
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ",".join(f"{key}={texts[key]}" for key in sorted(texts))


def split_methods(text: str) -> list[str]:
    """Split a list of methods at the commas outside of brackets.

    >>> split_methods("kd[lr=0.1,temperature=2], finetune")
    ['kd[lr=0.1,temperature=2]', 'finetune']
    """
    return [part.strip() for part in parts_of(text)]


def parts_of(text: str) -> list[str]:
    """The text between the commas outside of brackets, with its blanks."""
    parts, depth = [""], 0
    for letter in text:
        # braces as well, because a value may be a YAML mapping
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """Parse a method as tables show it: its name or path, then its hyper-parameters in brackets.

    >>> parse_method("kd[lr=1e-3,betas=[0.5, 0.9]]")
    ('kd', {'lr': 0.001, 'betas': [0.5, 0.9]})
    >>> parse_method("./lab[1]/mine.py[lr=1e-3]")
    ('./lab[1]/mine.py', {'lr': 0.001})

    Raises:
        UserError: the text has another form, or a key appears twice.
    """
    name, variant = split_variant(text.strip())
    if variant and not variant.endswith("]"):
        raise UserError(f"method {text!r} is not of the form name or name[key=value,key=value]")
    return name.strip(), parse_assignments(split_methods(variant[1:-1])) if variant else {}


def split_variant(text: str) -> tuple[str, str]:
    """The name or path of a method, and the brackets after it, whatever is in them."""
    # A path may contain brackets, so the first alternative goes as far as its .py.
    match = re.fullmatch(r"(.*?\.py(?=\[|$)|[^\[]*)(.*)", text, re.DOTALL)
    assert match is not None
    return match[1], match[2]


def spell_method(name: str, variant: str) -> str:
    """Format a method as tables show it; ``variant`` is empty or a text of :func:`spell_assignments`.

    >>> spell_method("kd", "lr=0.1"), spell_method("kd", "")
    ('kd[lr=0.1]', 'kd')
    """
    return f"{name}[{variant}]" if variant else name


def parse_seeds(text: str) -> list[int]:
    """Parse seeds and ranges of seeds; a range includes both ends.

    >>> parse_seeds("0,3,5-7")
    [0, 3, 5, 6, 7]

    Raises:
        UserError: the text has another form, or a range is decreasing or too long.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        # (1, 0) is a decreasing range, so that a malformed part gets the same error
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"seeds {text!r} are not of the form 0-2 or 0,3,5-7")
        if last - first >= MOST_SEEDS:
            raise UserError(f"seeds {text!r} are more than {MOST_SEEDS}; name fewer")
        seeds += range(first, last + 1)
    return sorted(set(seeds))


def format_seeds(seeds: Iterable[int]) -> str:
    """Format seeds as the shortest text that :func:`parse_seeds` parses as these seeds.

    >>> format_seeds([0, 1, 2, 5])
    '0-2,5'
    """
    runs: list[list[int]] = []  # first and last seed of each range
    for seed in sorted(set(seeds)):
        if runs and runs[-1][1] == seed - 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
