"""The fine-tuning stage and the chain that appends it to a method."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from support.error_text import refusal
from support.tiny_task import make_method
from torch import nn

from okdbench.api import BaseHyperparameters, Clock, Losses, Stage, Trainable, adam
from okdbench.distill.accounting import Meter
from okdbench.distill.finetune import Chain, ChainHyperparameters, FineTuning, data_free_share


class Part(Trainable):
    """A trainable of one network and one stage, both called ``name``."""

    def __init__(self, name: str, meter: Meter) -> None:
        super().__init__(torch.device("cpu"), meter)
        self.name = name
        net = nn.Linear(1, 1)
        self.learner = self.own(name, net, adam(net, 1e-3))

    def stages(self) -> Sequence[Stage]:
        return [Stage(f"stage of {self.name}", 1, self.step)]

    def step(self) -> Losses:
        return {}


@pytest.fixture
def parts() -> list[Part]:
    meter = Meter()
    return [Part("first", meter), Part("second", meter)]


def test_a_chain_has_the_stages_and_the_state_of_its_parts(parts: list[Part]) -> None:
    chain = Chain(*parts)
    assert [stage.name for stage in chain.stages()] == ["stage of first", "stage of second"]
    assert list(chain.state) == ["first", "first learner", "second", "second learner"]
    assert all(chain.state[name] is part for each in parts for name, part in each.state.items())


def test_a_chain_sets_the_clock_of_every_part_and_its_own(parts: list[Part]) -> None:
    chain = Chain(*parts)
    chain.set_clock(Clock(3, 9))
    assert [each.clock for each in (chain, *parts)] == [Clock(3, 9)] * 3


def test_a_chain_is_a_complete_trainable(parts: list[Part]) -> None:
    """It can own a module like any other: its base class is initialised, with device and meter of its first part."""
    chain = Chain(*parts)
    module = chain.place("third", nn.Linear(2, 2))
    module(torch.rand(5, 2))
    assert chain.state["third"] is module
    assert chain._meter is parts[0]._meter
    assert chain._meter.traffic()["third"]["forward"] == 5
    assert "third" not in parts[0].state


def test_fine_tuning_spends_the_student_images_of_its_task() -> None:
    task = make_method("dfkd", images=320, batch_size=16).task
    (stage,) = FineTuning(task).stages()
    assert (stage.name, stage.steps, stage.data) == ("fine-tuning", 20, "labelled")


def test_the_share_before_it_is_a_hyper_parameter_that_a_data_free_method_needs() -> None:
    assert data_free_share(ChainHyperparameters(data_free_share=0.25)) == 0.25
    assert data_free_share(ChainHyperparameters()) == 0.5
    message = refusal(data_free_share, BaseHyperparameters())
    assert "derive them from okdbench.distill.finetune.ChainHyperparameters" in message
