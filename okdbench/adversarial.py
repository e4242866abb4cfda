"""The generator's side of adversarial data-free distillation, shared by every method that plays it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from okdbench.losses import batch_norm_gap, class_imbalance, kl, one_hotness
from okdbench.nets.probe import Probe


def generator_terms(teacher: Probe, student: Probe, images: Tensor, bn_per_layer: bool = False) -> dict[str, Tensor]:
    """What generated pictures are worth, each term to be minimised (AuG-KD, equation of stage 1; DFQ's terms).

    ``adversarial`` = -KL(T || S), ``one_hot`` = CE(T, argmax T), ``balance`` = sum_c p_c ln p_c, and ``bn``, which is
    there when the teacher has batch-norm layers. Gradients flow to ``images`` through both networks.
    """
    taught = teacher.observe(images)
    terms = {
        "adversarial": -kl(taught.logits, student(images)),
        "one_hot": one_hotness(taught.logits),
        "balance": class_imbalance(taught.logits),
    }
    return terms | ({"bn": batch_norm_gap(taught.bn, bn_per_layer)} if taught.bn else {})


def weighted(terms: Mapping[str, Tensor], weights: object) -> Tensor:
    """Sum of the terms, each times the attribute of ``weights`` that bears its name."""
    return torch.stack([getattr(weights, name) * term for name, term in terms.items()]).sum()
