"""How the page formats numbers and configuration values."""

from __future__ import annotations

import json
import math
from typing import Any

#: printed where there is no number
MISSING = "–"  # noqa: RUF001 - an en dash


def finite(value: float | None) -> float | None:
    """The value, or None when it is missing, NaN or infinite, which JSON cannot represent."""
    return value if value is not None and math.isfinite(value) else None


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """Format with a fixed number of decimals and a typographic minus; a dash stands for a missing value.

    >>> number(-0.001, sign=True), number(19968, 0), number(None) == MISSING
    ('+0.00', '19,968', True)
    """
    if finite(value) is None:
        return MISSING
    # "z": a value that rounds to zero is 0.00, not -0.00
    return f"{value:{'+' if sign else ''}z,.{digits}f}".replace("-", "−")  # noqa: RUF001


def yaml_text(value: Any) -> str:
    """Format a configuration value as in YAML and on the command line: ``true``, ``null``, ``0.1``; strings unquoted.

    >>> yaml_text(True), yaml_text("adam"), yaml_text([1, 2])
    ('true', 'adam', '[1, 2]')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
