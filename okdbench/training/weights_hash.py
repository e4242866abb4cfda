"""A hash that tells whether two networks have the same weights."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from torch import Tensor


def fingerprint(state: Mapping[str, Tensor]) -> str:
    """SHA-256 of names and values; equal weights have equal fingerprints, whatever their layout in memory."""
    digest = hashlib.sha256()
    # sorted, because the order in a state dict is no property of the weights
    for name, tensor in sorted(state.items()):
        digest.update(name.encode())
        # tobytes() is in C order also for a tensor in channels_last layout
        digest.update(tensor.detach().cpu().numpy().tobytes())
    return digest.hexdigest()
