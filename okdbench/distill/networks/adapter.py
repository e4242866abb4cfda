"""Gives a user's module what okdbench asks of a network: logits alone, its last layer, and its stages."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from okdbench.core.errors import UserError, one_line

#: name of a module, the module, and what it returned
Call = tuple[str, nn.Module, Any]
#: attributes of the modules that others are wrapped in
_WRAPPED = ("module", "_orig_mod")


class Adapted(nn.Module):
    """Stands before the class of a user's network; its parameters and their names stay as they are.

    Images and weights are in PyTorch's contiguous layout, because ``x.view(len(x), -1)``, which many networks have,
    fails in any other.
    """

    #: name of the linear layer whose output is the logits; empty if there is none
    head_name = ""

    def forward(self, images: Tensor, *args: Any, **options: Any) -> Tensor:
        """Logits, B x classes, of normalised images, B x C x H x W."""
        return logits_of(super().forward(_contiguous(images), *args, **options))

    def get_classifier(self) -> nn.Module | None:
        """The linear layer whose output is the logits; None if there is none."""
        return self.get_submodule(self.head_name) if self.head_name else None

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for tensor in (*self.parameters(), *self.buffers()):
            if not is_lazy(tensor):  # it has no shape before the first forward pass
                tensor.data = _contiguous(tensor.data)
        return self


def _contiguous(tensor: Tensor) -> Tensor:
    # with one channel, a tensor is contiguous in either layout, and convolutions go by its strides
    return tensor.contiguous().flatten().view_as(tensor)


def logits_of(output: Any) -> Tensor:
    """The logits in what a network returns: a tensor, or with others behind or beside it.

    Raises:
        TypeError: it is none of these.
    """
    found = getattr(output, "logits", output)
    if isinstance(found, dict):
        found = next((found[name] for name in ("logits", "out") if name in found), found)
    if isinstance(found, (tuple, list)) and found:
        found = found[0]
    if not isinstance(found, Tensor):
        raise TypeError(f"it returns a {type(found).__name__}, not a tensor of logits")
    return found


def adapt(net: nn.Module, place: str, classes: int, image_size: int, channels: int) -> nn.Module:
    """The user's module in eval mode, with a derived class.

    Args:
        net: what the user's code has built.
        place: where that code is, for messages.
        classes: number of outputs that it must have.
        image_size: input resolution in pixels.
        channels: of the images.

    Raises:
        UserError: it does not take these images, returns no logits of these classes, or cannot be copied.
    """
    while inner := next((getattr(net, name) for name in _WRAPPED if _is_wrapper(net, name)), None):
        net = inner
    _refuse_fixed(net, place)
    kind = type(net)
    net.__class__ = type(kind.__name__, (Adapted, kind), {"__module__": kind.__module__})
    images = torch.rand(2, channels, image_size, image_size, generator=torch.Generator().manual_seed(0))
    try:
        logits, calls = _traced(net.float().eval(), images.requires_grad_())
        with torch.no_grad():
            alone: Tensor = net(images[:1])
    except Exception as error:  # another author's code fails in any way
        shape = f"{channels} x {image_size} x {image_size}"
        raise UserError(
            f"{place} does not accept images of {shape} ({one_line(error)}); choose another --image-size or "
            "--channels, or let its builder take them"
        ) from error
    _check(logits, alone, place, classes)
    if not logits.requires_grad or torch.autograd.grad(logits.sum(), images, allow_unused=True)[0] is None:
        raise UserError(f"{place} gives no gradients to images; take torch.no_grad() and detach() out of its forward()")
    net.requires_grad_(True)
    net.head_name = _head(calls, logits)  # type: ignore[assignment]
    if not isinstance(getattr(net, "feature_info", None), list):
        net.feature_info = _stages(calls)  # type: ignore[assignment]
    return net


def _traced(net: nn.Module, images: Tensor) -> tuple[Tensor, list[Call]]:
    """The logits, and the calls of all modules on the way."""
    calls: list[Call] = []
    hooks = [
        layer.register_forward_hook(lambda layer, _, output, name=name: calls.append((name, layer, output)))
        for name, layer in net.named_modules()
        if name
    ]
    try:
        return net(images), calls
    finally:
        for hook in hooks:
            hook.remove()


def _is_wrapper(net: nn.Module, name: str) -> bool:
    """Whether the module only passes on: DataParallel and the compiled ones."""
    return list(dict(net.named_children())) == [name] and type(net).__module__.startswith("torch.")


def _refuse_fixed(net: nn.Module, place: str) -> None:
    """Refuse what has no class that another can be derived from, or loses it in a copy."""
    if isinstance(net, (torch.jit.ScriptModule, torch.fx.GraphModule)):
        raise UserError(f"{place} builds a traced or scripted network; let it build the torch.nn.Module itself")
    try:
        copy.deepcopy(net)
    except Exception as error:  # as above
        raise UserError(
            f"{place} builds a network that cannot be copied ({one_line(error)}); keep tensors with gradients and open "
            "files out of it"
        ) from error


def _check(logits: Tensor, alone: Tensor, place: str, classes: int) -> None:
    """Refuse what would give wrong numbers: other outputs than logits, or logits that depend on more than the image."""
    if logits.shape != (2, classes):
        shape = " x ".join(map(str, logits.shape))
        raise UserError(
            f"{place} gives {shape} numbers for 2 images, and the data set has {classes} classes; let its builder take "
            "num_classes"
        )
    if bool((logits >= 0).all()) and bool(((logits.sum(1) - 1).abs() < 1e-4).all()):
        raise UserError(f"{place} gives probabilities; return the logits, without softmax")
    tolerance = 1e-4 * float(logits.detach().abs().max())
    if alone.shape != (1, classes) or not torch.allclose(alone, logits[:1], 1e-3, tolerance):
        raise UserError(
            f"{place} gives an image other logits alone than in a batch; in eval mode, use no dropout and no "
            "statistics of the batch, and keep the batch's dimension"
        )


def _head(calls: list[Call], logits: Tensor) -> str:
    """The name of the linear layer that was called last, if its output is the logits."""
    name, _, output = next((call for call in reversed(calls) if isinstance(call[1], nn.Linear)), ("", None, None))
    return name if isinstance(output, Tensor) and torch.equal(output, logits) else ""


def _stages(calls: list[Call]) -> list[dict[str, Any]]:
    """The modules that end the stages: of each size of feature maps the last, as timm lists them."""
    ends: dict[tuple[int, ...], dict[str, Any]] = {}
    for name, _, output in calls:
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] * output.shape[3] > 1:
            ends[tuple(output.shape[2:])] = {"num_chs": output.shape[1], "module": name}
    return list(ends.values())
