"""Sizes in bytes and durations in seconds as text."""

from __future__ import annotations

from math import isfinite

from okdbench.core.errors import UserError

# decimal, as disks are sold; spell_bytes() below uses the same units
GB = 1e9


def in_bytes(gb: float) -> int:
    """The bytes of ``--max-gb``.

    Raises:
        UserError: the size is negative or not finite.
    """
    if not (isfinite(gb) and gb >= 0):
        raise UserError(f"--max-gb {gb}: out of range; allowed at least 0, such as 20")
    return int(gb * GB)


def spell_bytes(size: float) -> str:
    """A size in bytes as text.

    >>> [spell_bytes(n) for n in (0, 2_500, 19_700_000, 3.2e9)]
    ['0 kB', '2 kB', '20 MB', '3.2 GB']
    """
    if size < 1e6:
        return f"{size / 1e3:.0f} kB"
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def spell_seconds(seconds: float) -> str:
    """A duration as text.

    >>> [spell_seconds(s) for s in (54, 780, 12000)]
    ['54 s', '13 min', '3 h 20 min']
    """
    # two of the larger unit at least, because 90 s says more than 2 min
    if seconds < 120:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
