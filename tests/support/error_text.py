"""The message of the UserError that a call raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from okdbench.core.errors import UserError


def refusal(function: Callable[..., Any], *args: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        function(*args, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)
