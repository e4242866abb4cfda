"""What training produces besides weights: evaluations, the selected state, and the time of each stage."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch

from okdbench.results.records import Evaluation


@dataclass
class History:
    """The evaluations of a run and what was selected among them.

    Attributes:
        evaluations: all evaluations, in the order in which they were made.
        selected: index of the evaluation that counts; -1 before the first one.
        selected_state: weights of the evaluated network at that evaluation.
        stage_ends: stage -> index of the evaluation at its end.
        retention: stage -> accuracy on the teacher's domains after it, in percent; None without images of them.
        stage_seconds: stage -> seconds of training, over all processes that worked on it.
    """

    evaluations: list[Evaluation] = field(default_factory=list)
    selected: int = -1
    selected_state: dict[str, torch.Tensor] = field(default_factory=dict)
    stage_ends: dict[str, int] = field(default_factory=dict)
    retention: dict[str, float | None] = field(default_factory=dict)
    stage_seconds: dict[str, float] = field(default_factory=dict)

    def state_dict(self) -> dict[str, Any]:
        """The history as tensors and plain types."""
        # dicts in place of models, because a checkpoint is read with ``weights_only``
        return {**vars(self), "evaluations": [evaluation.model_dump() for evaluation in self.evaluations]}

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> History:
        """The history that :meth:`state_dict` returned."""
        return cls(**{**state, "evaluations": [Evaluation(**content) for content in state["evaluations"]]})
