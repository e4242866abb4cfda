"""No step reads a value that it has computed, for which a GPU would have to finish all work before it.

Tensors without values show that, also without a GPU: reading one raises an exception. Copies to the CPU are not seen.
"""

from __future__ import annotations

import pytest
import torch
from support.cases import all_methods
from support.scenes import SCENES, Operations, stepper
from support.tiny_task import batch, make_method
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from okdbench import registry
from okdbench.api import Clock
from okdbench.core.protocol import Track
from okdbench.distill.replay import Buffer

#: hyper-parameters with which a step reads a value: why it may
MAY_WAIT = {
    ("augkd", "keep", "lowest_kl"): "a snapshot is scored twenty times in a run",
    ("augkd", "legacy_ckpt_rule", True): "the same by the score of the release",
}


def take_steps_without_values(method: str, settings: dict[str, object] | None = None) -> None:
    """Two steps of each stage, the second with whatever the first has put into a memory."""
    short = {"inner_steps": 1} if "inner_steps" in registry.load_method(method).Hyperparameters.model_fields else {}
    made = make_method(method, {**short, **(settings or {})}, track=Track.LABELLED)
    with FakeTensorMode(allow_non_fake_inputs=True):
        for stage in made.stages():
            made.student.train()
            if stage.begin:
                stage.begin()
            for step in range(2):
                made.set_clock(Clock(step, max(2, stage.steps)))
                size = stage.batch_size or made.task.batch_size
                stage.step(*(batch(i, size, made.task) for i in range(stage.batches if stage.data else 0)))


@pytest.mark.parametrize("method", all_methods("replay"))
def test_a_step_reads_no_value(method: str) -> None:
    take_steps_without_values(method)


@pytest.mark.parametrize(("method", "name", "value"), MAY_WAIT)
def test_what_may_wait_is_found(method: str, name: str, value: object) -> None:
    with pytest.raises(DataDependentOutputException):
        take_steps_without_values(method, {name: value})


def test_the_draw_of_a_number_on_the_host_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def sample(buffer: Buffer, rng: torch.Generator) -> torch.Tensor | None:
        if not buffer.pushed:
            return None
        return buffer.batches[int(torch.randint(len(buffer.batches), (), generator=rng))]

    monkeypatch.setattr(Buffer, "sample", sample)
    with pytest.raises(DataDependentOutputException):
        take_steps_without_values("ltr")


@pytest.mark.slow
def test_a_step_of_ltr_takes_less_than_half_of_the_operations_that_it_took() -> None:
    """25,106 with a graph through theta', copies of buffers, and PyTorch's double backward of batch norm."""
    step = stepper(SCENES["LTR"].build())
    for _ in range(2):
        step()
    with Operations() as operations:
        step()
    assert operations.total < 25_106 / 2
