"""The teacher and the student of a run before training.

The check of a run and the run itself need the same two networks. Each is built once and copied for every use.
"""

from __future__ import annotations

import copy
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from okdbench.core.notices import say_once
from okdbench.distill.networks.classifiers import build_classifier
from okdbench.distill.networks.last_layer import new_layer
from okdbench.distill.networks.timm_options import spelt
from okdbench.distill.networks.user_networks import Network
from okdbench.training.networks import Role, pretrained_roles

if TYPE_CHECKING:
    from okdbench.training.plan import Plan


def initial_network(role: Role, plan: Plan) -> nn.Module:
    """A new network on the CPU, with weights that depend on the role, the setting and the run's seed alone.

    torch's global generators end in the state in which the construction leaves them, also when an earlier network is
    copied. So training with dropout or stochastic depth draws the same numbers in both cases.

    Args:
        role: which network of the run.
        plan: the run.

    Raises:
        UserError: the network refuses the images or the file that it starts from, or weights cannot be fetched.
    """
    config = plan.config
    network = plan.teacher if role == "teacher" else plan.student
    start = plan.starts.get(role)
    pretrained = role in pretrained_roles(config)
    seed = plan.seed_for(role)
    dataset = plan.dataset
    net, random_state = _build(network, len(dataset.classes), config.image_size, pretrained, dataset.channels, seed)
    # a copy, because methods change the student in place, and hooks of one run must not reach another
    net = copy.deepcopy(net)
    if start:
        start.load(net, network.name, new_layer)
        if network.options:
            say_once(f"{start.path}: the {role} is built with {spelt(network.options)}")
    torch.manual_seed(seed)  # the generators of all devices; construction has advanced the CPU's
    torch.set_rng_state(random_state)
    return net


def forget_initial_networks() -> None:
    """Free the networks that are kept for further copies."""
    _build.cache_clear()


@lru_cache(maxsize=2)  # one teacher and one student
def _build(
    network: Network, classes: int, image_size: int, pretrained: bool, channels: int, seed: int
) -> tuple[nn.Module, Tensor]:
    """A network, and the state in which its construction leaves torch's generator of the CPU."""
    torch.manual_seed(seed)
    net = build_classifier(network, classes, image_size, pretrained, channels)
    return net, torch.get_rng_state()
