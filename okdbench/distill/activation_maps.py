"""Which regions a classifier's logits come from: class activation maps (CAM), and Grad-CAM maps of its stages.

CAM (Zhou et al., 2016) exists where the last linear layer reads the mean of a feature map over space. Grad-CAM
(Selvaraju et al., 2017) exists for every feature map; here it has no ReLU, as in SpaceshipNet's released code.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from okdbench.core.errors import UserError
from okdbench.distill.networks.wrapper import ClassifierWrapper


@contextmanager
def outputs_of(*layers: nn.Module) -> Iterator[dict[nn.Module, Any]]:
    """The last output of each of these layers in the block, in the order of their first ones."""
    found: dict[nn.Module, Any] = {}

    def keep(layer: nn.Module, _inputs: tuple[Any, ...], output: Any) -> None:
        found[layer] = output

    hooks = [layer.register_forward_hook(keep) for layer in layers]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


def class_activation_maps(features: Tensor, weight: Tensor) -> Tensor:
    """The part of each logit that comes from each place, B x C x H x W: sum_k w_ck A_k.

    Gradients flow into the features alone.

    Args:
        features: the map A whose mean over space the last layer reads, B x K x H x W.
        weight: w of the last layer, C x K.
    """
    return F.conv2d(features, weight.detach()[:, :, None, None])


def gradient_activation_maps(logits: Tensor, classes: Tensor, stages: Sequence[Tensor]) -> list[Tensor]:
    """Grad-CAM maps for one class of each image, B x H x W for each stage: sum_k mean_hw(d logit / d A_k) A_k.

    The gradients are constants. Of the network's backward pass only what leads to the stages is computed.

    Args:
        logits: B x C, a function of the stages.
        classes: B class indices.
        stages: feature maps A, each B x K x H x W.
    """
    gradients = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), stages, retain_graph=True)
    pairs = zip(gradients, stages, strict=True)
    return [(gradient.mean((2, 3), keepdim=True) * maps).sum(1) for gradient, maps in pairs]


#: what can be compared
Kind = Literal["cam", "grad_cam"]


class Activations(NamedTuple):
    """Of one forward pass: logits, the map whose mean the last layer reads if there is one, and the stages' maps."""

    logits: Tensor
    pooled: list[Tensor]
    stages: list[Tensor]


class Reader:
    """Reads the activations of one network.

    Args:
        net: the network.
        probe: some raw images that are not of one colour; they show which maps the network has.
    """

    def __init__(self, net: ClassifierWrapper, probe: Tensor) -> None:
        self._net, self._pooled = net, _pooled_layers(net, probe)
        with torch.no_grad(), net.eval_mode():
            found = self(probe)
        #: height and width of each map that there is
        self.sides: dict[Kind, list[torch.Size]] = {
            "cam": [maps.shape[2:] for maps in found.pooled],
            "grad_cam": [maps.shape[2:] for maps in found.stages],
        }

    def __call__(self, images: Tensor) -> Activations:
        """The activations of raw images."""
        with outputs_of(*self._pooled) as outputs:
            output = self._net.forward_with_features(images, "stages")
        return Activations(output.logits, list(outputs.values()), output.stages)

    def maps(self, kind: Kind, found: Activations, classes: Tensor) -> list[Tensor]:
        """The maps of one kind: of all classes, B x C x H x W, or of these, B x H x W for each stage."""
        if kind == "grad_cam":
            return gradient_activation_maps(found.logits, classes, found.stages)
        weight = self._net.last_layer().weight
        assert isinstance(weight, Tensor)
        return [class_activation_maps(features, weight) for features in found.pooled]


@torch.no_grad()
def _pooled_layers(net: ClassifierWrapper, images: Tensor) -> list[nn.Module]:
    """The layer with the feature map whose mean over space is the input of the last linear layer, if there is one."""
    with net.eval_mode(), outputs_of(*net.modules()) as outputs:
        try:
            features = net.forward_with_features(images, "penultimate").penultimate
        except UserError:  # the network does not end in a linear layer
            return []
    layers = [layer for layer, output in outputs.items() if _has_mean(output, features)]
    # The largest map, not what pooling made of it; of equal ones the outermost layer, which is not called twice.
    return sorted(layers, key=lambda layer: outputs[layer].shape[2:].numel())[-1:]


def _has_mean(output: Any, features: Tensor) -> bool:
    if not isinstance(output, Tensor) or output.ndim != 4 or output.shape[:2] != features.shape:
        return False
    return torch.allclose(output.mean((2, 3)), features, rtol=1e-4, atol=1e-5)


class Pair:
    """Compares the maps of a frozen teacher and a student.

    Args:
        teacher: the teacher.
        student: the student.
        image_size: input resolution in pixels.
    """

    def __init__(self, teacher: ClassifierWrapper, student: ClassifierWrapper, image_size: int) -> None:
        shape = (2, teacher.normaliser.channels, image_size, image_size)
        noise = torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(teacher.normaliser.mean.device)
        self._teacher, self._student = Reader(teacher, noise), Reader(student, noise)

    def have(self, kind: Kind) -> bool:
        """Whether both networks have maps of this kind, of equal size."""
        sides = self._teacher.sides[kind]
        return bool(sides) and sides == self._student.sides[kind] and all(len(side) == 2 for side in sides)

    def compare(self, images: Tensor, kinds: Collection[Kind]) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Logits of the teacher and of the student, and the mean squared difference of each kind of maps.

        Grad-CAM maps are those of the teacher's predictions, and their differences are summed over the stages.

        Args:
            images: raw images.
            kinds: of maps that both networks have.
        """
        # The teacher's weights are frozen, so its activations have gradients only if its input has.
        teacher = self._teacher(images.detach().requires_grad_("grad_cam" in kinds))
        student = self._student(images)
        classes = teacher.logits.argmax(1)
        terms: dict[str, Tensor] = {}
        for kind in kinds:
            targets, maps = self._teacher.maps(kind, teacher, classes), self._student.maps(kind, student, classes)
            pairs = zip(maps, targets, strict=True)
            terms[kind] = torch.stack([F.mse_loss(ours, theirs.detach()) for ours, theirs in pairs]).sum()
        return teacher.logits.detach(), student.logits, terms
