"""What a call says when it refuses what it was given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from okdbench.core.errors import UserError


def refusal(function: Callable[..., Any], *args: Any) -> str:
    with pytest.raises(UserError) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)
