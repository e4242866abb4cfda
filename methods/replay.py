"""LTR's control row: the same memory, batches and steps, without the meta-gradient."""

from __future__ import annotations

from okdbench.api import Card, Deviation, Track
from okdbench.replay import Rehearsal


class Replay(Rehearsal):
    """L_S = mean|T - S| on new pictures + mean|T - S| on remembered ones (MB-DFKD; PRE-DFKD with memory=generative)."""

    card = Card(
        title="Data-free distillation with replay (MB-DFKD, PRE-DFKD): the control of Learning to Retain",
        venue="AAAI",
        year=2022,
        url="https://arxiv.org/abs/2201.03019",
        reads=("teacher logits, input gradients and penultimate features",),
        tracks=(Track.LABELLED, Track.LABEL_FREE),
        deviations=(
            Deviation("batches", "release: one L1 mean over new and old together", "one mean for each, as LTR's Eq. 7"),
            Deviation("generator's head", "release: spectral norm, tanh, batch norm", "sigmoid: raw pictures"),
        ),
    )

    paper_batch_size = 1024
    presets = Rehearsal.presets | {"paper": {"data_free_steps": 14_400}}
