"""What a record says of the machine."""

from __future__ import annotations

import torch

from okdbench.core.environment import environment


def test_the_instructions_of_the_processor_are_in_the_record() -> None:
    """Two processors were both called AMD EPYC; one has AVX-512, and their last bits differ."""
    assert environment(torch.device("cpu"))["instructions"] == torch.backends.cpu.get_cpu_capability() != ""
