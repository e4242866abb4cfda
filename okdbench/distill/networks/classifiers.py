"""Teachers and students: any timm classifier, by name, and those that are registered beside them."""

from __future__ import annotations

import warnings
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from okdbench.core.errors import UserError, one_line, unknown
from okdbench.distill.networks.batch_norm import smooth
from okdbench.distill.networks.cifar import WideResNet as WideResNet  # as that of lenet
from okdbench.distill.networks.convolutions import trim
from okdbench.distill.networks.lenet import LeNet5 as LeNet5  # its import registers the networks in timm


def build_classifier(
    name: str, classes: int, image_size: int, pretrained: bool = False, channels: int = 3
) -> nn.Module:
    """A new timm classifier in train mode.

    Args:
        name: timm's name, such as ``resnet18``.
        classes: number of outputs.
        image_size: input resolution in pixels; images are square.
        pretrained: whether to start from timm's pretrained weights.
        channels: of the images; timm adds up the pretrained weights of the first layer for grey ones.

    Raises:
        UserError: timm has no such model, it does not accept this image size, or its weights cannot be fetched.
    """
    check_name(name, pretrained)
    try:
        net = trim(_create(name, classes, image_size, pretrained, channels)).to(memory_format=torch.channels_last)
        # some networks reject an image size only in their first forward pass
        with torch.no_grad():
            net.eval()(torch.zeros(1, channels, image_size, image_size))
        return net.train()
    except OSError as error:
        raise UserError(
            f"the pretrained weights of {name} could not be fetched ({one_line(error)}); leave out --pretrained"
        ) from error
    except (AssertionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"{name} does not accept images of {image_size} pixels ({one_line(error)}); "
            "choose another network or image size"
        ) from error


class HardSigmoid(nn.Module):
    """relu6(x + 3) / 6: the same function as PyTorch's hard sigmoid, which has no double backward."""

    def forward(self, x: Tensor) -> Tensor:
        """Elementwise, to [0, 1]."""
        return F.relu6(x + 3) / 6


def make_twice_differentiable(net: nn.Module) -> None:
    """Replace what has no second derivative, or a slow one, and disable dropout, in place."""
    smooth(net)
    # Dropout would draw another mask in each forward pass, so that a gradient at theta and one at theta' would belong
    # to different networks.
    for parent in list(net.modules()):
        for name, child in parent.named_children():
            if isinstance(child, (nn.Hardsigmoid, timm.layers.HardSigmoid)):
                setattr(parent, name, HardSigmoid())
            if isinstance(child, nn.modules.dropout._DropoutNd):
                child.p = 0.0
    if hasattr(net, "drop_rate"):  # timm's heads call F.dropout with it
        net.drop_rate = 0.0  # type: ignore[assignment]


def check_name(name: str, pretrained: bool = False) -> None:
    """Check that timm has a classifier called ``name`` and, for ``pretrained``, weights for it.

    Raises:
        UserError: there is no such classifier or no such weights.
    """
    if not timm.is_model(name):
        raise unknown("network", name, timm.list_models())
    base, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        raise unknown("network", name, timm.list_pretrained(f"{base}.*") or [base])
    if pretrained and not timm.is_model_pretrained(name):
        raise UserError(f"timm has no pretrained weights for {name}; leave out --pretrained")


def _create(name: str, classes: int, image_size: int, pretrained: bool, channels: int) -> nn.Module:
    options: dict[str, Any] = {"pretrained": pretrained, "num_classes": classes, "in_chans": channels}
    # Only models with a fixed grid of patches accept `img_size`; the others reject the keyword and accept any size.
    try:
        return timm.create_model(name, img_size=image_size, **options)
    except TypeError:
        return timm.create_model(name, **options)


def load_weights(net: nn.Module, path: Path, name: str) -> None:
    """Load a user's safetensors or state-dict file into ``net``; no code in the file is executed.

    Args:
        net: network to load into; unchanged if the file is refused.
        path: the file.
        name: the network's architecture, for messages.

    Raises:
        UserError: the file is missing, contains more than tensors, or belongs to another architecture.
    """
    state = _read_state(path)
    expected = net.state_dict()
    wrong = sorted(key for key in expected if key not in state or state[key].shape != expected[key].shape)
    extra = sorted(key for key in state if key not in expected)
    for key in wrong:
        if key in state and (channels := _other_channels(state[key], expected[key])):
            raise UserError(
                f"{path} is of a network for images of {channels} channel{'s' * (channels > 1)}; add "
                f"--channels {channels}, and --mean and --std if it was not trained with those of the data set"
            )
    if wrong or extra:
        example = (wrong or extra)[0]
        raise UserError(
            f"{path} is not a weights file of {name} with {_outputs(net)} classes: {len(wrong)} missing or differently "
            f"shaped and {len(extra)} unexpected tensors, the first {example!r}; name its architecture with --teacher"
        )
    net.load_state_dict(state)


def _other_channels(weight: Tensor, expected: Tensor) -> int:
    """The channels of a first convolution that differs from the expected one in nothing else; otherwise 0."""
    # without the input channels
    same = weight.ndim == expected.ndim == 4 and weight[:, 0].shape == expected[:, 0].shape
    return weight.shape[1] if same and {weight.shape[1], expected.shape[1]} == {1, 3} else 0


def _read_state(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise UserError(f"weights file {path} does not exist; give a .safetensors or a state-dict file")
    try:
        with warnings.catch_warnings(action="ignore"):  # the error below is enough
            content = _load(path)
    except Exception as error:  # unpickling fails in many ways, with the same meaning for the user
        why = "damaged, or with code in it" if isinstance(error, UnpicklingError) else one_line(error)
        raise UserError(
            f"{path} is not a plain weights file ({why}); use safetensors or torch.save(net.state_dict())"
        ) from error
    # training scripts often wrap the weights: {"state_dict": ..., "epoch": ...}
    state = content.get("state_dict", content) if isinstance(content, dict) else None
    if not isinstance(state, dict) or not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in state.items()):
        raise UserError(
            f"{path} contains more than tensors; save torch.save(net.state_dict()) instead of the whole network"
        )
    return state


def _load(path: Path) -> object:
    return load_file(path) if path.suffix == ".safetensors" else torch.load(path, map_location="cpu", weights_only=True)


def _outputs(net: nn.Module) -> int:
    return int(getattr(net, "num_classes", 0))
