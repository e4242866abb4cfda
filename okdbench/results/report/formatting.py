"""How the page spells numbers and names."""

from __future__ import annotations

import json
import math
from typing import Any

#: stands where there is no number
MISSING = "–"  # noqa: RUF001 - an en dash


def finite(value: float | None) -> float | None:
    """The value, or None when it is missing, NaN or infinite: JSON has no word for these."""
    return value if value is not None and math.isfinite(value) else None


def number(value: float | None, digits: int = 2, sign: bool = False) -> str:
    """The value with so many decimals and a real minus, or a dash.

    >>> number(-0.001, sign=True), number(19968, 0), number(None) == MISSING
    ('+0.00', '19,968', True)
    """
    if finite(value) is None:
        return MISSING
    # "z": what rounds to nothing is 0.00, not -0.00
    return f"{value:{'+' if sign else ''}z,.{digits}f}".replace("-", "−")  # noqa: RUF001


def spell(value: Any) -> str:
    """A value of a configuration as YAML and the command line have it: ``true``, ``null``, ``0.1``; texts as they are.

    >>> spell(True), spell("adam"), spell([1, 2])
    ('true', 'adam', '[1, 2]')
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
