"""Experiment trackers that watch a run: TensorBoard, Weights & Biases and MLflow behind one interface.

They are given what the loss log and the record hold, and change nothing in a run: one that fails is left out from then
on, with one warning. A resumed run goes on in the same tracker run. Each library is imported when it is asked for.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from okdbench.core.config import TRACKERS
from okdbench.core.errors import UserError, one_line
from okdbench.core.locks import Lock

Numbers = Mapping[str, float]


class Run(NamedTuple):
    """What a tracker shows of a run beside its numbers; ``folder`` is the run's own, ``key`` its name there."""

    folder: Path
    key: str
    title: str
    config: Mapping[str, Any]


class Tracker(Protocol):
    """Where the numbers of one run are shown."""

    def log(self, numbers: Numbers, step: int) -> None:
        """Show numbers of a step, counted over all stages; after a resume, steps may come a second time."""

    def close(self, done: bool) -> None:
        """Write what is left; ``done`` says that the run has ended, and is not to be resumed."""


class TensorBoard:
    """Event files in the folder ``tensorboard`` of the run."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._writer: Any = None

    def log(self, numbers: Numbers, step: int) -> None:
        """See :class:`Tracker`."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # What an interrupted process had written of steps that are repeated now is not shown.
            self._writer = SummaryWriter(str(self._run.folder / "tensorboard"), purge_step=step)
            self._writer.add_text(
                "config", "\n".join(f"    {name}: {value}" for name, value in self._run.config.items())
            )
        for name, value in numbers.items():
            self._writer.add_scalar(name, value, step)

    def close(self, done: bool) -> None:  # noqa: ARG002
        """See :class:`Tracker`."""
        if self._writer is not None:
            self._writer.close()


class WandB:
    """A run of the project okdbench; without an account it is offline, below the folder of the run."""

    def __init__(self, run: Run) -> None:
        import wandb
        from requests.utils import get_netrc_auth

        account: Any = os.environ.get("WANDB_API_KEY") or get_netrc_auth("https://api.wandb.ai")
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", "okdbench"),
            id=run.key,
            name=run.title,
            config=dict(run.config),
            dir=run.folder,
            # A value of $WANDB_MODE wins.
            mode=None if "WANDB_MODE" in os.environ else "online" if account else "offline",
            resume="allow",
        )

    def log(self, numbers: Numbers, step: int) -> None:
        """See :class:`Tracker`."""
        self._run.log(dict(numbers), step=step)

    def close(self, done: bool) -> None:
        """See :class:`Tracker`."""
        self._run.finish(exit_code=0 if done else 1)


class MLflow:
    """A run of the experiment okdbench on ``$MLFLOW_TRACKING_URI``, or in ``mlflow.db`` beside all runs."""

    def __init__(self, run: Run) -> None:
        from mlflow import MlflowClient

        runs = run.folder.parent.absolute()
        # Several processes must not create the database at once.
        with Lock(runs / "mlflow.lock"):
            self._client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{runs / 'mlflow.db'}")
            found = self._client.get_experiment_by_name("okdbench")
            experiment = found.experiment_id if found else self._client.create_experiment("okdbench")
        earlier = self._client.search_runs([experiment], f"tags.okdbench_key = '{run.key}'")
        if earlier:
            self._id = earlier[0].info.run_id
            self._client.update_run(self._id, "RUNNING")
            return
        self._id = self._client.create_run(experiment, tags={"okdbench_key": run.key}, run_name=run.title).info.run_id
        for name, value in run.config.items():
            self._client.log_param(self._id, name, str(value)[:500])

    def log(self, numbers: Numbers, step: int) -> None:
        """See :class:`Tracker`."""
        from mlflow.entities import Metric

        # MLflow allows fewer signs in names.
        named = {"".join(c if c.isalnum() or c in "_-./ " else "_" for c in name): numbers[name] for name in numbers}
        self._client.log_batch(self._id, [Metric(name, value, 0, step) for name, value in named.items()])

    def close(self, done: bool) -> None:
        """See :class:`Tracker`."""
        self._client.set_terminated(self._id, "FINISHED" if done else "KILLED")


_CLASSES: dict[str, Callable[[Run], Tracker]] = {"tensorboard": TensorBoard, "wandb": WandB, "mlflow": MLflow}
assert set(_CLASSES) == set(TRACKERS)


class Trackers:
    """All trackers of a run; each works, or has failed and is left out."""

    def __init__(self, names: tuple[str, ...], run: Run) -> None:
        self._running: dict[str, Tracker] = {}
        for name in names:
            self._try(name, lambda name=name: self._running.__setitem__(name, _CLASSES[name](run)))  # type: ignore[misc]

    def log(self, numbers: Numbers, step: int) -> None:
        """Pass the numbers on."""
        for name, tracker in list(self._running.items()):
            self._try(name, lambda tracker=tracker: tracker.log(numbers, step))  # type: ignore[misc]

    def close(self, done: bool) -> None:
        """Close all."""
        for name, tracker in list(self._running.items()):
            self._try(name, lambda tracker=tracker: tracker.close(done))  # type: ignore[misc]

    def _try(self, name: str, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # whatever is wrong with it, the run goes on
            self._running.pop(name, None)
            reason = one_line(error, kind=True)
            warnings.warn(f"--log-to {name} shows no more of this run, which goes on: {reason}", stacklevel=3)


@contextmanager
def opened(names: tuple[str, ...], run: Run) -> Iterator[Trackers]:
    """The trackers of these names during the block; an exception tells them that the run may be resumed."""
    trackers = Trackers(names, run)
    done = False
    try:
        yield trackers
        done = True
    finally:
        trackers.close(done)


def check_installed(names: tuple[str, ...]) -> None:
    """Refuse a tracker whose library is missing.

    Raises:
        UserError: it is.
    """
    for name in names:
        if find_spec(name) is None:
            raise UserError(f"--log-to {name}: {name} is not installed; pip install 'okdbench[{name}]'")
