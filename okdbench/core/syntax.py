"""What is typed on one line: assignments, methods with hyper-parameters, seeds."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from okdbench.core.errors import UserError
from okdbench.core.yaml_files import parse_yaml

#: of one range; a slip of the hand must not fill the memory
MOST_SEEDS = 10_000


def parse_assignments(texts: Iterable[str]) -> dict[str, Any]:
    """Read ``key=value`` pairs by the scalar rules of :func:`load_yaml`.

    >>> parse_assignments(["lr=1e-3", "mixed=true", "answer=no"])
    {'lr': 0.001, 'mixed': True, 'answer': 'no'}

    Raises:
        UserError: not of that form, or a key that appears twice.
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


def spell_assignments(values: Mapping[str, Any]) -> str:
    """The pairs in one word, sorted by key, each as :func:`parse_assignments` reads it.

    >>> spell_assignments({"mixed": True, "lr": 1e-3})
    'lr=0.001,mixed=true'
    """
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    return ",".join(f"{key}={texts[key]}" for key in sorted(texts))


def split_methods(text: str) -> list[str]:
    """The methods in a list of them: divided at the commas that stand outside of brackets.

    >>> split_methods("kd[lr=0.1,temperature=2], finetune")
    ['kd[lr=0.1,temperature=2]', 'finetune']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[{") - (letter in "]}")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def parse_method(text: str) -> tuple[str, dict[str, Any]]:
    """A method as the tables name it: its name, or path, and the hyper-parameters in brackets behind it.

    >>> parse_method("kd[lr=1e-3,betas=[0.5, 0.9]]")
    ('kd', {'lr': 0.001, 'betas': [0.5, 0.9]})
    >>> parse_method("./lab[1]/mine.py[lr=1e-3]")
    ('./lab[1]/mine.py', {'lr': 0.001})

    Raises:
        UserError: not of that form, or a key that appears twice.
    """
    match = re.fullmatch(r"(.*?\.py|[^\[]*)(?:\[(.*)\])?", text.strip())
    if match is None:
        raise UserError(f"method {text!r} is not of the form name or name[key=value,key=value]")
    return match[1].strip(), {} if match[2] is None else parse_assignments(split_methods(match[2]))


def spell_method(name: str, variant: str) -> str:
    """A method and what differs from its defaults, as :func:`parse_method` reads it.

    >>> spell_method("kd", "lr=0.1"), spell_method("kd", "")
    ('kd[lr=0.1]', 'kd')
    """
    return f"{name}[{variant}]" if variant else name


def parse_seeds(text: str) -> list[int]:
    """Read seeds and ranges of seeds; both ends of a range count.

    >>> parse_seeds("0,3,5-7")
    [0, 3, 5, 6, 7]

    Raises:
        UserError: not of that form, or a range that runs backwards.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise UserError(f"seeds {text!r} are not of the form 0-2 or 0,3,5-7")
        if last - first >= MOST_SEEDS:
            raise UserError(f"seeds {text!r} are more than {MOST_SEEDS}; name fewer")
        seeds += range(first, last + 1)
    return sorted(set(seeds))


def format_seeds(seeds: Iterable[int]) -> str:
    """The shortest text that :func:`parse_seeds` reads as these seeds.

    >>> format_seeds([0, 1, 2, 5])
    '0-2,5'
    """
    runs: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if runs and runs[-1][1] == seed - 1:
            runs[-1][1] = seed
        else:
            runs.append([seed, seed])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in runs)
