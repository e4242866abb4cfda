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
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.optim import Optimizer

from okdbench.data.batches import Batch, augment
from okdbench.learners import Learner, Schedule, Snapshot, adam, cosine, cosine_overrun, sgd, slow_start
from okdbench.meter import Meter
from okdbench.nets.probe import Normaliser, Probe
from okdbench.protocol import Track

__all__ = [
    "BaseHyperparameters",
    "Batch",
    "Card",
    "Deviation",
    "Learner",
    "Losses",
    "Method",
    "Schedule",
    "Snapshot",
    "Stage",
    "Task",
    "Track",
    "adam",
    "cosine",
    "cosine_overrun",
    "hyper",
    "legacy",
    "sgd",
    "slow_start",
]  # fmt: skip

#: named scalar losses of one step, for the log; the names are the terms of the method's equations
Losses = dict[str, Tensor]


class BaseHyperparameters(BaseModel):
    """Base of a method's hyper-parameters; declare each with :func:`hyper`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, strict=True)


def hyper(default: Any, doc: str, *, paper: Any = None, when: Mapping[str, Any] | None = None, **limits: Any) -> Any:
    """A hyper-parameter: default, a line of documentation, the paper's value, and limits (``ge``, ``le``, ...).

    ``when`` names the settings of other hyper-parameters without which this one has no effect.
    """
    return Field(default, description=doc, json_schema_extra={"paper": paper, "when": dict(when or {})}, **limits)


def legacy(theirs: str, ours: str, *, when: Mapping[str, Any] | None = None) -> Any:
    """A switch that restores what released code does instead of ours; off. It is also a deviation of the method."""
    extra: dict[str, Any] = {"theirs": theirs, "ours": ours, "when": dict(when or {}), "paper": None}
    return Field(False, description=f"restore: {theirs}", json_schema_extra=extra)


@dataclass(frozen=True)
class Deviation:
    """One point where this code differs from the paper or from the authors' released code."""

    topic: str
    theirs: str
    ours: str
    switch: str = ""


@dataclass(frozen=True)
class Card:
    """What a reader must know of a method before trusting a number of it.

    ``reads`` lists what it takes from the outside; ``role`` is ``baseline`` for the row that gains are counted from;
    ``paper`` has the authors' values of hyper-parameters that the method inherits;
    ``deviations`` are those that no switch restores, see :meth:`Method.deviations`.
    """

    title: str
    venue: str
    year: int
    url: str
    reads: tuple[str, ...]
    tracks: tuple[Track, ...] = (Track.LABELLED,)
    role: Literal["method", "reference", "baseline"] = "method"
    paper: Mapping[str, Any] = field(default_factory=dict)
    deviations: tuple[Deviation, ...] = ()


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

    teacher: Probe
    student: Probe
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
    def answer(self) -> Probe:
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
