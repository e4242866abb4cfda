"""Data-free adversarial distillation: AuG-KD's first stage, with the terms that DFQ made common."""

from __future__ import annotations

from typing import ClassVar

from okdbench.api import Card, Deviation, Paper, TaskKind, Track
from okdbench.distill.adversarial import LN_10, RELEASED_GENERATOR, BackboneHyperparameters, DataFree


class DFKD(DataFree):
    """L_G = -KL(T || S) + CE(T, argmax T) + 20 sum p log10 p + L2 of batch-norm statistics; L_S = KL(T || S)."""

    card = Card(
        title="Data-free adversarial distillation, common backbone (MosaicKD's DFQ baseline, AuG-KD's stage 1)",
        venue="NeurIPS",
        year=2021,
        url="https://arxiv.org/abs/2110.15094",
        release="zju-vipa/MosaicKD@ed68157",
        reads=("teacher logits, input gradients and batch-norm statistics",),
        tasks=tuple(TaskKind),
        tracks=tuple(Track),
        # README of MosaicKD's released code, kd_datafree.py
        paper={
            **RELEASED_GENERATOR,
            "latent": 100,
            "lr_generator": 1e-3,
            "student_optimizer": "adam",
            "lr_student": 1e-3,
            "weight_decay": 1e-4,
            "inner_steps": 5,
            "one_hot": 1,
            "balance": 20 / LN_10,
            "bn": 1,
        },
        deviations=(
            Deviation(
                "batch-norm term",
                "release: one norm over all layers",
                "summed over layers, as DeepInversion",
                where="kd_datafree.py:341",
            ),
            Deviation(
                "variances",
                "CMI's code: biased",
                "unbiased, as AuG-KD's",
                where="zju-vipa/CMI@9e79fa9 datafree/hooks.py",
            ),
            Deviation("schedules", "release: cosine of G and S, per epoch", "per update", where="kd_datafree.py:285"),
            Deviation(
                "student in the generator's step", "release: train mode", "eval mode", where="kd_datafree.py:322"
            ),
        ),
    )

    Hyperparameters = BackboneHyperparameters
    # 200 epochs of 200 iterations
    papers: ClassVar = {"": Paper(128, {"data_free_steps": 40_000}, "kd_datafree.py:32-53, :314")}
