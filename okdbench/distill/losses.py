"""Loss terms as pure functions of tensors; each names the equation that it implements.

Logits are B x C. Every function returns a scalar, a mean over the batch unless stated otherwise, and is finite for
logits of any size: it works on log-probabilities and never takes the logarithm of a softmax.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from okdbench.distill.networks.wrapper import BatchStatistics

#: added to variances, with the same value as in batch normalisation
EPSILON = 1e-5

# Distances between the predictions of teacher and student


def partial_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy, mean over the samples that have a label; 0 where none has one.

    Args:
        logits: B x C.
        labels: B class indices; -1 where there is none.
    """
    total = F.cross_entropy(logits, labels, ignore_index=-1, reduction="sum")
    return total / (labels >= 0).sum().clamp(min=1)


def kl(teacher: Tensor, student: Tensor, temperature: float = 1.0) -> Tensor:
    """tau^2 * mean_b KL(softmax(teacher / tau) || softmax(student / tau)) (Hinton et al., 2015).

    Gradients flow into both arguments: detach the teacher's logits where they must not be differentiated.

    >>> logits = torch.tensor([[100.0, -1e4, 3.0]])
    >>> float(kl(logits, logits, temperature=10.0))
    0.0
    """
    target = F.log_softmax(teacher / temperature, 1)
    output = F.log_softmax(student / temperature, 1)
    # "batchmean" divides by B as in the equation; the default "mean" divides by B * C and weakens the term C times
    return temperature**2 * F.kl_div(output, target, reduction="batchmean", log_target=True)


def agreeing_kl(teacher: Tensor, student: Tensor) -> Tensor:
    """mean_b 1[argmax teacher = argmax student] KL(softmax(teacher) || softmax(student)) (CMI, Fang et al., 2021)."""
    target, output = teacher.log_softmax(1), student.log_softmax(1)
    divergences = F.kl_div(output, target, reduction="none", log_target=True).sum(1)
    return (divergences * (teacher.argmax(1) == student.argmax(1))).mean()


def l1(teacher: Tensor, student: Tensor) -> Tensor:
    """Mean absolute difference of logits over batch and classes (DFAD, Fang et al., 2019)."""
    return (teacher - student).abs().mean()


def js(teacher: Tensor, student: Tensor, temperature: float = 3.0) -> Tensor:
    """mean_b of the Jensen-Shannon divergence of softmax(. / tau), in [0, ln 2] nats."""
    p, q = (F.log_softmax(logits / temperature, 1) for logits in (teacher, student))
    middle = torch.logaddexp(p, q) - math.log(2)  # log of the mixture (P + Q) / 2
    halves = [F.kl_div(middle, side, reduction="batchmean", log_target=True) for side in (p, q)]
    return torch.stack(halves).mean()


def clamped_js(teacher: Tensor, student: Tensor, temperature: float = 3.0) -> Tensor:
    """The divergence of PRE-DFKD's and LTR's released code, in [0, 1].

    Probabilities and their mixture are clamped to [0.01, 0.99], the mixture is the target and the mean is over batch
    and classes. With many classes, nearly all entries are constants without a gradient.
    """
    p, q = (F.softmax(logits / temperature, 1) for logits in (teacher, student))
    p, q, middle = (side.clamp(0.01, 0.99) for side in (p, q, (p + q) / 2))
    # not reduction="mean", whose meaning PyTorch is going to change
    return torch.stack([F.kl_div(side.log(), middle, reduction="none").mean() for side in (p, q)]).mean().clamp(0, 1)


def attention_transfer(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """Sum over stages of the mean squared difference of attention maps (Zagoruyko & Komodakis, 2017; ZSKT).

    A map is the channel mean of the squared features (B x C x H x W), flattened and scaled to length 1.
    """
    # the channel mean removes C, so networks of different widths can be compared
    maps = [[F.normalize(f.square().mean(1).flatten(1)) for f in features] for features in (teacher, student)]
    return torch.stack([(t - s).square().mean() for t, s in zip(*maps, strict=True)]).sum()


# Priors on generated images: what the predictions of the teacher on in-domain images look like


def one_hotness(logits: Tensor) -> Tensor:
    """Cross-entropy of the logits with their argmax: low if the network is confident (DAFL, Chen et al., 2019)."""
    return F.cross_entropy(logits, logits.argmax(1))


def entropies(logits: Tensor) -> Tensor:
    """Entropy of each prediction in nats, B numbers in [0, ln C]."""
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1)


def entropy(logits: Tensor) -> Tensor:
    """Mean entropy of the predictions in nats, in [0, ln C]: the soft form of :func:`one_hotness` (DFQ, MosaicKD)."""
    return entropies(logits).mean()


def class_imbalance(logits: Tensor) -> Tensor:
    """Negative entropy, in nats, of the batch-mean prediction: sum_c p_c ln p_c in [-ln C, 0] (DAFL)."""
    # log of the mean probability through logsumexp: a class that is never predicted gives no 0 * log 0 = NaN
    log_p = logits.log_softmax(1).logsumexp(0) - math.log(len(logits))
    return (log_p.exp() * log_p).sum()


def total_variation(images: Tensor) -> Tensor:
    """Mean absolute difference to the neighbours to the right, below, and on both diagonals, summed over these four.

    Args:
        images: B x C x H x W.
    """
    right, below = images.diff(dim=3), images.diff(dim=2)
    falling = images[..., 1:, 1:] - images[..., :-1, :-1]
    rising = images[..., 1:, :-1] - images[..., :-1, 1:]
    return torch.stack([difference.abs().mean() for difference in (right, below, falling, rising)]).sum()


# Priors on generated images: batch-norm statistics


def batch_norm_l2(statistics: Sequence[BatchStatistics], per_layer: bool = False) -> Tensor:
    """L2 distance between a batch's statistics and the running statistics of the network.

    ||mean - running mean||_2 + ||var - running var||_2 over the channels of all layers together, as in AuG-KD's
    released code, or summed over layers with ``per_layer`` (DeepInversion, Yin et al., 2020).
    """
    mean, var, running_mean, running_var = (torch.cat(parts) for parts in zip(*statistics, strict=True))
    differences = [mean - running_mean, var - running_var]
    if per_layer:
        sizes = [len(s.mean) for s in statistics]
        differences = [part for difference in differences for part in torch.split(difference, sizes)]
    return torch.stack(torch._foreach_norm(differences)).sum()


def batch_norm_kl(statistics: Sequence[BatchStatistics]) -> Tensor:
    """Sum over layers and channels of KL(N(mean, var) || N(running mean, running var)) (DFQ, Choi et al., 2020)."""
    mean, var, running_mean, running_var = (torch.cat(parts) for parts in zip(*statistics, strict=True))
    # KL of two normals: [(mu - mu')^2 / v' + v / v' - ln(v / v') - 1] / 2
    ratio = (var + EPSILON) / (running_var + EPSILON)
    return 0.5 * ((mean - running_mean).square() / (running_var + EPSILON) + ratio - ratio.log() - 1).sum()


# Instances: how different images are from each other


def contrast(anchors: Tensor, others: Tensor, temperature: float, count: int) -> Tensor:
    """Cross-entropy of each anchor with the other view of its own image, among those of all (CMI, Fang et al., 2021).

    Mean over the first ``count`` images plus mean over the rest, so that a large memory does not make the gradient of
    the new images small.

    Args:
        anchors: N x D, of length 1: a view of each image.
        others: N x D: another view of the same images.
        temperature: divides the cosines.
        count: number of new images; the others, if there are any, are from a memory.
    """
    targets = torch.arange(len(anchors), device=anchors.device)
    terms = F.cross_entropy(anchors @ others.mT / temperature, targets, reduction="none")
    return torch.stack([part.mean() for part in (terms[:count], terms[count:]) if len(part)]).sum()


# Latents, and how certain a network is about a sample


def gaussian_prior(mean: Tensor, log_var: Tensor) -> Tensor:
    """mean_b KL(N(mean, exp(log_var)) || N(0, I)), summed over latent dimensions (Kingma & Welling, 2014)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var).sum(1).mean()


def energy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Free energy -tau logsumexp(logits / tau) of each sample (B): lower is more in-distribution (Liu et al., 2020)."""
    return -temperature * torch.logsumexp(logits / temperature, 1)


def least_confidence(logits: Tensor) -> Tensor:
    """1 - max softmax of each sample (B): low if the network is confident."""
    return 1 - logits.softmax(1).amax(1)
