"""LTR's control row: the same memory, batches and steps, without the meta-gradient."""

from __future__ import annotations

from okdbench.api import Card, Deviation, TaskKind, Track
from okdbench.distill.replay import Rehearsal


class Replay(Rehearsal):
    """L_S = mean|T - S| on new images + mean|T - S| on replayed ones (MB-DFKD; PRE-DFKD with memory=generative)."""

    card = Card(
        title="Data-free distillation with replay (MB-DFKD, PRE-DFKD): the control of Learning to Retain",
        venue="AAAI",
        year=2022,
        url="https://arxiv.org/abs/2201.03019",
        reads=("teacher logits, input gradients and penultimate features",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation("batches", "release: one L1 mean over new and old together", "one mean for each, as LTR's Eq. 7"),
            Deviation("generator's head", "release: spectral norm, tanh, batch norm", "sigmoid: raw images"),
            Deviation("generator's learning rate", "release: 0.02, constant", "0.02, cosine"),
            Deviation("batch", "release: B new and B/8 old images", "8B/9 and B/9: the same budget as other methods"),
            Deviation("running statistics", "release: follow [new; old]", "one update a step, from the new images"),
            Deviation(
                "generative memory", "release: student and auto-encoder sample separately", "one sample for both"
            ),
        ),
    )

    paper_batch_size = 1024
    # the release: 400 epochs of 36 iterations at batch 1024
    presets = Rehearsal.presets | {"paper": {"data_free_steps": 14_400}}
