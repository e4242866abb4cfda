"""Independent random streams from one seed."""

from __future__ import annotations

import hashlib
import json


def derive_seed(*parts: int | str) -> int:
    """A seed in [0, 2**63) for the purpose that ``parts`` name; the same on every machine.

    It is the first 8 bytes of the SHA-256 of ``parts`` as a JSON list, big-endian, without the lowest bit. Seeds of
    different purposes are unrelated even if their parts are similar, and ``1`` differs from ``"1"``.

    >>> derive_seed("crop", 0, 1) == derive_seed("crop", 0, 1) != derive_seed("crop", 1, 0)
    True
    """
    # A hash instead of seed + offset: sums of different purposes coincide, and Python's hash() differs between runs.
    # 63 bits, because torch's generators take signed 64-bit seeds.
    return int.from_bytes(hashlib.sha256(json.dumps(parts).encode()).digest()[:8], "big") >> 1
