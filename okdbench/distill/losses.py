"""Loss terms as pure functions of tensors; each names the equation that it implements.

Logits are B x C. Every function returns a scalar, a mean over the batch unless it says otherwise, and is finite for
logits of any size: probabilities are never formed where their logarithm is meant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.linalg import vector_norm

from okdbench.distill.networks.wrapper import BatchStatistics

#: keeps variances away from zero, as batch normalisation itself does
EPSILON = 1e-5


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """tau^2 * mean_b KL(softmax(teacher / tau) || softmax(student / tau)) (Hinton et al., 2015).

    Gradients flow into both arguments: detach the teacher's logits where it must not be differentiated.

    >>> logits = torch.tensor([[100.0, -1e4, 3.0]])
    >>> float(kl(logits, logits, temperature=10.0))
    0.0
    """
    target = F.log_softmax(teacher / temperature, 1)
    output = F.log_softmax(student / temperature, 1)
    return temperature**2 * F.kl_div(output, target, reduction="batchmean", log_target=True)


def l1(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean absolute difference of logits over batch and classes (DFAD, Fang et al., 2019)."""
    return (teacher - student).abs().mean()


def js(teacher: Tensor, student: Tensor, temperature: float = 3.0) -> Tensor:
    """mean_b of the Jensen-Shannon divergence of softmax(. / tau), in [0, ln 2] nats."""
    p, q = (F.log_softmax(logits / temperature, 1) for logits in (teacher, student))
    middle = torch.logaddexp(p, q) - math.log(2)
    halves = [F.kl_div(middle, side, reduction="batchmean", log_target=True) for side in (p, q)]
    return torch.stack(halves).mean()


def clamped_js(teacher: Tensor, student: Tensor, temperature: float = 3.0) -> Tensor:
    """The divergence of PRE-DFKD's and LTR's released code, in [0, 1].

    Probabilities and their mixture are clamped to [0.01, 0.99], the mixture is the reference and the mean goes over
    batch and classes: with many classes nearly all entries are constants without a gradient.
    """
    p, q = (F.softmax(logits / temperature, 1) for logits in (teacher, student))
    p, q, middle = (side.clamp(0.01, 0.99) for side in (p, q, (p + q) / 2))
    return torch.stack([F.kl_div(side.log(), middle, reduction="mean") for side in (p, q)]).mean().clamp(0, 1)


def attention_gap(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Sum over stages of the mean squared difference of attention maps (Zagoruyko & Komodakis, 2017; ZSKT).

    A map is the channel mean of the squared features (B x C x H x W), flattened and scaled to length 1.
    """
    maps = [[F.normalize(f.square().mean(1).flatten(1)) for f in features] for features in (teacher, student)]
    return torch.stack([(t - s).square().mean() for t, s in zip(*maps, strict=True)]).sum()


def one_hotness(logits: Tensor) -> Tensor:
    """Cross-entropy of the logits with their argmax: low when the network is confident (DAFL, Chen et al., 2019)."""
    return F.cross_entropy(logits, logits.argmax(1))


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the predictions in nats, in [0, ln C]: the soft form of :func:`one_hotness` (DFQ, MosaicKD)."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1).mean()


def class_imbalance(logits: Tensor) -> Tensor:
    """Negative entropy, in nats, of the batch-mean prediction: sum_c p_c ln p_c in [-ln C, 0] (DAFL)."""
    log_p = logits.log_softmax(1).logsumexp(0) - math.log(len(logits))
    return (log_p.exp() * log_p).sum()


def batch_norm_gap(statistics: Sequence[BatchStatistics], per_layer: bool = False) -> Tensor:
    """Distance between a batch's statistics and those that the network remembers.

    ||mean - running mean||_2 + ||var - running var||_2 over the channels of all layers together, as AuG-KD's
    released code has it, or summed over layers with ``per_layer`` (DeepInversion, Yin et al., 2020).
    """
    means = [s.mean - s.running_mean for s in statistics]
    variances = [s.var - s.running_var for s in statistics]
    gaps = means + variances if per_layer else [torch.cat(means), torch.cat(variances)]
    return torch.stack([vector_norm(gap) for gap in gaps]).sum()


def batch_norm_kl(statistics: Sequence[BatchStatistics]) -> Tensor:
    """Sum over layers and channels of KL(N(mean, var) || N(running mean, running var)) (DFQ, Choi et al., 2020)."""
    mean, var, running_mean, running_var = (torch.cat(parts) for parts in zip(*statistics, strict=True))
    ratio = (var + EPSILON) / (running_var + EPSILON)
    return 0.5 * ((mean - running_mean).square() / (running_var + EPSILON) + ratio - ratio.log() - 1).sum()


def gaussian_prior(mean: Tensor, log_var: Tensor) -> Tensor:
    """mean_b KL(N(mean, exp(log_var)) || N(0, I)), summed over latent dimensions (Kingma & Welling, 2014)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Free energy -tau logsumexp(logits / tau) of each sample (B): lower is more familiar (Liu et al., 2020)."""
    return -temperature * torch.logsumexp(logits / temperature, 1)


def least_confidence(logits: Tensor) -> Tensor:
    """1 - max softmax of each sample (B): low where the network is confident."""
    return 1 - logits.softmax(1).amax(1)
