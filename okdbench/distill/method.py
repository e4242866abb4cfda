"""Everything that the author of a method imports.

A method is a list of stages. A stage is a number of steps and one function that does a step: it gets a batch (or
nothing), updates its learners and returns the named losses. The engine does the rest: loops, logging, evaluation,
checkpoints and resuming. A method therefore holds no loop over data, no device call and no file access.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from okdbench.core.protocol import Track
from okdbench.data.loader import Batch, augment
from okdbench.distill.accounting import Meter
from okdbench.distill.card import BaseHyperparameters, Card, Deviation
from okdbench.distill.networks.wrapper import ClassifierWrapper, Normaliser
from okdbench.distill.optim import Learner, Schedule

#: named scalar losses of one step, for the log; the names are the terms of the method's equations
Losses = dict[str, Tensor]


@dataclass(frozen=True)
class Stage:
    """A number of steps of one kind.

    Attributes:
        name: shown in progress, log and record; unique in its method.
        steps: how often ``step`` is called.
        step: does the updates of one step and returns its named losses.
        data: ``None`` for data-free, ``"images"`` or ``"labelled"`` for batches of the student domain's train split;
            the second is refused in the label-free track.
        batch_size: pictures in each batch, when not the budget's.
        batches: batches that each step gets.
        augment: whether they are shifted and mirrored.
        begin: called before the first step, and again when the stage is resumed: sets modes, changes no state.
        finish: called once after the last step.
    """

    name: str
    steps: int
    step: Callable[..., Losses]
    data: Literal["images", "labelled"] | None = None
    batch_size: int | None = None
    batches: int = 1
    augment: bool = True
    begin: Callable[[], None] | None = None
    finish: Callable[[], None] | None = None


@dataclass(frozen=True)
class Task:
    """All that a method may see. No other picture and no other label can be reached through it.

    Attributes:
        teacher: frozen, always in eval mode; ``teacher(x)`` are logits for raw x in [0, 1].
        student: the network to train.
        classes: number of classes C.
        image_size: side of the square pictures in pixels.
        train_size: pictures in the student domain's train split.
        student_images: pictures that the student may learn from, all stages together.
        batch_size: pictures of one student update.
        normaliser: the map from raw pictures to what the networks' layers read.
        flip: whether mirrored pictures keep their class.
        rng: the run's random generator, on the device.
        meter: counts the traffic of owned modules.
    """

    teacher: ClassifierWrapper
    student: ClassifierWrapper
    classes: int
    image_size: int
    train_size: int
    student_images: int
    batch_size: int
    track: Track
    normaliser: Normaliser
    flip: bool
    device: torch.device
    rng: torch.Generator
    meter: Meter = field(default_factory=Meter)

    def noise(self, *shape: int) -> Tensor:
        """Standard normal noise of this shape from the run's generator."""
        return torch.randn(*shape, generator=self.rng, device=self.device)

    def augment(self, images: Tensor) -> Tensor:
        """Raw pictures shifted, and mirrored where that keeps their class, as those of a stage are."""
        return augment(images, self.rng, self.flip)


M = TypeVar("M", bound=nn.Module)


class Stateful(Protocol):
    """Anything that a checkpoint can hold."""

    def state_dict(self) -> dict[str, Any]: ...
    def load_state_dict(self, state: dict[str, Any]) -> Any: ...


class Clock(NamedTuple):
    """Where the running stage is: ``step`` of ``steps`` from 0."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        """The share of the stage that is done, in [0, 1)."""
        return self.step / self.steps


class Trainable(ABC):
    """A set of stages and everything that they change. ``clock`` is right in each step."""

    clock = Clock(0, 1)

    def __init__(self, device: torch.device, meter: Meter) -> None:
        self._device = device
        self._meter = meter
        self.state: dict[str, Stateful] = {}

    @abstractmethod
    def stages(self) -> Sequence[Stage]:
        """The stages in the order in which they run."""

    def tell(self, clock: Clock) -> None:
        """Set the clock; the engine does so before each step."""
        self.clock = clock

    def place(self, name: str, module: M) -> M:
        """Put a module on the device in the layout that convolutions like; it is metered and checkpointed."""
        module = module.to(self._device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._meter.watch(name, module)
        self.state[name] = module
        return module

    def own(self, name: str, module: nn.Module, optimizer: Optimizer, schedule: Schedule | None = None) -> Learner:
        """Place a module and join it with its optimiser; the engine checkpoints both."""
        learner = Learner(self.place(name, module), optimizer, schedule, self._meter)
        self.state[f"{name} learner"] = learner
        return learner


class Method(Trainable):
    """One way to distil a frozen teacher into a student across a domain shift."""

    card: ClassVar[Card]
    Hyperparameters: ClassVar[type[BaseHyperparameters]] = BaseHyperparameters
    #: budget -> hyper-parameters that differ from the defaults there
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    #: pictures of one student update at budget ``paper``
    paper_batch_size: ClassVar[int] = 256
    data_free: ClassVar[bool] = False

    hp: Any

    def __init__(self, task: Task, hp: BaseHyperparameters) -> None:
        super().__init__(task.device, task.meter)
        self.task = task
        self.hp = hp
        self.teacher = task.teacher
        self.student = task.student
        self.setup()

    def setup(self) -> None:
        """Make networks and learners; called once."""

    @classmethod
    def deviations(cls) -> tuple[Deviation, ...]:
        """Where this code differs from paper and released code: what a ``legacy_*`` switch restores, then the rest."""
        switched = []
        for name, declared in cls.Hyperparameters.model_fields.items():
            extra: Any = declared.json_schema_extra
            if name.startswith("legacy_"):
                switched.append(Deviation(name.removeprefix("legacy_"), extra["theirs"], extra["ours"], name))
        return (*switched, *cls.card.deviations)

    @classmethod
    def is_data_free(cls, hp: BaseHyperparameters) -> bool:  # noqa: ARG003 - for those that depend on it
        """Whether it reads no label: the labelled track then lets the shared fine-tuning stage follow."""
        return cls.data_free

    @property
    def answer(self) -> ClassifierWrapper:
        """The network that is evaluated: the student, unless the row is about another one."""
        return self.student

    def samples(self, batch: Batch | None) -> dict[str, Tensor]:  # noqa: ARG002 - for those that show real pictures
        """Pictures to look at, each N x 3 x H x W and raw; called once when the run ends, without gradients.

        A name ``grid/column`` makes a column of a grid, one picture in each row; any other name is a strip. The
        method may draw from the run's generator; modes, weights and buffers stay as they are.

        Args:
            batch: student-domain pictures, with what else the method's last stage with data gets, but not augmented;
                None when no stage has data.
        """
        return {}
