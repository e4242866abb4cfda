"""Steps of eight kinds, as docs/performance.md measures them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.layers.norm_act import BatchNormAct2d
from torch import Tensor, nn
from torch.func import functional_call
from torch.utils._python_dispatch import TorchDispatchMode

from okdbench.api import Clock, Losses, Method
from okdbench.core import devices
from okdbench.distill.networks.batch_norm import SmoothBatchNorm2d, SmoothBatchNormAct2d
from okdbench.distill.networks.convolutions import ContiguousConv2d, TrimmedConv2d, UpConv2d
from support.tiny_task import CPU, batch, make_method

SMALL, TINY = ("resnet18", "resnet10t"), ("test_resnet", "test_byobnet")
#: enough rounds to fill LTR's memory
REPLAYED = {"pushes": 10_000, "capacity": 2}


@dataclass(frozen=True)
class Scene:
    """A step of a method's first stage."""

    method: str
    networks: tuple[str, str]
    batch_size: int = 64
    width: int = 16
    settings: tuple[tuple[str, Any], ...] = ()

    def build(self) -> Method:
        """The method, in the state of its first step."""
        teacher, student = self.networks
        settings = {"generator_width": self.width, **dict(self.settings)}
        made = make_method(
            self.method, settings, images=640 * self.batch_size, batch_size=self.batch_size, teacher=teacher,
            student=student,
        )  # fmt: skip
        made.teacher.to(memory_format=torch.channels_last)
        return made


SCENES = {
    "A64": Scene("augkd", ("resnet34", "mobilenetv3_small_100"), 128, 64),
    "A16": Scene("augkd", SMALL),
    "MO": Scene("mosaickd", SMALL),
    "LTR": Scene("ltr", SMALL, settings=tuple(REPLAYED.items())),
    "LTR1": Scene("ltr", SMALL, settings=(*REPLAYED.items(), ("order", 1))),
    "DF": Scene("dfad", TINY),
    "DA": Scene("dafl", TINY),
    "L5": Scene("dfad", ("lenet5_bn", "lenet5_half_bn"), 128),
}


def stepper(method: Method) -> Callable[[], Losses]:
    """Calls of the first stage's step on the same images; the clock stands at its second step."""
    stage = method.stages()[0]
    method.student.train()
    method.set_clock(Clock(1, stage.steps))
    if stage.begin:
        stage.begin()
    images = [batch(i, stage.batch_size or method.task.batch_size, method.task) for i in range(stage.batches)]
    return lambda: stage.step(*(images if stage.data else ()))


# The usual forms of what okdbench computes in other ways


def upsample_and_convolve(layer: nn.Conv2d, images: Tensor) -> Tensor:
    """What :class:`UpConv2d` is equal to."""
    return F.conv2d(F.interpolate(images, scale_factor=2), layer.weight, padding=1)


#: each saving: the layers that have it, and what they do without it
SAVINGS: dict[str, dict[type[nn.Module], Callable[..., Tensor]]] = {
    "up-convolution": {UpConv2d: upsample_and_convolve},
    "cut kernels": {TrimmedConv2d: nn.Conv2d.forward},
    "few channels": {ContiguousConv2d: nn.Conv2d.forward},
    "second order": {SmoothBatchNorm2d: nn.BatchNorm2d.forward, SmoothBatchNormAct2d: BatchNormAct2d.forward},
}


def set_plain(method: Method, savings: Collection[str]) -> None:
    """Take these savings back: usual layers, and for LTR's second order a graph through theta'. The others are on."""
    for module in modules(method):
        if forward := next(filter(None, (_usual(saving, module) for saving in savings)), None):
            module.forward = forward.__get__(module)  # type: ignore[assignment]
        else:
            module.__dict__.pop("forward", None)
    if "second order" in savings and hasattr(method, "meta_step"):
        method.replay_step = partial(replay_step_by_graph, method)  # type: ignore[attr-defined]
    else:
        method.__dict__.pop("replay_step", None)


def peak_memory(name: str, plain: bool) -> float:
    """MiB by which a scene's networks and three of its steps raise the peak of this process."""
    before = devices.peak_memory_mb(CPU)
    method = SCENES[name].build()
    set_plain(method, SAVINGS if plain else ())
    step = stepper(method)
    for _ in range(3):
        step()
    return devices.peak_memory_mb(CPU) - before


def savings_of(method: Method) -> list[str]:
    """The savings that the method has."""
    return [saving for saving in SAVINGS if any(_usual(saving, module) for module in modules(method))]


def _usual(saving: str, module: nn.Module) -> Callable[..., Tensor] | None:
    """What the layer does without a saving that it has. Spectral norm makes a subclass of a layer's class."""
    return next((forward for kind, forward in SAVINGS[saving].items() if isinstance(module, kind)), None)


def replay_step_by_graph(ltr: Any, new: Tensor, new_targets: Tensor, old: Tensor, old_targets: Tensor) -> Losses:
    """LTR's update with a graph through theta', and with copies of the buffers."""
    acquisition = ltr.student_loss(new_targets, ltr.student(new))
    parameters = dict(ltr.student.named_parameters())
    gradients = ltr.learner.gradients(acquisition, differentiable=ltr.hp.order == 2)
    theta_prime = {
        name: theta - ltr.hp.alpha * (gradient + ltr.hp.inner_decay * theta)
        for (name, theta), gradient in zip(parameters.items(), gradients, strict=True)
    }
    buffers = {name: buffer.clone() for name, buffer in ltr.student.named_buffers()}
    retention = ltr.student_loss(old_targets, functional_call(ltr.student, {**buffers, **theta_prime}, old))
    ltr.learner.update(retention, [gradient.detach() for gradient in gradients])
    return {"disagreement": acquisition, "retention": retention}


def modules(method: Method) -> Iterator[nn.Module]:
    """Every module that the method or its task holds."""
    held = [*vars(method).values(), *vars(method.task).values()]
    for part in held:
        net = part.module if hasattr(part, "optimizer") else part
        if isinstance(net, nn.Module):
            yield from net.modules()


class Operations(TorchDispatchMode):
    """Counts the operations on tensors that compute something: each is at least one launch on a GPU."""

    #: kinds that only describe memory
    VIEWS = frozenset({
        "alias", "as_strided", "detach", "expand", "permute", "select", "slice", "split", "split_with_sizes", "squeeze",
        "t", "transpose", "unbind", "unsqueeze", "view", "_unsafe_view", "_reshape_alias",
        "empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided",
        "_record_function_enter_new", "_record_function_exit",
    })  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name not in self.VIEWS:
            self.counts[name] = self.counts.get(name, 0) + 1
        return func(*args, **(kwargs or {}))

    @property
    def total(self) -> int:
        """Operations so far."""
        return sum(self.counts.values())
