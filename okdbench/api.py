"""The public interface for authors of methods: ``from okdbench.api import Method, Stage, ...``.

Losses, networks and the base class of adversarial methods are in ``okdbench.distill``. A method file imports nothing
else of okdbench.
"""

from __future__ import annotations

from okdbench.core.errors import HyperparameterError, UserError
from okdbench.core.protocol import Track
from okdbench.core.settings import TaskKind
from okdbench.data.loader import Batch
from okdbench.distill.card import BaseHyperparameters, Card, Deviation, Paper, hyper, legacy
from okdbench.distill.method import Clock, Losses, Method, Stage, Task, Trainable
from okdbench.distill.optim import Learner, Schedule, Snapshot, adam, cosine, cosine_overrun, sgd, slow_start

__all__ = [
    "BaseHyperparameters",
    "Batch",
    "Card",
    "Clock",
    "Deviation",
    "HyperparameterError",
    "Learner",
    "Losses",
    "Method",
    "Paper",
    "Schedule",
    "Snapshot",
    "Stage",
    "Task",
    "TaskKind",
    "Track",
    "Trainable",
    "UserError",
    "adam",
    "cosine",
    "cosine_overrun",
    "hyper",
    "legacy",
    "sgd",
    "slow_start",
]  # fmt: skip
