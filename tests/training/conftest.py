"""What the tests of a teacher's file share: a data set of photographs, a network that knows it, and no trials of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.stated_forms import MEAN, STD, trained
from support.teacher_plans import shop
from torch import nn

from okdbench.training import teacher_check


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The description of a data set of its own."""
    return shop(tmp_path_factory.mktemp("photos"), (70, 70))


@pytest.fixture(scope="module")
def net(photos: Path) -> nn.Module:
    """Knows the photographs with this normalisation."""
    return trained(photos.parent, MEAN, STD)


@pytest.fixture
def untried(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other way to give the teacher its images is tried."""
    monkeypatch.setattr(teacher_check, "_trials", lambda *_: iter(()))
