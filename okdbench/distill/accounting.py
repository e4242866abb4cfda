"""Counts the pictures that pass through each network, so that no method has to be trusted with its own bill."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn

from okdbench.results.records import Traffic


class Meter:
    """Forward and backward pictures per network.

    A backward counts as *learned* when it happens inside :meth:`learning` of the same network. So the student's
    forwards that only carry a gradient to a generator cost a backward, but are no pictures that it learned from. A
    forward that is differentiated twice costs two backwards, and its pictures are learned from once.
    """

    def __init__(self) -> None:
        self._counts: dict[str, dict[str, int]] = {}
        self._learner: nn.Module | None = None
        self._watched: set[int] = set()

    def watch(self, role: str, module: nn.Module) -> None:
        """Count all traffic of ``module`` under ``role`` from now on; a second call for one module does nothing."""
        if id(module) in self._watched:
            return
        self._watched.add(id(module))
        counts = self._counts.setdefault(role, {"forward": 0, "backward": 0, "learned": 0})

        def forward(passed: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
            if passed is not module:  # a deep copy takes the hook along
                return
            unlearned = pictures = len(inputs[0])
            counts["forward"] += pictures

            def backward(_gradient: Tensor) -> None:
                nonlocal unlearned
                counts["backward"] += pictures
                if self._learner is module:
                    counts["learned"] += unlearned
                    unlearned = 0

            logits = output[0] if isinstance(output, tuple) else output
            if isinstance(logits, Tensor) and logits.requires_grad:
                logits.register_hook(backward)  # type: ignore[no-untyped-call]

        module.register_forward_hook(forward)

    @contextmanager
    def learning(self, module: nn.Module) -> Iterator[None]:
        """Backwards in this block change the weights of ``module``."""
        self._learner = module
        try:
            yield
        finally:
            self._learner = None

    def learned(self, role: str) -> int:
        """Pictures that ``role`` has learned from."""
        return self._counts.get(role, {}).get("learned", 0)

    def total_learned(self) -> int:
        """Pictures that any network has learned from."""
        return sum(counts["learned"] for counts in self._counts.values())

    def traffic(self) -> dict[str, Traffic]:
        """The bill so far, by role."""
        return {role: Traffic(**counts) for role, counts in self._counts.items()}

    def state_dict(self) -> dict[str, dict[str, int]]:
        """The counts, as plain types."""
        return {role: dict(counts) for role, counts in self._counts.items()}

    def load_state_dict(self, state: dict[str, dict[str, int]]) -> None:
        """Go on counting from ``state``."""
        for role, counts in state.items():
            self._counts.setdefault(role, {}).update(counts)
