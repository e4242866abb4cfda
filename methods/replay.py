"""LTR's control row: the same memory, batches and steps, without the meta-gradient."""

from __future__ import annotations

from typing import ClassVar

from okdbench.api import Card, Deviation, Paper, TaskKind, Track
from okdbench.distill.replay import PRE_RELEASE, Rehearsal


class Replay(Rehearsal):
    """L_S = mean|T - S| on new images + mean|T - S| on replayed ones (MB-DFKD; PRE-DFKD with memory=generative)."""

    card = Card(
        title="Data-free distillation with replay (MB-DFKD, PRE-DFKD): the control of Learning to Retain",
        venue="AAAI",
        year=2022,
        url="https://arxiv.org/abs/2201.03019",
        release="kuluhan/PRE-DFKD@0b39f6a",
        reads=("teacher logits, input gradients and penultimate features",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        deviations=(
            Deviation(
                "batches",
                "release: one L1 mean over new and old together",
                "one mean for each, as LTR's Eq. 7",
                where="distillation.py:39",
            ),
            Deviation(
                "generator's learning rate",
                "release: 0.02, constant",
                "cosine; constant at paper",
                where="main.py:28, :56",
            ),
            Deviation(
                "batch",
                "release: B new and B/8 old images",
                "8B/9 and B/9: the same budget as other methods",
                where="main.py:84",
            ),
            Deviation(
                "running statistics",
                "release: follow [new; old]",
                "one update a step, from the new images",
                where="distillation.py:36",
            ),
            Deviation(
                "generative memory",
                "release: student and auto-encoder sample separately",
                "one sample for both",
                where="distillation.py:15, :98",
            ),
            Deviation(
                "generator's batch norm and initialisation",
                "release: eps 0.8 in the blocks, U(-0.08, 0.08)",
                "PyTorch's defaults",
                where="networks/generator.py:17, :32",
            ),
            Deviation(
                "auto-encoder",
                "release: its own encoder; errors in normalised space; latents drawn in train mode",
                "the common encoder; errors of raw images; eval mode",
                where="networks/generator.py:99; distillation.py:73",
            ),
            Deviation(
                "replay in the first round",
                "release: images of an untrained memory generator",
                "none",
                where="distillation.py:12",
            ),
            *PRE_RELEASE,
        ),
    )

    # 400 epochs of 36 iterations
    papers: ClassVar = {
        "": Paper(1024, {"data_free_steps": 14_400, "schedule_generator": "constant"}, "main.py:24-30, :93")
    }
