"""Numbers of the authors' released code, and methods that start from the same weights, noise and images."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from okdbench import registry
from okdbench.api import Batch, Clock, Learner, Stage, Task, TaskKind, Track
from okdbench.core.config import check_hyperparameters
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from support.tiny_task import CPU, MEAN, STD

DATA = Path(__file__).parents[1] / "data" / "parity"
CLASSES, IMAGE_SIZE, BATCH_SIZE = 5, 32, 6
#: of every method that has these hyper-parameters; with so many steps a cosine is 1 in the first ones
SIZES = {
    "latent": 8,
    "generator_width": 4,
    "head": "sigmoid",
    "stem": 4,
    "spectral_norm": False,
    "discriminator_width": 4,
    "data_free_steps": 10**9,
}
#: the largest difference of gradients and weights, as a share of the tensor's largest entry
TENSOR_TOLERANCE = 1e-6
#: the largest relative difference of losses; those of AuG-KD have a stricter one
LOSS_TOLERANCE = 1e-9
#: the number of values of each comparison so far
compared: list[int] = []


class Numbers:
    """The arrays of one file as tensors: ``float64``, ``int64``, and raw images in [0, 1] where bytes are stored."""

    def __init__(self, name: str) -> None:
        with np.load(DATA / f"{name}.npz") as file:
            self._tensors = {key: _tensor(torch.from_numpy(file[key])) for key in file.files}

    def __getitem__(self, key: str) -> Tensor:
        return self._tensors[key]

    def group(self, prefix: str) -> dict[str, Tensor]:
        """The tensors below ``prefix``, in the order in which they are stored."""
        start = f"{prefix}/"
        found = {key.removeprefix(start): t for key, t in self._tensors.items() if key.startswith(start)}
        assert found, f"no array below {prefix}"
        return found

    def has(self, prefix: str) -> bool:
        """Whether there is an array of this name or below it."""
        return any(key == prefix or key.startswith(f"{prefix}/") for key in self._tensors)

    def batches(self, part: str) -> list[Batch]:
        """The labelled batches of a part."""
        pairs = zip(self[f"{part}/images"], self[f"{part}/labels"], strict=True)
        return [Batch(images, labels) for images, labels in pairs]


def _tensor(stored: Tensor) -> Tensor:
    if stored.dtype == torch.uint8:
        return stored.double() / 255
    return stored.double() if stored.is_floating_point() else stored


@cache
def numbers(name: str) -> Numbers:
    """The arrays of ``tests/data/parity/<name>.npz``."""
    return Numbers(name)


class TinyNet(nn.Module):
    """The classifier of the stored numbers: two blocks of convolution, batch norm and ReLU, and a linear layer."""

    def __init__(self, first: int, second: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, first, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(first)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(first, second, 3, stride=2, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(second)
        self.relu2 = nn.ReLU()
        self.fc = nn.Linear(second, CLASSES)
        self.feature_info = [{"module": "relu1"}, {"module": "relu2"}]

    def get_classifier(self) -> nn.Linear:
        return self.fc

    def forward(self, images: Tensor) -> Tensor:
        first = self.relu1(self.bn1(self.conv1(images)))
        second = self.relu2(self.bn2(self.conv2(first)))
        logits: Tensor = self.fc(second.mean((2, 3)))
        return logits


@dataclass(frozen=True)
class StoredTask(Task):
    """A task whose noise is stored and whose images are not augmented."""

    stored: list[Tensor] = field(default_factory=list)

    def noise(self, *shape: int) -> Tensor:
        noise = self.stored.pop(0).clone()  # a method may change it, and other tests read the same numbers
        assert noise.shape == shape
        return noise

    def augment(self, images: Tensor) -> Tensor:
        return images


def make_method(
    name: str,
    source: Numbers,
    settings: Mapping[str, Any] | None = None,
    *,
    noise: Iterable[Tensor] = (),
    batch_size: int = BATCH_SIZE,
    generator: str = "G",
) -> Any:
    """A method in float64 that draws this noise; teacher and student have their stored weights, and S is in train mode.

    Args:
        name: of the method.
        source: where the weights come from.
        settings: hyper-parameters beside the sizes of the stored networks.
        noise: what the method draws from its random generator, in that order.
        batch_size: images per student update.
        generator: start of the keys of the generator's weights, for a method that has one.
    """
    cls = registry.load_method(name)
    sizes = {key: value for key, value in SIZES.items() if key in cls.Hyperparameters.model_fields}
    hp = check_hyperparameters(cls.Hyperparameters, sizes, settings or {}, name)
    task = StoredTask(
        teacher=classifier(source.group("T")).lock(),
        student=classifier(source.group("S")),
        classes=CLASSES,
        image_size=IMAGE_SIZE,
        channels=3,
        class_embeddings=torch.eye(CLASSES),
        kind=TaskKind.ADAPT,
        train_size=2 * BATCH_SIZE,
        student_images=2 * BATCH_SIZE,
        batch_size=batch_size,
        track=Track.LABELLED,
        normaliser=Normaliser(MEAN, STD),
        augmentation=frozenset(),
        device=CPU,
        rng=torch.Generator().manual_seed(0),
        stored=list(noise),
    )
    method: Any = cls(task, hp)
    if hasattr(method, "generator"):
        load(method.generator.module, source.group(generator))
    return method


def classifier(weights: Mapping[str, Tensor]) -> ClassifierWrapper:
    """A tiny network with these weights behind the normaliser."""
    net = TinyNet(len(weights["bn1.weight"]), len(weights["bn2.weight"]))
    load(net, weights)
    return ClassifierWrapper(net, Normaliser(MEAN, STD))


@torch.no_grad()
def load(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy the weights into the module, by order: the releases call their layers by other names."""
    for own, (name, stored) in zip(state(module), weights.items(), strict=True):
        assert own.shape == stored.shape, name
        own.copy_(stored)


def state(module: nn.Module) -> list[Tensor]:
    """Parameters and running statistics, without batch norm's counters, in the order of the state dict."""
    return [tensor for tensor in module.state_dict().values() if tensor.is_floating_point()]


def begin(method: Any, name: str) -> Stage:
    """The method's stage of this name, begun."""
    stage: Stage = next(stage for stage in method.stages() if stage.name == name)
    if stage.begin:
        stage.begin()
    return stage


def iterate(method: Any, count: int, start: int = 0) -> None:
    """Run iterations of the data-free stage; the first has number ``start``."""
    for step in range(start, start + count):
        method.set_clock(Clock(step, method.iterations))
        method.iteration()


class Record:
    """Losses, learning rates and gradients of a learner's updates from now on."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.losses: list[float] = []
        self.rates: list[float] = []
        self.gradients: list[list[Tensor]] = []
        # before the step the gradient is final: clipped, and with all that was added to it
        learner.optimizer.register_step_pre_hook(lambda *_: self._keep())
        update = learner.update

        def recorded(loss: Tensor, *rest: Any, **options: Any) -> None:
            self.losses.append(loss.item())
            update(loss, *rest, **options)

        learner.update = recorded  # type: ignore[method-assign]

    def _keep(self) -> None:
        self.rates.append(self.learner.lr)
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad.clone() for p in self.learner.parameters]
        self.gradients.append(gradients)

    def same_as(self, source: Numbers, part: str, name: str, without: Collection[str] = ()) -> None:
        """Assert that losses, first gradient and weights at the end are those of network ``name`` in a part.

        Args:
            source: the stored numbers.
            part: start of the arrays' keys.
            name: the network's letter in the keys.
            without: which of ``loss``, ``grad`` and ``after`` are not stored.
        """
        module = self.learner.module
        if "loss" not in without:
            same_losses(self.losses, source[f"{part}/loss_{name}"])
        if "grad" not in without:
            same_tensors(self.gradients[0], source.group(f"{part}/grad_{name}"))
        if "after" not in without:
            same_tensors(state(module), source.group(f"{part}/after_{name}"))
        assert not [kind for kind in without if source.has(f"{part}/{kind}_{name}")]


def same_losses(losses: Sequence[Tensor | float], stored: Tensor, tolerance: float = LOSS_TOLERANCE) -> None:
    """Assert that all losses agree."""
    found = torch.tensor([torch.as_tensor(loss).item() for loss in losses], dtype=stored.dtype)
    torch.testing.assert_close(found, stored, rtol=tolerance, atol=0)
    compared.append(stored.numel())


def same_tensors(tensors: Sequence[Tensor], stored: Mapping[str, Tensor], dead: Collection[str] = ()) -> None:
    """Assert that gradients or weights agree, except those called ``dead``, whose gradients are rounding errors."""
    for tensor, (name, expected) in zip(tensors, stored.items(), strict=True):
        if name not in dead:
            same_tensor(tensor, expected, name)


def same_tensor(tensor: Tensor, expected: Tensor, name: str = "tensor", tolerance: float = TENSOR_TOLERANCE) -> None:
    """Assert that two tensors agree to a share of the largest entry."""
    limit = tolerance * float(expected.abs().max())
    torch.testing.assert_close(tensor, expected, rtol=0, atol=limit, msg=lambda text: f"{name}: {text}")
    compared.append(expected.numel())


def same_loss(
    loss: Tensor, inputs: Mapping[str, Tensor], source: Numbers, key: str, tolerance: float = LOSS_TOLERANCE
) -> None:
    """Assert that a loss and its gradients to the named inputs are those stored under ``key``."""
    same_losses([loss], source[key].view(1), tolerance)
    gradients = torch.autograd.grad(loss, list(inputs.values())) if inputs else ()
    for name, gradient in zip(inputs, gradients, strict=True):
        same_tensor(gradient, source[f"{key}_grad_{name}"], name, tolerance)


def generate_in_eval_mode(method: Any) -> None:
    """Let the method's generator draw the student's images in eval mode, as some releases do; no switch does it."""
    generate = method.generate

    def in_eval_mode(z: Tensor) -> Tensor:
        method.generator.module.eval()
        images: Tensor = generate(z)
        method.generator.module.train()
        return images

    method.generate = in_eval_mode
